//! Shares on a lost cluster whose user asked for Reschedule. Called by `evict` and `plan`.
//!
//! Such a share keeps its place until its ranks have another one: both are one write. If its cluster returns before, the
//! share stays; afterwards its attempt counts no more, whatever became of it, and is withdrawn. It costs no try: that the
//! replicas may run twice for a while is what the user asked for.

use std::collections::BTreeSet;

use super::evict::done;
use super::facts::{Facts, Members, Reach};
use super::finish::observed;
use super::plan::is_newer;
use crate::Seconds;
use crate::eviction::{self, Eviction, OnLost, reason};
use crate::observation::{Observation, Trouble};
use crate::placement::{PlacedShare, Placement};
use crate::ranks::Ranks;

/// `share` as its cluster's silence, or its return, makes it.
pub(super) fn look(facts: &Facts, members: &Members, share: PlacedShare) -> PlacedShare {
    if share.is_lost() {
        let back = members.reach.get(&share.cluster) == Some(&Reach::Synced);
        return if back || share.complete {
            returned(members, share)
        } else {
            share
        };
    }
    let ended = observed(members, &share).is_some_and(|seen| seen.end.is_some());
    let stays = share.complete || ended || facts.suspend || facts.on_lost == OnLost::Wait;
    match lost(members, &share).filter(|_| !stays) {
        Some(why) => leaving(members, share, why),
        None => share,
    }
}

/// Why the cluster of `share` counts as lost, if it does.
fn lost(members: &Members, share: &PlacedShare) -> Option<Trouble> {
    let (reason, message) = match members.reach.get(&share.cluster) {
        None => (reason::CLUSTER_GONE, "the SkyCluster is no longer registered"),
        Some(Reach::Silent { lost: true, message }) => (reason::LOST, message.as_str()),
        Some(Reach::Silent { .. } | Reach::Synced) => return None,
    };
    Some(Trouble {
        reason: reason.into(),
        message: message.into(),
    })
}

/// What had succeeded before its cluster was lost is not run again.
fn leaving(members: &Members, share: PlacedShare, why: Trouble) -> PlacedShare {
    let done = done(members, &share);
    let complete = done == share.ranks && !done.is_empty();
    PlacedShare {
        complete,
        done: if complete { Ranks::default() } else { done },
        evicting: Some(why).filter(|_| !complete),
        ..share
    }
}

/// Back before its ranks had another place: it stays. What was being buried is inert, and goes as it was to go.
fn returned(members: &Members, share: PlacedShare) -> PlacedShare {
    let buried = observed(members, &share).is_some_and(|seen| seen.tombstone.is_some());
    let why = Trouble {
        reason: reason::RETURNED.into(),
        message: "it was being evicted when its cluster was lost".into(),
    };
    PlacedShare {
        done: Ranks::default(),
        evicting: Some(why).filter(|_| buried && !share.complete),
        ..share
    }
}

/// The evictions so far and those of the lost shares of `placement`, which leave it at `now`.
pub(super) fn evictions(facts: &Facts, placement: &Placement, now: Seconds) -> Vec<Eviction> {
    let mut evictions = facts.evictions.clone();
    for share in placement.shares.iter().filter(|share| share.is_lost()) {
        let why = share.evicting.clone();
        let (reason, message) = why.map(|why| (why.reason, why.message)).unwrap_or_default();
        let record = Eviction {
            cluster: share.cluster.clone(),
            replicas: share.ranks.without(&share.done).count(),
            reason,
            message,
            at: now,
            attempt: share.attempt,
        };
        eviction::record(&mut evictions, record);
    }
    evictions
}

/// Whether what a member has is of an attempt that `placement` does not count any more. Of a share of which only a part
/// had succeeded when it was lost, that part is recorded and all else done anew.
pub(super) fn is_left_behind(facts: &Facts, placement: Option<&Placement>, seen: &Observation) -> bool {
    let mut shares = placement.iter().flat_map(|placement| &placement.shares);
    let counts =
        |placed: &PlacedShare| !placed.complete || (seen.end.is_some() && placed.replicas >= seen.replicas);
    let known = shares
        .find(|placed| placed.id == seen.stamp.share)
        .is_some_and(counts);
    !known && !is_newer(facts, seen) && seen.tombstone.is_none()
}

/// Silent clusters that have a share of the job, or may have one that was left behind there.
pub(super) fn silent<'f>(facts: &'f Facts, members: &Members) -> BTreeSet<&'f str> {
    let shares = facts.placement.iter().flat_map(|placement| &placement.shares);
    let placed = shares.map(|share| share.cluster.as_str());
    let lost = facts.evictions.iter().filter(|one| one.reason == reason::LOST);
    placed
        .chain(lost.map(|one| one.cluster.as_str()))
        .filter(|cluster| matches!(members.reach.get(*cluster), Some(Reach::Silent { .. })))
        .collect()
}
