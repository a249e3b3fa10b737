//! Decides what is to be done about one SkyJob: steps on members, the finalizer, the queue, and the status wanted.
//! Apply makes no choices of its own.

use super::ask::next_cluster;
use super::evict::{progress, tombstones};
use super::facts::{Facts, Members, Reach};
use super::finish::{Ending, completed, judge, observed, overdue, overdue_at, vanished};
use super::lost::{evictions, is_left_behind, silent};
use super::rerun::{restart, superseded};
use super::status::{Phase, Status, condition, placed, unplaced};
use crate::Seconds;
use crate::decision::{Decision, Outcome};
use crate::observation::Observation;
use crate::placement::{MOST_SHARES, PlacedShare, Placement, id_revision};
use crate::share::ShareKey;

/// What is to be done about one SkyJob.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What happens to the finalizer, before anything else.
    pub finalizer: Finalizer,
    /// Steps on members, in any order.
    pub steps: Vec<Step>,
    /// Whether it waits for the scheduler.
    pub queue: bool,
    /// The status wanted; `None`: leave it.
    pub status: Option<Status>,
    /// When to look again at the latest, whatever happens.
    pub wake: Option<Seconds>,
}

/// What happens to the finalizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finalizer {
    /// Nothing.
    #[default]
    Keep,
    /// Add it, and do nothing else until it is there.
    Add,
    /// Remove it: nothing is left on any member.
    Remove,
}

/// One step on a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create or update the object of this share.
    Ensure {
        /// The share.
        share: PlacedShare,
        /// Held back.
        suspended: bool,
        /// Seen on its member: changed there, never created anew.
        known: bool,
    },
    /// Remove an object, whatever it is doing.
    Withdraw {
        /// Cluster name.
        cluster: String,
        /// Its object.
        key: ShareKey,
    },
    /// Hold an object back unless a replica of it has started.
    Hold {
        /// Cluster name.
        cluster: String,
        /// Its object.
        key: ShareKey,
    },
    /// Make the object of this share inert for good, or put a tombstone under its name.
    Bury {
        /// The share.
        share: PlacedShare,
    },
}

/// Plans one SkyJob at `now`. `answer` is what the scheduler last said about it while it waits.
#[must_use]
pub fn plan(facts: &Facts, members: &Members, answer: Option<&Decision>, now: Seconds) -> Plan {
    if facts.deleting {
        return teardown(facts, members);
    }
    if !facts.finalizer {
        return Plan {
            finalizer: Finalizer::Add,
            ..Plan::default()
        };
    }
    if let Some(old) = superseded(facts) {
        return restart(facts, members, old, now);
    }
    if let Some(finished) = &facts.finished {
        // The record stands, for this generation of the spec too.
        let record = finished.record.clone().map(|record| Status {
            generation: facts.generation,
            ..record
        });
        let kept = Plan {
            wake: gone_at(facts).filter(|at| *at > now),
            status: record,
            ..Plan::default()
        };
        let expired = gone_at(facts).is_some_and(|at| now >= at);
        let remove = |seen: &Observation| {
            let unfinished = !finished.complete && seen.end.is_none();
            let stale = is_left_behind(facts, facts.placement.as_ref(), seen);
            stale || (seen.tombstone.is_none() && (expired || unfinished))
        };
        return with_tombstones(
            facts,
            members,
            now,
            Plan {
                steps: withdrawals(members, remove),
                ..kept
            },
        );
    }
    let planned = match &facts.placement {
        None => wait(facts, members, answer, now),
        Some(placement) => run(facts, members, placement, answer, now),
    };
    with_tombstones(facts, members, now, planned)
}

/// The plan, and tombstones that have kept their names long enough are removed.
fn with_tombstones(facts: &Facts, members: &Members, now: Seconds, mut plan: Plan) -> Plan {
    let (steps, wake) = tombstones(facts, members, now);
    plan.steps.extend(steps);
    plan.wake = plan.wake.into_iter().chain(wake).min();
    plan
}

