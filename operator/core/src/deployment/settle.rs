//! The placement as it is to be: without the shares that may not or cannot stay, and with no more replicas than asked
//! for. Called by `plan`.
//!
//! Replicas of a SkyDeployment are alike, and one too many for a moment does no harm: a share that leaves is out of the
//! placement at once, and whatever members still have of it is withdrawn, also when a silent one comes back.

use super::facts::{Facts, Members};
use super::rollout::{Stage, stage};
use super::shrink::shrink;
use crate::Seconds;
use crate::eviction::{self, CoolDown, Eviction, OnLost, reason};
use crate::job::Reach;
use crate::observation::{Started, Trouble};
use crate::placement::{PlacedShare, Placement};

/// Where the shares stay, and what is recorded of those that do not.
pub(super) struct Settled {
    pub(super) placement: Placement,
    pub(super) evictions: Vec<Eviction>,
    pub(super) cool_downs: Vec<CoolDown>,
    /// When a share will have waited too long.
    pub(super) wake: Option<Seconds>,
}

/// Looks at every share at `now`.
pub(super) fn settle(facts: &Facts, members: &Members, now: Seconds) -> Settled {
    let mut settled = Settled {
        placement: Placement {
            shares: Vec::new(),
            ..facts.placement.clone()
        },
        evictions: facts.evictions.clone(),
        cool_downs: facts.cool_downs.clone(),
        wake: None,
    };
    for share in &facts.placement.shares {
        let started = members
            .observed(share)
            .is_some_and(|seen| seen.started != Started::No);
        let share = PlacedShare {
            seen: share.seen || started,
            ..share.clone()
        };
        match leaves(facts, members, &share, now) {
            Some(why) => evict(&mut settled, &share, why, now),
            None => {
                let share = split(facts, members, share, now, &mut settled);
                let late = late_at(facts, members, &share).filter(|at| *at > now);
                settled.wake = settled.wake.into_iter().chain(late).min();
                settled.placement.shares.push(share);
            }
        }
    }
    let shares = &mut settled.placement.shares;
    let surplus = shares.iter().map(|share| share.replicas).sum::<i64>() - facts.replicas;
    if surplus > 0 && facts.refused.is_none() {
        let idle = |share: &PlacedShare| {
            let running = members.observed(share).map_or(0, |seen| seen.counts.running);
            share.replicas - running
        };
        shrink(shares, surplus, &facts.strategy, &members.standings, idle);
        shares.retain(|share| share.replicas > 0);
        shares.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    }
    settled
}

/// Why `share` is to go, if it is.
fn leaves(facts: &Facts, members: &Members, share: &PlacedShare, now: Seconds) -> Option<Trouble> {
    if let Some(why) = members.forbidden.get(&share.cluster) {
        return Some(why.clone());
    }
    match members.reach.get(&share.cluster) {
        None => {
            return Some(trouble(
                reason::CLUSTER_GONE,
                "the SkyCluster is no longer registered".into(),
            ));
        }
        Some(Reach::Silent { lost: true, message }) if facts.on_lost == OnLost::Reschedule => {
            return Some(trouble(reason::LOST, message.clone()));
        }
        Some(Reach::Silent { .. }) => return None,
        Some(Reach::Synced) => {}
    }
    let sent_back = members.sent_back.get(&share.id);
    let conflict = sent_back.filter(|refusal| refusal.trouble.reason == reason::CONFLICT);
    if let (Some(refusal), None) = (conflict, members.observed(share)) {
        return Some(refusal.trouble.clone());
    }
    late_at(facts, members, share).filter(|at| now >= *at)?;
    let seen = members.observed(share).and_then(|seen| seen.trouble.as_ref());
    let words = seen
        .or(sent_back.map(|refusal| &refusal.trouble))
        .map_or_else(String::new, |of| format!(": {}: {}", of.reason, of.message));
    let seconds = facts.pending_timeout;
    Some(trouble(
        reason::PENDING_TIMEOUT,
        format!("no replica started within {seconds} s{words}"),
    ))
}

/// When `share` will have waited too long for its first replica. What no member takes as it is waits for its user.
fn late_at(facts: &Facts, members: &Members, share: &PlacedShare) -> Option<Seconds> {
    let invalid = members
        .sent_back
        .get(&share.id)
        .is_some_and(|refusal| refusal.for_good || refusal.waits_for_a_user());
    if facts.pending_timeout <= 0 || share.seen || invalid || facts.refused.is_some() {
        return None;
    }
    let back = members.back_since.get(&share.cluster).copied();
    let waited = members.waited.get(&share.id).copied();
    let since = share.bound?.max(back.max(waited).unwrap_or(Seconds::MIN));
    Some(since.saturating_add(facts.pending_timeout))
}

/// `share` without the replicas that have waited too long beside others that run: these stay, those move.
fn split(
    facts: &Facts,
    members: &Members,
    share: PlacedShare,
    now: Seconds,
    settled: &mut Settled,
) -> PlacedShare {
    let Some((waiting, at)) = waiting(facts, members, &share) else {
        return share;
    };
    if now < at {
        settled.wake = settled.wake.into_iter().chain([at]).min();
        return share;
    }
    let seen = members.observed(&share).and_then(|seen| seen.trouble.as_ref());
    let words = seen.map_or_else(String::new, |of| format!(": {}: {}", of.reason, of.message));
    let message = format!(
        "{waiting} of {} replicas did not start within {} s{words}",
        share.replicas, facts.pending_timeout
    );
    let moved = PlacedShare {
        replicas: waiting,
        ..share.clone()
    };
    evict(settled, &moved, trouble(reason::PENDING_TIMEOUT, message), now);
    PlacedShare {
        replicas: share.replicas - waiting,
        ..share
    }
}

/// How many replicas of `share` wait to start while others of it run, and when that will have been for too long. In the
/// middle of a rollout old ones run and new ones start: that is the rollout's own affair.
fn waiting(facts: &Facts, members: &Members, share: &PlacedShare) -> Option<(i64, Seconds)> {
    let seen = members.observed(share)?;
    let rollout = members.rollout(share)?;
    let since = members.pending_since.get(&share.id)?;
    let waiting = share.replicas.min(seen.replicas) - seen.counts.running;
    let counts = facts.pending_timeout > 0 && facts.refused.is_none() && members.is_synced(&share.cluster);
    let settled =
        rollout.existing == rollout.updated && stage(facts, members, share) != Some(Stage::Outdated);
    let some = waiting > 0 && seen.counts.running > 0;
    let at = since.saturating_add(facts.pending_timeout);
    (counts && settled && some).then_some((waiting, at))
}

fn evict(settled: &mut Settled, share: &PlacedShare, why: Trouble, now: Seconds) {
    if why.reason == reason::PENDING_TIMEOUT || why.reason == reason::CONFLICT {
        eviction::cool_down(&mut settled.cool_downs, &share.cluster, now);
    }
    let record = Eviction {
        cluster: share.cluster.clone(),
        replicas: share.replicas,
        reason: why.reason,
        message: why.message,
        at: now,
        attempt: share.attempt,
    };
    eviction::record(&mut settled.evictions, record);
}

fn trouble(reason: &str, message: String) -> Trouble {
    Trouble {
        reason: reason.into(),
        message,
    }
}
