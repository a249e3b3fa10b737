//! The plugin interface: filter, score and spread, each with a default that abstains. Plugins live in `plugins/`.

use crate::cluster::Cluster;
use crate::snapshot::Snapshot;
use crate::workload::Workload;

/// What a plugin may read.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The workload to place.
    pub workload: &'a Workload,
    /// Everything else of this round.
    pub snapshot: &'a Snapshot,
}

/// Why a plugin refuses a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase code for status and metrics.
    pub reason: &'static str,
    /// A fragment that reads well after a count: `2 insufficient cpu`.
    pub message: String,
}

impl Refusal {
    /// A refusal with this code and these words.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// A cluster that passed every filter, in the order in which clusters are to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Cluster name.
    pub cluster: String,
    /// Replicas it can take now, at most those asked for.
    pub fit: i64,
    /// 0..100, from preferences.
    pub weight: i32,
    /// Sum of scores.
    pub score: i64,
}

/// One step of scheduling. A plugin answers the questions it has an opinion on.
pub trait SchedulerPlugin: Send + Sync {
    /// Its name, as configuration and diagnosis write it.
    fn name(&self) -> &'static str;

    /// Whether `cluster` may be used for the workload.
    ///
    /// # Errors
    /// The reason why not.
    fn filter(&self, _context: Context<'_>, _cluster: &Cluster) -> Result<(), Refusal> {
        Ok(())
    }

    /// How good `cluster` is, 0..100; `None`: no opinion.
    fn score(&self, _context: Context<'_>, _cluster: &Cluster) -> Option<i64> {
        None
    }

    /// How many replicas go to each of `candidates` (best first), by index; `None`: no opinion. The numbers never
    /// exceed a candidate's fit nor, in sum, the replicas asked for.
    fn spread(&self, _context: Context<'_>, _candidates: &[Candidate]) -> Option<Vec<i64>> {
        None
    }
}
