//! Whose turn it is to get a changed template: member by member, and no further when one does not become available.
//! Called by `plan`.

use std::collections::BTreeSet;

use super::facts::{Facts, Members};
use crate::observation::Trouble;
use crate::placement::PlacedShare;

/// How far the present template has got on one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its object is still of another template.
    Outdated,
    /// Its object is of the present template, and replicas are still to be replaced or to become available.
    UnderWay,
    /// Every replica is of the present template and available.
    Done,
}

/// How far `share` has got; `None` when its member does not show it.
pub(super) fn stage(facts: &Facts, members: &Members, share: &PlacedShare) -> Option<Stage> {
    let seen = members.observed(share)?;
    let rollout = seen.rollout.as_ref()?;
    if facts.hashes.get(&share.cluster) != Some(&seen.stamp.spec_hash) {
        return Some(Stage::Outdated);
    }
    let replicas = share.replicas;
    let all =
        rollout.updated >= replicas && rollout.available >= replicas && rollout.existing <= rollout.updated;
    let done = rollout.current && seen.replicas == replicas && all;
    Some(if done { Stage::Done } else { Stage::UnderWay })
}

/// Ids of the outdated shares that may get the present template now. Those that are not available anyway come first: a
/// template that mends what an earlier one broke begins there.
pub(super) fn turns(facts: &Facts, members: &Members) -> BTreeSet<String> {
    if facts.paused {
        return BTreeSet::new();
    }
    let (mut outdated, mut under_way) = (Vec::new(), 0);
    for share in &facts.placement.shares {
        match stage(facts, members, share) {
            Some(Stage::Outdated) if members.is_synced(&share.cluster) => outdated.push(share),
            Some(Stage::UnderWay) => under_way += 1,
            Some(Stage::Outdated | Stage::Done) | None => {}
        }
    }
    let is_available = |share: &PlacedShare| {
        members
            .rollout(share)
            .is_some_and(|rollout| rollout.available >= share.replicas)
    };
    outdated.sort_by_key(|share| (is_available(share), share.cluster.clone()));
    let free = usize::try_from(facts.most_unavailable - under_way).unwrap_or(0);
    let turns = outdated.into_iter().take(free);
    turns.map(|share| share.id.clone()).collect()
}

/// The first member on which the present template makes no progress, and its words.
pub(super) fn stuck(facts: &Facts, members: &Members) -> Option<(String, Trouble)> {
    facts.placement.shares.iter().find_map(|share| {
        let under_way = stage(facts, members, share) == Some(Stage::UnderWay);
        let stuck = members.rollout(share)?.stuck.clone()?;
        under_way.then(|| (share.cluster.clone(), stuck))
    })
}
