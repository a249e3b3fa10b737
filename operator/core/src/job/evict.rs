//! Carries evictions on: which shares must go or cannot start, how far each has got, and what is left to place again.
//! Called by `plan`.
//!
//! An eviction is recorded before anything is done about it, so that a restart knows what it meant. The share is then
//! held back or made inert on its member, where it stays as a tombstone; when nothing of it runs any more, its ranks
//! are queued again.

use super::facts::{Facts, Members, Reach, SentBack};
use super::finish::{completed, never_ran, observed, vanished};
use super::lost;
use super::plan::Step;
use crate::Seconds;
use crate::eviction::{self, CoolDown, Eviction, TOMBSTONE_SECONDS, reason};
use crate::observation::{End, Observation, Started, Trouble};
use crate::placement::{PlacedShare, Placement, Unplaced};
use crate::ranks::Ranks;

/// Where the evictions of a SkyJob stand.
pub(super) struct Progress {
    /// The placement as it is to be recorded.
    pub(super) placement: Placement,
    /// Evictions so far.
    pub(super) evictions: Vec<Eviction>,
    /// Clusters that are not tried for a while.
    pub(super) cool_downs: Vec<CoolDown>,
    /// Steps on members.
    pub(super) steps: Vec<Step>,
    /// Replicas that had started were stopped, and no try is left.
    pub(super) failed: Option<Trouble>,
    /// When a share will have waited too long.
    pub(super) wake: Option<Seconds>,
}

/// What becomes of a share that is being evicted.
enum Next {
    /// It takes its time.
    Wait,
    /// A step on its member.
    Do(Box<Step>),
    /// A replica started after all, before it was held back: it stays.
    Stay,
    /// A replica started while it was held back, and was stopped by that: one try is used.
    Resume,
    /// Nothing of it runs any more.
    Gone {
        /// Whether a replica may have started.
        started: bool,
    },
}

/// Looks at every share of `placement` at `now`.
pub(super) fn progress(facts: &Facts, members: &Members, placement: &Placement, now: Seconds) -> Progress {
    let mut progress = Progress {
        placement: Placement {
            shares: Vec::new(),
            ..placement.clone()
        },
        evictions: facts.evictions.clone(),
        cool_downs: facts.cool_downs.clone(),
        steps: Vec::new(),
        failed: None,
        wake: None,
    };
    let mut returned = false;
    for stored in &placement.shares {
        let share = lost::look(facts, members, refreshed(facts, members, stored, now));
        returned |= stored.is_lost() && !share.is_lost();
        match &share.evicting {
            // It keeps its place until its ranks have another one.
            Some(_) if share.is_lost() => progress.placement.shares.push(share),
            Some(why) => {
                let why = why.clone();
                carry_on(facts, members, share, &why, now, &mut progress);
            }
            None => {
                let due = started_late(facts, members, &share);
                progress.wake = progress.wake.into_iter().chain(due.filter(|at| *at > now)).min();
                let why = if share.complete {
                    None
                } else {
                    must_go(facts, members, &share, now)
                };
                progress.placement.shares.push(PlacedShare {
                    evicting: why,
                    ..share
                });
            }
        }
    }
    break_gang(facts, members, returned, &mut progress.placement);
    progress
}

/// The share with what its member shows by now.
fn refreshed(facts: &Facts, members: &Members, share: &PlacedShare, now: Seconds) -> PlacedShare {
    let observed = observed(members, share);
    let seen = observed.is_some_and(|seen| seen.started == Started::Yes);
    let resumed = facts.was_suspended && !facts.suspend && !share.seen;
    PlacedShare {
        seen: share.seen || seen,
        complete: completed(facts, members, share),
        // The time in which it was held back does not count as waiting.
        bound: if resumed { Some(now) } else { share.bound },
        instance: instance(members, share, observed),
        ..share.clone()
    }
}

/// The instance to be recorded: the one that its member holds back, unless another one is recorded that may have run.
fn instance(members: &Members, share: &PlacedShare, seen: Option<&Observation>) -> Option<String> {
    let held = seen.filter(|seen| seen.confirm.is_some() && share.evicting.is_none());
    match (&share.instance, held) {
        (None, Some(held)) => Some(held.instance.clone()),
        (Some(_), Some(held)) if never_ran(members, share) => Some(held.instance.clone()),
        (recorded, _) => recorded.clone(),
    }
}

/// When `share` will have waited too long for its first replica; `None`: it started, or may wait.
fn started_late(facts: &Facts, members: &Members, share: &PlacedShare) -> Option<Seconds> {
    let waits = match observed(members, share) {
        Some(seen) => seen.started == Started::No && seen.end.is_none() && !seen.deleting,
        None => {
            let sent_back = members.sent_back.get(&share.id);
            !vanished(facts, members, share) && !sent_back.is_some_and(SentBack::waits_for_a_user)
        }
    };
    let timed = facts.pending_timeout > 0 && !facts.suspend && !share.seen && !share.complete;
    if timed && waits {
        let back = members.back_since.get(&share.cluster).copied();
        let waited = members.waited.get(&share.id).copied();
        let since = share.bound?.max(back.max(waited).unwrap_or(Seconds::MIN));
        Some(since.saturating_add(facts.pending_timeout))
    } else {
        None
    }
}