/// Not placed: queued unless refused or held back. Leftovers of earlier placements are withdrawn.
fn wait(facts: &Facts, members: &Members, answer: Option<&Decision>, now: Seconds) -> Plan {
    let newer = |seen: &Observation| is_newer(facts, seen) && seen.tombstone.is_none();
    if members.shares.iter().any(|(_, seen)| newer(seen)) {
        return recover(facts, members, now);
    }
    let steps = withdrawals(members, |seen| seen.tombstone.is_none());
    let queue = facts.refused.is_none() && !facts.suspend;
    let placement = Placement {
        revision: facts.revision,
        shares: Vec::new(),
        unplaced: facts.unplaced.clone(),
    };
    // Evicted before, and out of time while it waits.
    let late = overdue(facts, members, &placement, now).filter(|_| facts.refused.is_none());
    if let Some(ending) = late {
        return Plan {
            steps,
            status: Some(placed(facts, members, &placement, Some(&ending), None, now)),
            ..Plan::default()
        };
    }
    if let Some(next) = answer
        .filter(|_| queue)
        .and_then(|answer| bind(facts, &placement, answer, now))
    {
        return Plan {
            steps,
            status: Some(bound(facts, &next, now)),
            ..Plan::default()
        };
    }
    let known = !queue || answer.is_some();
    Plan {
        steps,
        queue,
        status: known.then(|| unplaced(facts, answer)),
        wake: next_cluster(facts, now)
            .into_iter()
            .chain(overdue_at(facts))
            .min(),
        ..Plan::default()
    }
}

/// The placement with a share for each part that the scheduler's answer gives; `None` when it gives none.
fn bind(facts: &Facts, placement: &Placement, answer: &Decision, now: Seconds) -> Option<Placement> {
    let Outcome::Placed(parts) = &answer.outcome else {
        return None;
    };
    let missing = placement.missing(facts.replicas);
    let placed = parts.iter().map(|(_, count)| count).sum::<i64>();
    let next = (placed > 0 && placed <= missing.count()).then(|| placement.with(&missing, parts, Some(now)));
    // A status that holds no more would be refused: the rest waits until more has ended.
    next.filter(|next| next.shares.len() <= MOST_SHARES)
}

/// The status of a job that is placed just now: nothing is known of its shares yet.
fn bound(facts: &Facts, placement: &Placement, now: Seconds) -> Status {
    placed(
        facts,
        &Members {
            reach: all_synced(placement),
            ..Members::default()
        },
        placement,
        None,
        None,
        now,
    )
}

/// Whether a share is of a placement that the record does not know of: the record is behind, or lost.
pub(super) fn is_newer(facts: &Facts, seen: &Observation) -> bool {
    seen.stamp.run == facts.run && id_revision(&seen.stamp.share) > facts.revision
}

/// Members hold shares of a placement that the record does not know of. Nothing is withdrawn or placed: a record that
/// is behind will catch up, and one that is lost is written again when the shares make up the whole job. The write is
/// fenced, so that it fails when the record was only behind.
fn recover(facts: &Facts, members: &Members, now: Seconds) -> Plan {
    let newer = members
        .shares
        .iter()
        .filter(|(_, seen)| is_newer(facts, seen) && !seen.deleting && seen.tombstone.is_none());
    let shares: Vec<PlacedShare> = newer
        .map(|(cluster, seen)| PlacedShare {
            id: seen.stamp.share.clone(),
            cluster: cluster.clone(),
            replicas: seen.replicas,
            attempt: seen.stamp.attempt,
            bound: Some(now),
            ..PlacedShare::default()
        })
        .collect();
    let whole = shares.iter().map(|share| share.replicas).sum::<i64>() == facts.replicas;
    let status = Placement::recovered(shares)
        .filter(|_| whole)
        .map(|placement| bound(facts, &placement, now));
    Plan {
        status,
        wake: Some(now.saturating_add(5)),
        ..Plan::default()
    }
}

fn all_synced(placement: &Placement) -> std::collections::BTreeMap<String, Reach> {
    placement
        .shares
        .iter()
        .map(|share| (share.cluster.clone(), Reach::Synced))
        .collect()
}

