//! Finds shares of this host on members that no workload accounts for: says so at once, removes them after a day.
//!
//! They come from a host restored from an older backup, or from a finalizer removed by hand. A day, because the SkyJob
//! may be restored too, and is then given its shares back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use sky_convert::job::parse;
use sky_convert::workload::Defaults;
use sky_core::observation::Observation;
use sky_core::share::ShareKey;
use sky_core::workload::Kind;
use sky_crds::{SkyDeployment, SkyJob};
use sky_member::Withdraw;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::configuration::LiveDefaults;
use crate::fleet::Fleet;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// How long a share may be nobody's before it is removed.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks for leftovers until `stop`.
pub async fn run(
    fleet: Arc<Fleet>,
    jobs: Store<DeserializeGuard<SkyJob>>,
    deployments: Store<DeserializeGuard<SkyDeployment>>,
    defaults: LiveDefaults,
    stop: CancellationToken,
) {
    let mut found: HashMap<(String, ShareKey), Instant> = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        let defaults = defaults.now();
        let present = fleet.synced_shares(|cluster, share| match share.stamp.kind {
            Kind::SkyJob => !is_accounted_for(cluster, share, &jobs, &defaults),
            Kind::SkyDeployment => !has_owner(share, &deployments),
        });
        found.retain(|known, _| present.contains(known));
        for (cluster, key) in present {
            let since = found.entry((cluster.clone(), key.clone())).or_insert_with(|| {
                tracing::warn!(
                    cluster,
                    namespace = %key.namespace,
                    object = %key.object,
                    "a share of this host belongs to no workload; it is removed after a day"
                );
                Instant::now()
            });
            if since.elapsed() >= KEPT
                && let Some(member) = fleet.member(&cluster)
                && let Err(error) = member.withdraw(&key, Withdraw::Remove).await
            {
                tracing::warn!(cluster, object = %key.object, "failed to remove a leftover: {error}");
            }
        }
    }
}

/// Whether the SkyDeployment of this share is there: it withdraws what it does not want any more.
fn has_owner(share: &Observation, deployments: &Store<DeserializeGuard<SkyDeployment>>) -> bool {
    let stamp = &share.stamp;
    let owner = deployments.get(&ObjectRef::new(&stamp.name).within(&stamp.namespace));
    owner.is_some_and(|guard| guard.uid().as_deref() == Some(&stamp.uid))
}

/// Whether a SkyJob of the host has this share, or may be given it back.
fn is_accounted_for(
    cluster: &str,
    share: &Observation,
    jobs: &Store<DeserializeGuard<SkyJob>>,
    defaults: &Defaults,
) -> bool {
    let stamp = &share.stamp;
    let Some(guard) = jobs.get(&ObjectRef::new(&stamp.name).within(&stamp.namespace)) else {
        return false;
    };
    if guard.uid().as_deref() == Some(&stamp.uid) {
        return true;
    }
    let Ok(job) = &guard.0 else { return true };
    // A job that is placed has the shares that its record names; one that lost its record may be given these back.
    let recorded = job.status.as_ref().and_then(|status| status.placement.as_ref());
    match recorded.filter(|placement| !placement.shares.is_empty()) {
        Some(placement) => placement
            .shares
            .iter()
            .any(|placed| placed.id == stamp.share && placed.cluster == cluster),
        None => {
            let same = |job: sky_convert::job::Job| job.run == stamp.run && job.spec_hash == stamp.spec_hash;
            parse(job, defaults).is_ok_and(same)
        }
    }
}