/// Why `share` is to be evicted, if it is.
fn must_go(facts: &Facts, members: &Members, share: &PlacedShare, now: Seconds) -> Option<Trouble> {
    let seen = observed(members, share);
    if seen.is_some_and(|seen| seen.end.is_some()) {
        return None;
    }
    if let Some(why) = members.forbidden.get(&share.cluster) {
        return Some(why.clone());
    }
    let sent_back = members.sent_back.get(&share.id).filter(|_| seen.is_none());
    if let Some(refusal) = sent_back.filter(|refusal| refusal.trouble.reason == reason::CONFLICT) {
        return Some(refusal.trouble.clone());
    }
    let synced = members.reach.get(&share.cluster) == Some(&Reach::Synced);
    let late = started_late(facts, members, share).is_some_and(|at| now >= at);
    if !synced || !late {
        return None;
    }
    let words = seen
        .and_then(|seen| seen.trouble.as_ref())
        .or(sent_back.map(|refusal| &refusal.trouble))
        .map_or_else(String::new, |trouble| {
            format!(": {}: {}", trouble.reason, trouble.message)
        });
    Some(Trouble {
        reason: reason::PENDING_TIMEOUT.into(),
        message: format!("no replica started within {} s{words}", facts.pending_timeout),
    })
}

/// Before the first replica of a gang has started, one share that goes takes all others with it; and one that returns from
/// a lost cluster goes after those that have left meanwhile.
fn break_gang(facts: &Facts, members: &Members, returned: bool, placement: &mut Placement) {
    let has_begun = |share: &PlacedShare| {
        let seen = observed(members, share);
        share.seen || share.complete || seen.is_some_and(|seen| seen.started != Started::No)
    };
    let evicting = placement.shares.iter().any(|share| share.evicting.is_some());
    let evicting = evicting || (returned && !placement.unplaced.is_empty());
    let whole = placement.unplaced.is_empty() || placement.unplaced.iter().all(|one| one.interruptions == 0);
    if !facts.gang || !evicting || !whole || placement.shares.iter().any(has_begun) {
        return;
    }
    for share in placement
        .shares
        .iter_mut()
        .filter(|share| share.evicting.is_none())
    {
        share.evicting = Some(Trouble {
            reason: reason::GANG.into(),
            message: "another share of its gang cannot start".into(),
        });
    }
}

/// Takes the eviction of `share`, which is recorded, one step further.
fn carry_on(
    facts: &Facts,
    members: &Members,
    share: PlacedShare,
    why: &Trouble,
    now: Seconds,
    progress: &mut Progress,
) {
    let used = share.interruptions.saturating_add(1);
    let rest = share.ranks.without(&done(members, &share));
    // Nothing was interrupted where all had succeeded, or where its own user had stopped it.
    let held_by_user = facts.suspend && facts.was_suspended;
    let interrupts = !rest.is_empty() && !held_by_user;
    match next(facts, members, &share, why, now) {
        Next::Wait => progress.placement.shares.push(share),
        Next::Do(step) => {
            progress.steps.push(*step);
            progress.placement.shares.push(share);
        }
        Next::Stay => progress.placement.shares.push(PlacedShare {
            evicting: None,
            ..share
        }),
        Next::Resume if used <= facts.limit => progress.placement.shares.push(PlacedShare {
            evicting: None,
            interruptions: used,
            bound: Some(now),
            ..share
        }),
        Next::Resume => {
            progress.failed = Some(interrupted(facts, &share, why));
            progress.placement.shares.push(share);
        }
        Next::Gone { started } if started && interrupts && used > facts.limit => {
            progress.failed = Some(interrupted(facts, &share, why));
            progress.placement.shares.push(share);
        }
        Next::Gone { started } => {
            let interruptions = if started && interrupts {
                used
            } else {
                share.interruptions
            };
            take_out(members, &share, why, interruptions, now, progress);
        }
    }
}

fn interrupted(facts: &Facts, share: &PlacedShare, why: &Trouble) -> Trouble {
    Trouble {
        reason: reason::INTERRUPTED.into(),
        message: format!(
            "on {}: evicted ({}: {}) when a replica had started, and backoffLimit {} leaves no other try",
            share.cluster, why.reason, why.message, facts.limit
        ),
    }
}

