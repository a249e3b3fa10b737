//! Decides what is to be done about one SkyDeployment: steps on members, the finalizer, the queue, and the status
//! wanted. Apply makes no choices of its own.
//!
//! A placement is recorded before anything is done for it: where it changes, the steps wait for the next look.

use super::facts::{Facts, Members};
use super::rollout::{Stage, stage, turns};
use super::settle::{Settled, settle};
use super::status::{Status, status};
use crate::Seconds;
use crate::decision::{Decision, Outcome};
use crate::eviction;
use crate::job::{Finalizer, Reach};
use crate::observation::Observation;
use crate::placement::{PlacedShare, Placement, id_revision};
use crate::share::ShareKey;
use crate::workload::Workload;

/// What is to be done about one SkyDeployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What happens to the finalizer, before anything else.
    pub finalizer: Finalizer,
    /// Steps on members, in any order.
    pub steps: Vec<Step>,
    /// Whether it waits for the scheduler.
    pub queue: bool,
    /// Whether the status wanted has another placement than the record, by an answer of the scheduler.
    pub binds: bool,
    /// The status wanted; `None`: leave it.
    pub status: Option<Status>,
    /// When to look again at the latest, whatever happens.
    pub wake: Option<Seconds>,
}

/// One step on a member.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create the object of this share, or make it as wanted.
    Ensure {
        /// The share.
        share: PlacedShare,
        /// Only the number of replicas: its turn for the present template has not come.
        only_scale: bool,
        /// Generation of its object that this is an answer to; 0 when it is not there.
        seen: i64,
        /// Of the template that the other replicas still have, for the changed one waits.
        as_before: bool,
    },
    /// Remove an object.
    Withdraw {
        /// Cluster name.
        cluster: String,
        /// Its object.
        key: ShareKey,
    },
}

/// The part of `workload` that has no place and is to be given one at `now`; `None` when all has.
#[must_use]
pub fn ask(workload: &Workload, facts: &Facts, members: &Members, now: Seconds) -> Option<Workload> {
    if facts.deleting || !facts.finalizer || facts.refused.is_some() {
        return None;
    }
    let settled = settle(facts, members, now);
    let missing = missing(facts, &settled.placement);
    (missing > 0).then(|| Workload {
        replicas: missing,
        gang: false,
        placed: settled.placement.staying(),
        cooling: eviction::cooling(&settled.cool_downs, now),
        revision: settled.placement.revision,
        ..workload.clone()
    })
}

fn missing(facts: &Facts, placement: &Placement) -> i64 {
    let placed: i64 = placement.shares.iter().map(|share| share.replicas).sum();
    (facts.replicas - placed).max(0)
}

/// Plans one SkyDeployment at `now`. `answer` is what the scheduler last said about what it asked for.
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
    if let Some(facts) = recovered(facts, members, now) {
        return Plan {
            status: Some(status(&facts, members, &settle(&facts, members, now), None)),
            ..Plan::default()
        };
    }
    let settled = settle(facts, members, now);
    let missing = missing(facts, &settled.placement);
    let recorded = settled.placement.is_like(&facts.placement);
    // What was asked for was asked on the record: while that is to be changed, no answer is taken.
    let answer = answer.filter(|_| missing > 0 && recorded);
    let next = answer.and_then(|answer| grown(&settled.placement, missing, answer, now));
    let binds = next.is_some();
    let settled = Settled {
        placement: next.unwrap_or(settled.placement),
        ..settled
    };
    let mut steps = stale(members, &facts.placement);
    if recorded && !binds {
        steps.extend(ensures(facts, members));
    }
    let waits = missing > 0 && !binds && facts.refused.is_none();
    let cooled = eviction::cooling(&settled.cool_downs, now).into_values().min();
    Plan {
        steps,
        queue: waits && recorded,
        binds,
        // Before the first answer there is nothing to say, and the write would hold up the bind.
        status: (answer.is_some() || !waits || facts.placement.revision > 0)
            .then(|| status(facts, members, &settled, answer.filter(|_| waits))),
        wake: settled.wake.into_iter().chain(cooled.filter(|_| waits)).min(),
        ..Plan::default()
    }
}

/// The record with the shares that members have of a placement that it does not know of: it is lost, and is written
/// again. The write is fenced, so that it fails when the record was only behind.
fn recovered(facts: &Facts, members: &Members, now: Seconds) -> Option<Facts> {
    let mut placement = facts.placement.clone();
    for (cluster, seen) in &members.shares {
        let revision = id_revision(&seen.stamp.share);
        let taken = placement.shares.iter().any(|share| share.cluster == *cluster);
        if revision > facts.placement.revision && !seen.deleting && !taken {
            placement.revision = placement.revision.max(revision);
            placement.shares.push(PlacedShare {
                id: seen.stamp.share.clone(),
                cluster: cluster.clone(),
                replicas: seen.replicas,
                attempt: seen.stamp.attempt,
                bound: Some(now),
                ..PlacedShare::default()
            });
        }
    }
    (placement.revision > facts.placement.revision).then(|| Facts {
        placement,
        ..facts.clone()
    })
}

