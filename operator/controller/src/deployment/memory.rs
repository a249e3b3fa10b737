//! What is remembered of a SkyDeployment between two looks. Losing it costs a few requests, never correctness.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use serde_json::Value;
use sky_core::Seconds;
use sky_core::deployment::Status;
use sky_core::job::SentBack;
use sky_core::observation::Observation;
use sky_core::pace::Times;
use sky_core::placement::Placement;
use sky_core::share::ShareKey;
use sky_crds::SkyDeployment;
use tokio::time::Instant;

use crate::follow::Ledger;

/// What is remembered of one SkyDeployment.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Our last write, and the version that it was made from: a cache that shows that one is behind.
    written: Option<(Vec<String>, Box<SkyDeployment>)>,
    /// The generation that what was sent back was of.
    generation: i64,
    /// Hash of the template that is known to be the newest revision on the host.
    pub(super) revision: Option<String>,
    /// Templates that revisions keep besides it, as they were when they were last listed.
    pub(super) earlier: Vec<Value>,
    /// The status wanted at the last look.
    pub(super) wanted: Option<Status>,
    /// When it was written and changed.
    pub(super) times: Times,
    /// Generation of each share's object after it was last made as wanted, by share id.
    pub(super) applied: BTreeMap<String, i64>,
    /// How many replicas of a share wait to start, of how many, and since when, by share id.
    pub(super) pending: BTreeMap<String, (i64, i64, Seconds)>,
    /// Shares that a member was asked to create, or did not answer about, and has not shown yet: cluster and object.
    pub(super) unseen: BTreeMap<String, (String, ShareKey)>,
    /// Shares that a member would not take, and when to try again.
    pub(super) sent_back: BTreeMap<String, (SentBack, Instant)>,
    /// Until when shares waited for what a user has to mend, by share id.
    pub(super) waited: BTreeMap<String, Seconds>,
    /// What was done about the ConfigMaps and Secrets that it names.
    pub(super) ledger: Ledger,
    /// Steps under way on members, by what they are for: not repeated before their effect can be seen.
    pub(super) under_way: BTreeMap<String, Instant>,
}

impl Memory {
    /// `cached`, or what we wrote when the cache does not show our last write yet.
    pub(super) fn latest(&mut self, cached: &SkyDeployment) -> SkyDeployment {
        let version = cached.resource_version().unwrap_or_default();
        let latest = match &self.written {
            Some((behind, written)) if behind.contains(&version) => (**written).clone(),
            _ => {
                self.written = None;
                cached.clone()
            }
        };
        // Another spec may be one that members take.
        let generation = latest.metadata.generation.unwrap_or(0);
        if self.generation != generation {
            self.generation = generation;
            self.sent_back.clear();
            self.under_way.clear();
        }
        latest
    }

    /// Takes in what members have of it at `now`: since when as many of its replicas wait as now.
    pub(super) fn look(&mut self, shares: &[(String, Observation)], now: Seconds) {
        for (_, seen) in shares {
            let (waiting, of) = (seen.counts.pending, seen.replicas);
            let known = self.pending.get(&seen.stamp.share);
            let as_before = known.is_some_and(|(before, all, _)| (*before, *all) == (waiting, of));
            if waiting == 0 {
                self.pending.remove(&seen.stamp.share);
            } else if !as_before {
                self.pending.insert(seen.stamp.share.clone(), (waiting, of, now));
            }
        }
    }

    /// Forgets shares that are neither placed nor on any member: their ids are never used again.
    pub(super) fn forget(&mut self, placement: &Placement, shares: &[(String, Observation)]) {
        let placed = placement.shares.iter().map(|share| share.id.as_str());
        let there = shares.iter().map(|(_, seen)| seen.stamp.share.as_str());
        let known: BTreeSet<&str> = placed.chain(there).collect();
        self.applied.retain(|share, _| known.contains(share.as_str()));
        self.pending.retain(|share, _| known.contains(share.as_str()));
    }

    /// Remembers a write: made from `from`, answered by `written`.
    pub(super) fn wrote(&mut self, from: &SkyDeployment, written: &SkyDeployment) {
        let mut behind = self.written.take().map(|(behind, _)| behind).unwrap_or_default();
        behind.push(from.resource_version().unwrap_or_default());
        // A cache is behind by a few versions, not by many.
        let surplus = behind.len().saturating_sub(16);
        self.written = Some((behind.split_off(surplus), Box::new(written.clone())));
    }
}

/// Memories by uid.
#[derive(Default)]
pub(super) struct Memories(Mutex<HashMap<String, Memory>>);

impl Memories {
    /// Takes the memory of this uid out, an empty one when there is none.
    pub(super) fn take(&self, uid: &str) -> Memory {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(uid).unwrap_or_default()
    }

    /// Puts it back.
    pub(super) fn put(&self, uid: &str, memory: Memory) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(uid.to_owned(), memory);
    }
}

#[cfg(test)]
mod tests {
    use sky_core::placement::PlacedShare;

    use super::*;

    #[test]
    fn what_is_remembered_of_a_share_goes_with_it() {
        let mut memory = Memory::default();
        for share in ["1-0", "2-0"] {
            memory.applied.insert(share.into(), 3);
            memory.pending.insert(share.into(), (1, 2, 100));
        }
        let placed = PlacedShare {
            id: "2-0".into(),
            ..PlacedShare::default()
        };
        let placement = Placement {
            shares: vec![placed],
            ..Placement::default()
        };
        memory.forget(&placement, &[]);
        assert_eq!(memory.applied.keys().collect::<Vec<_>>(), ["2-0"]);
        assert_eq!(memory.pending.keys().collect::<Vec<_>>(), ["2-0"]);
    }
}