/// How far the eviction of `share` has got on its member.
fn next(facts: &Facts, members: &Members, share: &PlacedShare, why: &Trouble, now: Seconds) -> Next {
    if members.reach.get(&share.cluster) != Some(&Reach::Synced) {
        return Next::Wait;
    }
    let Some(seen) = observed(members, share) else {
        return if can_never_come(facts, members, share, now) {
            Next::Gone { started: share.seen }
        } else {
            bury(share)
        };
    };
    let started = share.seen || seen.started != Started::No;
    if seen.end == Some(End::Complete) {
        return Next::Stay;
    }
    if seen.deleting {
        return Next::Wait;
    }
    if seen.tombstone.is_some() {
        return if seen.active > 0 {
            Next::Wait
        } else {
            Next::Gone { started }
        };
    }
    if !only_if_not_started(why) {
        return bury(share);
    }
    match (seen.suspended, seen.active, started) {
        (false, _, true) => Next::Stay,
        (false, _, false) => Next::Do(Box::new(hold(share, seen))),
        (true, 1.., _) => Next::Wait,
        (true, _, false) => bury(share),
        // What has failed on its member by being stopped cannot be resumed there.
        (true, _, true) if seen.end.is_some() => bury(share),
        (true, _, true) => Next::Resume,
    }
}

/// Whether nothing of a share that its member does not show can come to be there, though no tombstone keeps its name:
/// something else has the name; or the member refuses the tombstone too, with no request to it without an answer, for
/// longer than one sent before can be on its way.
fn can_never_come(facts: &Facts, members: &Members, share: &PlacedShare, now: Seconds) -> bool {
    let Some(refusal) = members.sent_back.get(&share.id) else {
        return false;
    };
    if refusal.trouble.reason == reason::CONFLICT {
        return true;
    }
    let answered = refusal.trouble.reason != "Unreachable";
    let may_come = members
        .unseen
        .iter()
        .any(|(cluster, _)| *cluster == share.cluster);
    let wait = facts.pending_timeout.saturating_add(TOMBSTONE_SECONDS);
    let long_ago = share.bound.is_some_and(|at| now >= at.saturating_add(wait));
    answered && !may_come && !share.seen && long_ago
}

fn bury(share: &PlacedShare) -> Next {
    Next::Do(Box::new(Step::Bury { share: share.clone() }))
}

fn hold(share: &PlacedShare, seen: &Observation) -> Step {
    Step::Hold {
        cluster: share.cluster.clone(),
        key: seen.key.clone(),
    }
}

/// Whether a share evicted for this stays when a replica has started after all.
fn only_if_not_started(why: &Trouble) -> bool {
    why.reason == reason::PENDING_TIMEOUT || why.reason == reason::GANG
}

/// Ranks of the share that have succeeded, as its member says.
pub(super) fn done(members: &Members, share: &PlacedShare) -> Ranks {
    let seen = observed(members, share);
    seen.map(|seen| share.ranks.at(&seen.done)).unwrap_or_default()
}

/// Takes the share out of the placement: what has succeeded stays recorded, the rest waits for a place.
fn take_out(
    members: &Members,
    share: &PlacedShare,
    why: &Trouble,
    interruptions: i64,
    now: Seconds,
    progress: &mut Progress,
) {
    let done = done(members, share);
    let rest = share.ranks.without(&done);
    if !done.is_empty() {
        progress.placement.shares.push(PlacedShare {
            replicas: done.count(),
            ranks: done,
            complete: true,
            evicting: None,
            ..share.clone()
        });
    }
    if rest.is_empty() {
        return;
    }
    let record = Eviction {
        cluster: share.cluster.clone(),
        replicas: rest.count(),
        reason: why.reason.clone(),
        message: why.message.clone(),
        at: now,
        attempt: share.attempt,
    };
    eviction::record(&mut progress.evictions, record);
    if why.reason == reason::PENDING_TIMEOUT || why.reason == reason::CONFLICT {
        eviction::cool_down(&mut progress.cool_downs, &share.cluster, now);
    }
    progress.placement.unplaced.push(Unplaced {
        ranks: rest,
        attempt: share.attempt,
        interruptions,
    });
}

/// Tombstones that have kept their names long enough, and when the next one will have.
pub(super) fn tombstones(facts: &Facts, members: &Members, now: Seconds) -> (Vec<Step>, Option<Seconds>) {
    let (mut steps, mut wake) = (Vec::new(), None);
    // Until it is recorded that a share has left, what it has done is known from its tombstone alone.
    let shares = facts.placement.iter().flat_map(|placement| &placement.shares);
    let evicting: Vec<&str> = shares
        .filter(|share| share.evicting.is_some() && facts.finished.is_none())
        .map(|share| share.id.as_str())
        .collect();
    for (cluster, seen) in &members.shares {
        let Some(since) = seen.tombstone else { continue };
        let silent = members.reach.get(cluster) != Some(&Reach::Synced);
        if silent || evicting.contains(&seen.stamp.share.as_str()) {
            continue;
        }
        let until = since.saturating_add(TOMBSTONE_SECONDS);
        if now < until {
            wake = Some(wake.map_or(until, |at: Seconds| at.min(until)));
        } else if !seen.deleting {
            steps.push(Step::Withdraw {
                cluster: cluster.clone(),
                key: seen.key.clone(),
            });
        }
    }
    (steps, wake)
}