/// Placed and not finished: every share is where it should be, or on its way out, and nothing else is anywhere.
fn run(
    facts: &Facts,
    members: &Members,
    placement: &Placement,
    answer: Option<&Decision>,
    now: Seconds,
) -> Plan {
    let progress = progress(facts, members, placement, now);
    let facts = &Facts {
        evictions: progress.evictions,
        cool_downs: progress.cool_downs,
        unplaced: progress.placement.unplaced.clone(),
        ..facts.clone()
    };
    let next = progress.placement;
    let ending = match progress.failed {
        Some(trouble) => Some(Ending::Failed(trouble)),
        None => judge(facts, members, &next, now),
    };
    if let Some(ending) = ending {
        let steps = match &ending {
            Ending::Complete => Vec::new(),
            Ending::Failed(_) => withdrawals(members, |seen| seen.end.is_none() && seen.tombstone.is_none()),
        };
        return Plan {
            steps,
            status: Some(placed(facts, members, &next, Some(&ending), None, now)),
            ..Plan::default()
        };
    }
    let mut steps = withdrawals(members, |seen| is_left_behind(facts, Some(placement), seen));
    steps.extend(progress.steps);
    let (dispatched, released) = dispatch(facts, members, placement, &next, now);
    steps.extend(dispatched);
    let overdue = overdue_at(facts).map(|at| at.max(now.saturating_add(5)));
    let plan = Plan {
        steps,
        wake: overdue.into_iter().chain(progress.wake).chain(released).min(),
        ..Plan::default()
    };
    let left = next.without_lost();
    let missing = !left.missing(facts.replicas).is_empty() && facts.refused.is_none() && !facts.suspend;
    // What is asked for was made from the record: while that is behind, no answer is taken.
    let recorded = next.is_like(placement);
    let again = answer.filter(|_| missing && recorded);
    if let Some(bound) = again.and_then(|answer| bind(facts, &left, answer, now)) {
        let evictions = evictions(facts, &next, now);
        let facts = &Facts {
            evictions,
            ..facts.clone()
        };
        return Plan {
            status: Some(placed(facts, members, &bound, None, None, now)),
            ..plan
        };
    }
    let status = if next.shares.is_empty() {
        unplaced(facts, again)
    } else {
        placed(facts, members, &next, None, again.filter(|_| missing), now)
    };
    Plan {
        status: Some(status),
        queue: missing && recorded,
        wake: plan
            .wake
            .into_iter()
            .chain(next_cluster(facts, now).filter(|_| missing))
            .min(),
        ..plan
    }
}

/// Steps for the shares of `next` that stay, as far as they are recorded in `stored`; and when the next of them may be
/// released.
fn dispatch(
    facts: &Facts,
    members: &Members,
    stored: &Placement,
    next: &Placement,
    now: Seconds,
) -> (Vec<Step>, Option<Seconds>) {
    let (mut steps, mut wake) = (Vec::new(), None);
    for share in &next.shares {
        let recorded = stored.shares.iter().find(|stored| stored.id == share.id);
        // What is no longer to be evicted is resumed when that is recorded, and so is an instance released.
        let Some(recorded) = recorded.filter(|stored| stored.evicting.is_none()) else {
            continue;
        };
        let share = PlacedShare {
            instance: recorded.instance.clone(),
            ..share.clone()
        };
        steps.extend(ensure(facts, members, &share, now));
        let later = release_at(members, &share).filter(|at| *at > now);
        wake = wake.into_iter().chain(later).min();
    }
    (steps, wake)
}

