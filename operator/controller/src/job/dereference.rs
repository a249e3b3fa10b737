//! Step 1: what members say about one SkyJob's shares, and how far each can be believed.

use std::collections::BTreeMap;

use kube::ResourceExt;
use sky_core::eviction::reason;
use sky_core::job::{Facts, Members, Reach};
use sky_core::observation::{End, Observation, Trouble};
use sky_core::placement::Placement;
use sky_core::workload::{Kind, Workload, WorkloadRef};
use sky_crds::SkyJob;

use super::Context;
use super::memory::Memory;
use crate::clock;
use crate::fleet::{Fleet, View};
use crate::stores::reference;

/// What is known of the members that hold or are to hold a share of this SkyJob.
pub(super) fn members(
    context: &Context,
    job: &SkyJob,
    facts: &Facts,
    workload: Option<&Workload>,
    memory: &mut Memory,
) -> Members {
    let uid = job.uid().unwrap_or_default();
    let own = reference(Kind::SkyJob, job);
    let shares = facts.placement.iter().flat_map(|placement| &placement.shares);
    // What was left behind on a lost cluster is there until it says that it is not.
    let left = facts.evictions.iter().filter(|one| one.reason == reason::LOST);
    let placed = shares
        .map(|share| &share.cluster)
        .chain(left.map(|one| &one.cluster));
    // Before the shares: a member that speaks in between is not yet believed to hold nothing.
    let mut reach: BTreeMap<String, Reach> = placed
        .filter_map(|cluster| Some((cluster.clone(), reach_of(&context.fleet, cluster, &own)?)))
        .collect();
    let mut shares = context.fleet.shares_of(&own);
    shares.retain(|(cluster, share)| share.stamp.uid == uid || is_adoptable(facts, cluster, share));
    for (_, share) in &shares {
        memory.seen.insert(share.stamp.share.clone());
        memory.sent_back.remove(&share.stamp.share);
        memory.unseen.remove(&share.stamp.share);
        let instance = (share.stamp.share.clone(), share.instance.clone());
        if share.confirm.is_some() && !memory.released.contains(&instance) {
            memory.unreleased.insert(instance);
        } else {
            memory.unreleased.remove(&instance);
        }
        if share.end == Some(End::Complete) {
            memory.completed.insert(share.stamp.share.clone());
        }
    }
    for (cluster, _) in &shares {
        if !reach.contains_key(cluster)
            && let Some(contact) = reach_of(&context.fleet, cluster, &own)
        {
            reach.insert(cluster.clone(), contact);
        }
    }
    let sent_back = memory
        .sent_back
        .iter()
        .map(|(share, (why, _))| (share.clone(), why.clone()))
        .collect();
    let back_since = reach.keys().filter_map(|cluster| {
        let since = context.fleet.read(cluster, View::back_since).flatten()?;
        let ago = i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX);
        Some((cluster.clone(), clock::now().as_second().saturating_sub(ago)))
    });
    Members {
        back_since: back_since.collect(),
        forbidden: forbidden(context, facts, workload),
        reach,
        shares,
        seen: memory.seen.clone(),
        completed: memory.completed.clone(),
        unreleased: memory.unreleased.clone(),
        unseen: memory.unseen.values().cloned().collect(),
        sent_back,
        notes: memory.ledger.notes(),
        waited: memory.waited.clone(),
    }
}

/// Clusters of its shares where by now none of them may be.
fn forbidden(context: &Context, facts: &Facts, workload: Option<&Workload>) -> BTreeMap<String, Trouble> {
    let (Some(workload), Some(placement)) = (workload, &facts.placement) else {
        return BTreeMap::new();
    };
    if facts.deleting || facts.finished.is_some() {
        return BTreeMap::new();
    }
    let rules = context.rules.read();
    let clusters = placement.by_cluster().into_keys();
    let each = clusters.filter_map(|cluster| {
        let (_, refusal) = context.board.retain(workload, &rules, cluster).err()?;
        let why = Trouble {
            reason: refusal.reason.into(),
            message: refusal.message.to_string(),
        };
        Some((cluster.to_owned(), why))
    });
    each.collect()
}

/// Whether a share of another uid is this SkyJob's own: the host was restored from a backup, which gives new uids. It
/// is of equal name, run and spec, and the record is lost or names just this share. Of another spec it is another job's.
fn is_adoptable(facts: &Facts, cluster: &str, share: &Observation) -> bool {
    let alike = share.stamp.run == facts.run && share.stamp.spec_hash == facts.spec_hash;
    let named = |placement: &Placement| names(placement, cluster, share);
    alike && facts.placement.as_ref().is_none_or(named)
}

/// Whether the placement names this share.
fn names(placement: &Placement, cluster: &str, share: &Observation) -> bool {
    let mut shares = placement.shares.iter();
    shares.any(|placed| placed.id == share.stamp.share && placed.cluster == cluster)
}

/// How far the cluster can be believed; `None` when it is not registered.
pub(crate) fn reach_of(fleet: &Fleet, cluster: &str, workload: &WorkloadRef) -> Option<Reach> {
    let (contact, grace) = fleet.contact(cluster, workload)?;
    Some(contact.reach(grace))
}
