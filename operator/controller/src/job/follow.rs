//! Has the ConfigMaps and Secrets that a SkyJob's pods name follow it: the shares that members show, as `crate::follow`
//! looks after them.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use sky_convert::job::{Job, share};
use sky_core::config::of_share;
use sky_core::job::{Facts, Members, Reach};
use sky_core::labels::Labels;
use sky_core::placement::PlacedShare;
use sky_core::share::Share;
use sky_crds::SkyJob;

use super::Context;
use super::memory::Memory;
use crate::follow::{Kept, Ledger, Look, Use};

/// Looks after the copies of a job that goes on.
pub(super) async fn keep(
    context: &Context,
    object: &SkyJob,
    job: Option<&Job>,
    facts: &Facts,
    members: &Members,
    memory: &mut Memory,
) -> Kept {
    let Some(job) = job.filter(|job| job.follow_config) else {
        memory.ledger = Ledger::default();
        return Kept::default();
    };
    if facts.deleting || facts.finished.is_some() {
        return Kept::default();
    }
    let placement = facts.placement.iter().flat_map(|placement| &placement.shares);
    let placed: BTreeMap<&str, &PlacedShare> = placement.map(|share| (share.id.as_str(), share)).collect();
    let seen = members.shares.iter().filter(|(cluster, seen)| {
        let is_placed = placed
            .get(seen.stamp.share.as_str())
            .is_some_and(|share| share.cluster == *cluster && share.evicting.is_none());
        let ends = seen.deleting || seen.tombstone.is_some() || seen.end.is_some();
        is_placed && !ends && members.reach.get(cluster) == Some(&Reach::Synced)
    });
    let look = Look {
        uid: &object.uid().unwrap_or_default(),
        generation: facts.generation,
        seen: seen
            .map(|(cluster, seen)| Use {
                cluster: cluster.clone(),
                key: seen.key.clone(),
                id: seen.stamp.share.clone(),
                instance: seen.instance.clone(),
                // The pods of a job stay as they are.
                outdated: false,
                rolled: false,
            })
            .collect(),
        placed: placed
            .values()
            .map(|placed| {
                let Share { key, .. } = share(job, placed, &Labels::new(), &context.origin);
                (placed.cluster.clone(), key)
            })
            .collect(),
        ledger: &memory.ledger,
    };
    let wanted = |one: &Use| on(context, job, placed.get(one.id.as_str())?);
    context.follow.keep(look, wanted, |_| Vec::new()).await
}

/// Removes what was copied for shares that never came to be. False: something is still to be removed.
pub(super) async fn let_go(context: &Context, job: Option<&Job>, facts: &Facts, memory: &Memory) -> bool {
    let Some(job) = job.filter(|job| job.follow_config) else {
        return true;
    };
    let placed = facts.placement.iter().flat_map(|placement| &placement.shares);
    let placed = placed.map(|share| &share.cluster);
    let clusters: BTreeSet<&String> = placed
        .chain(facts.evictions.iter().map(|eviction| &eviction.cluster))
        .collect();
    let names = clusters.into_iter().filter_map(|cluster| {
        let placed = PlacedShare {
            cluster: cluster.clone(),
            ..PlacedShare::default()
        };
        let names: BTreeSet<_> = of_share(&on(context, job, &placed)?).into_keys().collect();
        Some((cluster.clone(), names))
    });
    let namespace = &job.workload.namespace;
    let names = names.collect();
    context.follow.let_go(namespace, names, &memory.ledger).await
}

/// The share as its cluster is to have it; `None`: its SkyCluster is gone.
fn on(context: &Context, job: &Job, placed: &PlacedShare) -> Option<Share> {
    let rules = context.rules.read();
    let standing = rules.clusters.get(placed.cluster.as_str())?;
    Some(share(job, placed, &standing.labels, &context.origin))
}
