//! What is remembered of a SkyJob between two looks. Losing it costs a few requests, never correctness.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use kube::ResourceExt;
use sky_core::job::{SentBack, Status};
use sky_core::pace::Times;
use sky_crds::SkyJob;

/// What is remembered of one SkyJob.
#[derive(Debug)]
pub(super) struct Memory {
    /// Whether there is a SkyJob left to remember.
    pub(super) keep: bool,
    /// Our last write: the version it was made from, and what the host answered.
    written: Option<(String, Box<SkyJob>)>,
    /// The status wanted at the last look.
    pub(super) wanted: Option<Status>,
    /// When it was written and changed.
    pub(super) times: Times,
    /// Share ids seen on their member.
    pub(super) seen: BTreeSet<String>,
    /// Shares that a member would not take, and when to try again.
    pub(super) sent_back: BTreeMap<String, (SentBack, Instant)>,
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
            sent_back: BTreeMap::new(),
            under_way: BTreeMap::new(),
        }
    }
}

impl Memory {
    /// `cached`, or what we wrote when the cache does not show our last write yet.
    pub(super) fn latest(&mut self, cached: &SkyJob) -> SkyJob {
        match &self.written {
            Some((from, written)) if cached.resource_version().as_deref() == Some(from) => {
                (**written).clone()
            }
            _ => {
                self.written = None;
                cached.clone()
            }
        }
    }

    /// Remembers a write: made from `from`, answered by `written`.
    pub(super) fn wrote(&mut self, from: &SkyJob, written: &SkyJob) {
        // Two writes in a row: the cache may still show the version before the first one.
        let base = match self.written.take() {
            Some((base, before)) if before.resource_version() == from.resource_version() => base,
            _ => from.resource_version().unwrap_or_default(),
        };
        self.written = Some((base, Box::new(written.clone())));
    }
}

/// Memories by uid.
#[derive(Default)]
pub(super) struct Memories(Mutex<HashMap<String, Memory>>);

impl Memories {
    /// Takes the memory of this uid out; an empty one when there is none.
    pub(super) fn take(&self, uid: &str) -> Memory {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(uid)
            .unwrap_or_default()
    }

    /// Puts it back.
    pub(super) fn put(&self, uid: String, memory: Memory) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid, memory);
    }
}
