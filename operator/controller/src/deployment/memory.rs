//! What is remembered of a SkyDeployment between two looks. Losing it costs a few requests, never correctness.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::ResourceExt;
use sky_core::deployment::Status;
use sky_core::job::SentBack;
use sky_core::pace::Times;
use sky_core::share::ShareKey;
use sky_crds::SkyDeployment;
use tokio::time::Instant;

/// What is remembered of one SkyDeployment.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Our last write, and the version that it was made from: a cache that shows that one is behind.
    written: Option<(Vec<String>, Box<SkyDeployment>)>,
    /// The generation that what was sent back was of.
    generation: i64,
    /// Hash of the template that is known to be the newest revision on the host.
    pub(super) revision: Option<String>,
    /// The status wanted at the last look.
    pub(super) wanted: Option<Status>,
    /// When it was written and changed.
    pub(super) times: Times,
    /// Generation of each share's object after it was last made as wanted, by share id.
    pub(super) applied: BTreeMap<String, i64>,
    /// Shares that a member was asked to create, or did not answer about, and has not shown yet: cluster and object.
    pub(super) unseen: BTreeMap<String, (String, ShareKey)>,
    /// Shares that a member would not take, and when to try again.
    pub(super) sent_back: BTreeMap<String, (SentBack, Instant)>,
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