/// Creates a share that is not on its member, or changes whether it is held back. Only on a member that answers, and
/// never a second time where it was seen before, unless it is certain that it was held back until it was lost.
fn ensure(facts: &Facts, members: &Members, share: &PlacedShare, now: Seconds) -> Option<Step> {
    let out_of_reach = members.reach.get(&share.cluster) != Some(&Reach::Synced);
    if out_of_reach || share.evicting.is_some() || vanished(facts, members, share) {
        return None;
    }
    let wanted = match observed(members, share) {
        None if completed(facts, members, share) => false,
        None => !facts.suspend || !members.seen.contains(&share.id),
        Some(seen) => {
            let due = release_at(members, share).is_some_and(|at| now >= at);
            seen.end.is_none()
                && !seen.deleting
                && seen.tombstone.is_none()
                && (seen.suspended != facts.suspend || due)
        }
    };
    let seen = observed(members, share);
    let own = |instance: &String| seen.is_some_and(|seen| seen.instance == *instance);
    wanted.then(|| Step::Ensure {
        share: PlacedShare {
            instance: share.instance.clone().filter(own),
            ..share.clone()
        },
        suspended: facts.suspend,
        known: seen.is_some(),
    })
}

/// When the object of `share`, whose instance is recorded, may be released by its member; `None`: it is not held for that.
fn release_at(members: &Members, share: &PlacedShare) -> Option<Seconds> {
    let seen = observed(members, share)?;
    seen.confirm
        .filter(|_| share.evicting.is_none() && share.instance.as_ref() == Some(&seen.instance))
}

/// Withdraws every share that `which` picks and that is not on its way out already.
fn withdrawals(members: &Members, which: impl Fn(&Observation) -> bool) -> Vec<Step> {
    let picked = members
        .shares
        .iter()
        .filter(|(_, seen)| !seen.deleting && which(seen));
    picked
        .map(|(cluster, seen)| Step::Withdraw {
            cluster: cluster.clone(),
            key: seen.key.clone(),
        })
        .collect()
}

/// Withdraws everything there is, also what members were asked to create and do not show yet: it may come any moment.
/// What is on a cluster that is not registered any more cannot be withdrawn.
pub(super) fn clearance(members: &Members, which: impl Fn(&Observation) -> bool) -> Vec<Step> {
    let mut steps = withdrawals(members, which);
    let unseen = unseen(members).map(|(cluster, key)| Step::Withdraw {
        cluster: cluster.clone(),
        key: key.clone(),
    });
    steps.extend(unseen);
    steps
}

pub(super) fn unseen(members: &Members) -> impl Iterator<Item = &(String, ShareKey)> {
    members
        .unseen
        .iter()
        .filter(|(cluster, _)| members.reach.contains_key(cluster))
}

/// When what is on members is removed after the end.
fn gone_at(facts: &Facts) -> Option<Seconds> {
    Some(facts.finished.as_ref()?.at?.saturating_add(facts.ttl?))
}

/// The deletion: withdraw everywhere, then let go. A silent member is waited for; one that is no longer registered
/// cannot be asked any more.
fn teardown(facts: &Facts, members: &Members) -> Plan {
    if !facts.finalizer {
        return Plan::default();
    }
    let silent: Vec<&str> = silent(facts, members).into_iter().collect();
    if members.shares.is_empty() && unseen(members).next().is_none() && silent.is_empty() {
        return Plan {
            finalizer: Finalizer::Remove,
            ..Plan::default()
        };
    }
    let steps = clearance(members, |_| true);
    let status = (!silent.is_empty()).then(|| {
        let words = format!(
            "waiting for {} to answer before its shares can be withdrawn; if it will not return, delete its SkyCluster \
             with the annotation skymanager.io/abandon=true",
            silent.join(", ")
        );
        let record = facts.finished.as_ref().and_then(|finished| finished.record.clone());
        let mut status = match (record, &facts.placement) {
            (Some(record), _) => Status { generation: facts.generation, ..record },
            (None, Some(placement)) => {
                placed(facts, members, placement, None, None, facts.start.unwrap_or_default())
            }
            (None, None) => unplaced(facts, None),
        };
        status.phase = Phase::Deleting;
        // Finished stays finished.
        let lasting = ["Scheduled", "Complete", "Failed"];
        status.conditions.retain(|condition| lasting.contains(&condition.kind));
        status
            .conditions
            .push(condition("Reconciling", true, "Deleting", &words));
        status
    });
    Plan {
        steps,
        status,
        ..Plan::default()
    }
}

#[cfg(test)]
mod tests;
