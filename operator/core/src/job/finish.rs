//! Judges whether a placed SkyJob has ended, and how. Called by `plan`.

use super::facts::{Facts, Members, Reach};
use crate::Seconds;
use crate::observation::{End, Observation, Trouble};
use crate::placement::{PlacedShare, Placement};

/// How a SkyJob ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Every share is complete.
    Complete,
    /// It failed.
    Failed(Trouble),
}

/// The observation of `share`, if its member has it.
pub(super) fn observed<'m>(members: &'m Members, share: &PlacedShare) -> Option<&'m Observation> {
    let of_share =
        |(cluster, seen): &&(String, Observation)| *cluster == share.cluster && seen.stamp.share == share.id;
    members
        .shares
        .iter()
        .find(of_share)
        .map(|(_, observation)| observation)
}

/// Whether `share` was on its member once and is not any more, without our doing, and may have run. Another object under
/// its name than the one recorded is not it.
pub(super) fn vanished(facts: &Facts, members: &Members, share: &PlacedShare) -> bool {
    let known = members.seen.contains(&share.id) || share.seen || share.instance.is_some();
    let seen = observed(members, share);
    let there = seen.is_some_and(|seen| share.instance.as_ref().is_none_or(|own| *own == seen.instance));
    known
        && share.evicting.is_none()
        && members.reach.get(&share.cluster) == Some(&Reach::Synced)
        && !there
        && !never_ran(members, share)
        && !completed(facts, members, share)
}

/// Whether the object of `share` was held back until it was lost: it may be created again, at no cost.
pub(super) fn never_ran(members: &Members, share: &PlacedShare) -> bool {
    let released = share.seen || share.complete;
    let mut held = members.unreleased.iter().filter(|(id, _)| *id == share.id);
    let is_own = |instance: &String| share.instance.as_ref().is_none_or(|own| own == instance);
    !released && held.any(|(_, instance)| is_own(instance))
}

/// Whether every replica of `share` has succeeded, also when somebody has cleaned it up on its member since.
pub(super) fn completed(facts: &Facts, members: &Members, share: &PlacedShare) -> bool {
    let recorded = facts
        .recorded
        .get(&share.cluster)
        .filter(|_| is_alone(facts, share));
    match observed(members, share) {
        _ if share.complete => true,
        Some(seen) => seen.end == Some(End::Complete),
        None => {
            members.completed.contains(&share.id)
                || recorded.is_some_and(|counts| counts.succeeded > 0 && counts.succeeded >= share.replicas)
        }
    }
}

/// Whether the counts recorded for its cluster are those of `share` alone.
fn is_alone(facts: &Facts, share: &PlacedShare) -> bool {
    let shares = facts.placement.iter().flat_map(|placement| &placement.shares);
    let mut there = shares.filter(|other| other.cluster == share.cluster);
    there.next().is_some_and(|other| other.id == share.id) && there.next().is_none()
}

/// Whether and how the job has ended at `now`.
pub(super) fn judge(facts: &Facts, members: &Members, placement: &Placement, now: Seconds) -> Option<Ending> {
    let failed = |reason: &str, message: String| {
        Some(Ending::Failed(Trouble {
            reason: reason.into(),
            message,
        }))
    };
    let mut complete = 0;
    for share in &placement.shares {
        // How an eviction ends is judged when it has.
        let end = observed(members, share)
            .and_then(|observation| observation.end.as_ref())
            .filter(|_| share.evicting.is_none() && !share.complete);
        match end {
            Some(End::Failed(trouble)) => {
                return failed(
                    &trouble.reason,
                    format!("on {}: {}", share.cluster, trouble.message),
                );
            }
            None if vanished(facts, members, share) => {
                let words = "the share was deleted on its member by somebody else; its replicas may have run";
                return failed("DeletedOnMember", format!("on {}: {words}", share.cluster));
            }
            Some(End::Complete) | None => {}
        }
        complete += usize::from(completed(facts, members, share));
        if let Some(refusal) = members
            .sent_back
            .get(&share.id)
            .filter(|refusal| refusal.for_good && share.evicting.is_none())
        {
            return failed(
                &refusal.trouble.reason,
                format!("on {}: {}", share.cluster, refusal.trouble.message),
            );
        }
    }
    let all = placement.missing(facts.replicas).is_empty() && !placement.shares.is_empty();
    if all && complete == placement.shares.len() {
        return Some(Ending::Complete);
    }
    overdue(facts, members, placement, now)
}

/// Failed, when the job is overdue at `now`.
pub(super) fn overdue(
    facts: &Facts,
    members: &Members,
    placement: &Placement,
    now: Seconds,
) -> Option<Ending> {
    // A member that has not spoken may hold the result: its silence is no lateness, until it is lost.
    let is_late = overdue_at(facts).is_some_and(|at| now >= at) && !is_unheard(facts, members, placement);
    let seconds = facts.deadline.unwrap_or_default();
    is_late.then(|| {
        Ending::Failed(Trouble {
            reason: "DeadlineExceeded".into(),
            message: format!("not done within activeDeadlineSeconds ({seconds})"),
        })
    })
}

/// Whether a share that is not known to be complete is on a member that is silent and not lost.
pub(super) fn is_unheard(facts: &Facts, members: &Members, placement: &Placement) -> bool {
    placement.shares.iter().any(|share| {
        let reach = members.reach.get(&share.cluster);
        matches!(reach, Some(Reach::Silent { lost: false, .. })) && !completed(facts, members, share)
    })
}

/// When the job is overdue.
pub(super) fn overdue_at(facts: &Facts) -> Option<Seconds> {
    Some(facts.start?.saturating_add(facts.deadline?))
}
