//! What a SkyJob asks the scheduler for: a place for the replicas that have none. Called by `plan` and by the plugin.

use super::facts::Facts;
use crate::Seconds;
use crate::eviction::{self, CoolDown};
use crate::placement::Placement;
use crate::workload::Workload;

/// The part of `workload` that is to be placed at `now`; `None` when nothing is, or not now.
#[must_use]
pub fn ask(workload: &Workload, facts: &Facts, now: Seconds) -> Option<Workload> {
    let held = facts.deleting || facts.finished.is_some() || facts.refused.is_some() || facts.suspend;
    if held {
        return None;
    }
    let placement = facts.placement.clone().unwrap_or_else(|| Placement {
        revision: facts.revision,
        shares: Vec::new(),
        unplaced: facts.unplaced.clone(),
    });
    let whole = Workload {
        replicas: facts.replicas,
        ..workload.clone()
    };
    missing(&whole, &placement, &facts.cool_downs, now)
}

/// The part of `workload` that has no place in `placement`, as the scheduler is asked for it; `None` when all has one,
/// or a gang has still to leave the places it had.
#[must_use]
pub fn missing(
    workload: &Workload,
    placement: &Placement,
    cool_downs: &[CoolDown],
    now: Seconds,
) -> Option<Workload> {
    let placement = placement.without_lost();
    let missing = placement.missing(workload.replicas).count();
    if missing == 0 {
        return None;
    }
    let placed = placement.staying();
    // A gang holds together until its first replica starts: then nothing of it stays anywhere, and all of it is placed
    // anew at once, when all of it has gone.
    let complete = placement.shares.iter().any(|share| share.complete);
    let interrupted = placement.unplaced.iter().any(|one| one.interruptions > 0);
    let begun = !placed.is_empty() || complete || interrupted;
    let gang = workload.gang && !begun;
    if gang && !placement.shares.is_empty() {
        return None;
    }
    Some(Workload {
        replicas: missing,
        gang,
        placed,
        cooling: eviction::cooling(cool_downs, now),
        revision: placement.revision,
        ..workload.clone()
    })
}

/// When a cluster that cools down may be tried again, the soonest of them.
#[must_use]
pub fn next_cluster(facts: &Facts, now: Seconds) -> Option<Seconds> {
    eviction::cooling(&facts.cool_downs, now).into_values().min()
}
