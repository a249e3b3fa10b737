//! Finds shares of this host on members that no SkyJob accounts for: says so at once, removes them after a day.
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
use sky_crds::SkyJob;
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
        let present =
            fleet.synced_shares(|cluster, share| !is_accounted_for(cluster, share, &jobs, &defaults));
        found.retain(|known, _| present.contains(known));
        for (cluster, key) in present {
            let since = found.entry((cluster.clone(), key.clone())).or_insert_with(|| {
                tracing::warn!(
                    cluster,
                    namespace = %key.namespace,
                    object = %key.object,
                    "a share of this host belongs to no SkyJob; it is removed after a day"
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