/// The placement with the parts that the scheduler's answer gives: what a cluster has already grows, and only other
/// clusters get a share of a new id.
fn grown(placement: &Placement, missing: i64, answer: &Decision, now: Seconds) -> Option<Placement> {
    let Outcome::Placed(parts) = &answer.outcome else {
        return None;
    };
    let total: i64 = parts.iter().map(|(_, count)| count).sum();
    if total <= 0 || total > missing {
        return None;
    }
    let mut next = placement.clone();
    next.revision = next.revision.saturating_add(1);
    for (index, (cluster, count)) in parts.iter().enumerate() {
        match next.shares.iter_mut().find(|share| share.cluster == *cluster) {
            Some(share) => share.replicas = share.replicas.saturating_add(*count),
            None => next.shares.push(PlacedShare {
                id: format!("{}-{index}", next.revision),
                cluster: cluster.clone(),
                replicas: *count,
                attempt: 1,
                bound: Some(now),
                ..PlacedShare::default()
            }),
        }
    }
    next.shares.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    Some(next)
}

/// Creates the shares that are not there, and makes the others as wanted, each on a member that answers.
fn ensures(facts: &Facts, members: &Members) -> Vec<Step> {
    let turns = turns(facts, members);
    let outdated = |share: &PlacedShare| stage(facts, members, share) == Some(Stage::Outdated);
    let held_up = facts.paused && facts.placement.shares.iter().any(outdated);
    let shares = facts
        .placement
        .shares
        .iter()
        .filter(|share| members.is_synced(&share.cluster) && facts.refused.is_none());
    let each = shares.filter_map(|share| {
        let ensure = |only_scale: bool, seen: i64| Step::Ensure {
            share: share.clone(),
            only_scale,
            seen,
            as_before: held_up && seen == 0,
        };
        let Some(seen) = members.observed(share) else {
            return Some(ensure(false, 0));
        };
        let generation = seen.rollout.as_ref().map_or(0, |rollout| rollout.generation);
        let outdated = facts.hashes.get(&share.cluster) != Some(&seen.stamp.spec_hash);
        let scales = seen.replicas != share.replicas;
        // A watch may be behind what we made of it; what is later than that, somebody else has made.
        let touched = members
            .applied
            .get(&share.id)
            .is_none_or(|applied| generation > *applied);
        let behind = members
            .applied
            .get(&share.id)
            .is_some_and(|applied| generation < *applied);
        match (outdated, turns.contains(&share.id)) {
            _ if seen.deleting || behind => None,
            (true, true) => Some(ensure(false, generation)),
            (true, false) => scales.then(|| ensure(true, generation)),
            (false, _) => (scales || touched).then(|| ensure(false, generation)),
        }
    });
    each.collect()
}

/// Withdraws what members have of it that is not in `placement`: what has left it, also while they were silent. What is
/// newer than the record is waited for: the record is behind.
fn stale(members: &Members, placement: &Placement) -> Vec<Step> {
    let is_stale = |(_, seen): &&(String, Observation)| {
        let known = placement.shares.iter().any(|share| share.id == seen.stamp.share);
        let newer = id_revision(&seen.stamp.share) > placement.revision;
        !known && !newer && !seen.deleting
    };
    members.shares.iter().filter(is_stale).map(withdraw).collect()
}

fn withdraw((cluster, seen): &(String, Observation)) -> Step {
    Step::Withdraw {
        cluster: cluster.clone(),
        key: seen.key.clone(),
    }
}

/// The deletion: withdraw everywhere, then let go. A silent member is waited for; one that is no longer registered
/// cannot be asked any more.
fn teardown(facts: &Facts, members: &Members) -> Plan {
    if !facts.finalizer {
        return Plan::default();
    }
    let silent = silent(facts, members);
    let unseen = || {
        let reachable = |(cluster, _): &&(String, ShareKey)| members.reach.contains_key(cluster);
        members.unseen.iter().filter(reachable)
    };
    if members.shares.is_empty() && unseen().next().is_none() && silent.is_empty() {
        return Plan {
            finalizer: Finalizer::Remove,
            ..Plan::default()
        };
    }
    let present = members.shares.iter().filter(|(_, seen)| !seen.deleting);
    let asked = unseen().map(|(cluster, key)| Step::Withdraw {
        cluster: cluster.clone(),
        key: key.clone(),
    });
    Plan {
        steps: present.map(withdraw).chain(asked).collect(),
        status: Some(super::status::leaving(facts, &silent)),
        ..Plan::default()
    }
}

/// Clusters of its shares that do not answer.
fn silent(facts: &Facts, members: &Members) -> Vec<String> {
    let shares = facts.placement.shares.iter();
    let mut silent: Vec<String> = shares
        .filter(|share| matches!(members.reach.get(&share.cluster), Some(Reach::Silent { .. })))
        .map(|share| share.cluster.clone())
        .collect();
    silent.dedup();
    silent
}

#[cfg(test)]
mod tests;
