//! What is known when a SkyJob is planned: its own record on the host and what members say about its shares.

use std::collections::{BTreeMap, BTreeSet};

use super::status::Status;
use crate::Seconds;
use crate::config;
use crate::eviction::{CoolDown, Eviction, OnLost};
use crate::observation::{Observation, Trouble};
use crate::placement::{Placement, Unplaced};
use crate::share::ShareKey;

/// A SkyJob as its object on the host shows it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Generation of the spec.
    pub generation: i64,
    /// Being deleted.
    pub deleting: bool,
    /// Carries our finalizer.
    pub finalizer: bool,
    /// Why the spec cannot be carried out, if it cannot.
    pub refused: Option<Refused>,
    /// Hash of the spec that a run depends on.
    pub spec_hash: String,
    /// Held back by its user.
    pub suspend: bool,
    /// The run that is or is to be carried out: the one asked for, or the present one when that was run before.
    pub run: String,
    /// Runs so far, oldest first; the last is the present one.
    pub runs: Vec<Run>,
    /// The retry that is asked for, as the name of its run.
    pub retry: Option<String>,
    /// The retry that was last taken in.
    pub retried: Option<String>,
    /// Replicas asked for.
    pub replicas: i64,
    /// Seconds from the start until the job is Failed.
    pub deadline: Option<Seconds>,
    /// Seconds from the end until what is on members is removed.
    pub ttl: Option<Seconds>,
    /// All replicas at once or none, before the first one starts.
    pub gang: bool,
    /// Tries of a replica after its first one.
    pub limit: i64,
    /// Seconds in which a share must start its first replica; 0: any time.
    pub pending_timeout: Seconds,
    /// What happens to shares of a lost cluster.
    pub on_lost: OnLost,
    /// Where it is placed; `None` when no share is.
    pub placement: Option<Placement>,
    /// Ranks that wait for a place again, when no share has one.
    pub unplaced: Vec<Unplaced>,
    /// Evictions so far, the last one last.
    pub evictions: Vec<Eviction>,
    /// Clusters that are not tried for a while.
    pub cool_downs: Vec<CoolDown>,
    /// The record says that it is held back.
    pub was_suspended: bool,
    /// The highest placement revision there was.
    pub revision: i64,
    /// When it was first placed.
    pub start: Option<Seconds>,
    /// How it ended, if it did.
    pub finished: Option<Finished>,
    /// Replicas recorded by cluster: shown while a cluster is silent and nothing newer is known.
    pub recorded: BTreeMap<String, crate::observation::Counts>,
}

/// Why a spec cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// CamelCase code: `InvalidSpec`.
    pub reason: String,
    /// Names the field and the fix.
    pub message: String,
}

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its run id.
    pub id: String,
    /// Running, Complete, Failed or Withdrawn.
    pub outcome: String,
    /// When it began.
    pub start: Option<Seconds>,
    /// When it ended.
    pub completion: Option<Seconds>,
}

/// Runs that are remembered at most.
const MOST_RUNS: usize = 20;

/// Adds a run; the oldest are forgotten.
pub(super) fn push_run(runs: &mut Vec<Run>, run: Run) {
    runs.push(run);
    let surplus = runs.len().saturating_sub(MOST_RUNS);
    runs.drain(..surplus);
}

/// How a SkyJob ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Whether every replica succeeded.
    pub complete: bool,
    /// When.
    pub at: Option<Seconds>,
    /// What is recorded.
    pub record: Option<Status>,
}

/// What members say about the shares of one SkyJob.
#[derive(Clone, Debug, Default)]
pub struct Members {
    /// Clusters of its shares, and how far they can be believed. A cluster that is not listed is not registered.
    pub reach: BTreeMap<String, Reach>,
    /// Shares of its uid, by cluster, wherever they are.
    pub shares: Vec<(String, Observation)>,
    /// Share ids seen on their member since the operator started.
    pub seen: BTreeSet<String>,
    /// Share ids seen complete since the operator started.
    pub completed: BTreeSet<String>,
    /// Share ids and instances that were seen held back by their member, and that this operator never had released: what
    /// is lost of them never ran.
    pub unreleased: BTreeSet<(String, String)>,
    /// Objects that members were asked to create and that they have not shown yet, by cluster.
    pub unseen: Vec<(String, ShareKey)>,
    /// Shares that a member would not take, by share id.
    pub sent_back: BTreeMap<String, SentBack>,
    /// Clusters that were silent, and since when they are not any more: nothing could start there before.
    pub back_since: BTreeMap<String, Seconds>,
    /// Clusters where no share of this SkyJob may be any more, and why.
    pub forbidden: BTreeMap<String, Trouble>,
    /// What is to be said of shares though they run, by share id.
    pub notes: BTreeMap<String, Trouble>,
    /// Until when shares waited for what only a user can mend, by share id: that is no lateness.
    pub waited: BTreeMap<String, Seconds>,
}

/// How far a cluster can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What it says is what there is.
    Synced,
    /// Not answering; what was said before may be stale.
    Silent {
        /// For longer than its grace.
        lost: bool,
        /// In words.
        message: String,
    },
}

/// Why a member would not take a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentBack {
    /// No retry can help: the member refused the object as it is.
    pub for_good: bool,
    /// Reason code and the member's words.
    pub trouble: Trouble,
}

impl SentBack {
    /// Whether it takes a user to mend it: that is no lateness, and would be lacking elsewhere too.
    #[must_use]
    pub fn waits_for_a_user(&self) -> bool {
        config::reason::is_for_a_user(&self.trouble.reason)
    }
}
