//! What is remembered of a SkyJob between two looks. Losing it costs a few requests, never correctness.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kube::ResourceExt;
use sky_core::Seconds;
use sky_core::job::{SentBack, Status};
use sky_core::pace::Times;
use sky_core::share::ShareKey;
use sky_crds::SkyJob;
use tokio::time::Instant;

use crate::follow::Ledger;

/// What is remembered of one SkyJob.
#[derive(Debug)]
pub(super) struct Memory {
    /// Whether there is a SkyJob left to remember.
    pub(super) keep: bool,
    /// Our last write, and the versions that it and those before it were made from: a cache that shows one of them is
    /// behind.
    written: Option<(Vec<String>, Box<SkyJob>)>,
    /// The status wanted at the last look.
    pub(super) wanted: Option<Status>,
    /// When it was written and changed.
    pub(super) times: Times,
    /// Share ids seen on their member.
    pub(super) seen: BTreeSet<String>,
    /// Share ids seen complete on their member.
    pub(super) completed: BTreeSet<String>,
    /// Share ids and instances that their member holds back, and that it was never asked to release.
    pub(super) unreleased: BTreeSet<(String, String)>,
    /// Share ids and instances that a member was asked to release.
    pub(super) released: BTreeSet<(String, String)>,
    /// Shares that a member was asked to create, or did not answer about, and has not shown yet: cluster and object.
    pub(super) unseen: BTreeMap<String, (String, ShareKey)>,
    /// The version from which a placement could not be written, because the object had changed.
    pub(super) refused: Option<String>,
    /// Shares that a member would not take, and when to try again.
    pub(super) sent_back: BTreeMap<String, (SentBack, Instant)>,
    /// Until when shares waited for what a user has to mend, by share id.
    pub(super) waited: BTreeMap<String, Seconds>,
    /// What was done about the ConfigMaps and Secrets that it names.
    pub(super) ledger: Ledger,
    /// Steps under way on members, by what they are for: not repeated before their effect can be seen.
    pub(super) under_way: BTreeMap<String, Instant>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            keep: true,
            written: None,
            wanted: None,
            times: Times::default(),
            seen: BTreeSet::new(),
            completed: BTreeSet::new(),
            unreleased: BTreeSet::new(),
            released: BTreeSet::new(),
            unseen: BTreeMap::new(),
            refused: None,
            sent_back: BTreeMap::new(),
            waited: BTreeMap::new(),
            ledger: Ledger::default(),
            under_way: BTreeMap::new(),
        }
    }
}

impl Memory {
    /// `cached`, or what we wrote when the cache does not show our last write yet.
    pub(super) fn latest(&mut self, cached: &SkyJob) -> SkyJob {
        let version = cached.resource_version().unwrap_or_default();
        match &self.written {
            Some((behind, written)) if behind.contains(&version) => (**written).clone(),
            _ => {
                self.written = None;
                cached.clone()
            }
        }
    }

    /// Remembers a write: made from `from`, answered by `written`.
    pub(super) fn wrote(&mut self, from: &SkyJob, written: &SkyJob) {
        let mut behind = self.written.take().map(|(behind, _)| behind).unwrap_or_default();
        behind.push(from.resource_version().unwrap_or_default());
        // A cache is behind by a few versions, not by many.
        let surplus = behind.len().saturating_sub(16);
        self.written = Some((behind.split_off(surplus), Box::new(written.clone())));
    }
}

/// For so long a cache may still show what has gone, with the finalizer that we removed.
const BEHIND: Duration = Duration::from_secs(60);

/// Memories by uid.
#[derive(Default)]
pub(super) struct Memories(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    memories: HashMap<String, Memory>,
    /// When the finalizer was removed: nothing is done about these any more.
    let_go: HashMap<String, Instant>,
}

impl Memories {
    /// Takes the memory of this uid out, an empty one when there is none. `None`: it was let go.
    pub(super) fn take(&self, uid: &str) -> Option<Memory> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = kept.memories.remove(uid);
        (!kept.let_go.contains_key(uid)).then(|| memory.unwrap_or_default())
    }

    /// Puts it back.
    pub(super) fn put(&self, uid: String, memory: Memory) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.memories.insert(uid, memory);
    }

    /// The finalizer of this uid was removed at `now`.
    pub(super) fn let_go(&self, uid: &str, now: Instant) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.let_go.retain(|_, at| now.duration_since(*at) < BEHIND);
        kept.let_go.insert(uid.to_owned(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_go_is_not_taken_up_again_by_a_cache_that_is_behind() {
        let memories = Memories::default();
        let now = Instant::now();
        memories.put("a".into(), Memory::default());
        memories.let_go("a", now);
        assert!(memories.take("a").is_none());
        assert!(memories.take("b").is_some());
        memories.let_go("b", now + BEHIND + BEHIND);
        assert!(memories.take("a").is_some());
    }
}
