//! The plugin interface: filter, score, spread and retain, each with a default that abstains. Plugins live in
//! `plugins/`; an operator of one's own may bring more (`operator/controller/examples/plugin`).

use std::borrow::Cow;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::labels::Labels;
use crate::snapshot::Snapshot;
use crate::workload::{NamespaceRule, Policy, Workload};

/// What a plugin may read.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The workload to place.
    pub workload: &'a Workload,
    /// Everything else of this round.
    pub snapshot: &'a Snapshot,
    /// The FilterPolicies that govern the workload.
    pub policies: &'a [&'a Policy],
    /// The SkyNamespace of the workload's namespace, if it has one.
    pub namespace: Option<&'a NamespaceRule>,
}

/// Why a plugin refuses a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// CamelCase code for status and metrics.
    pub reason: &'static str,
    /// A fragment that reads well after a count: `2 insufficient cpu`.
    pub message: Words,
}

/// Words of a refusal: most are the same for every cluster, or kept with the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// Always the same.
    Static(&'static str),
    /// Made for this cluster, or kept with it.
    Shared(Arc<str>),
}

impl Words {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Words {
    fn from(text: &'static str) -> Self {
        Self::Static(text)
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl From<Arc<str>> for Words {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<Cow<'static, str>> for Words {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Static(text),
            Cow::Owned(text) => Self::Shared(text.into()),
        }
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Refusal {
    /// A refusal with this code and these words.
    #[must_use]
    pub fn new(reason: &'static str, message: impl Into<Words>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// How good a cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// 0..100; what is outside is cut.
    pub points: i64,
    /// What `why` shows beside it, when there is something to say: an expression that failed.
    pub note: Option<Arc<str>>,
}

impl From<i64> for Score {
    fn from(points: i64) -> Self {
        Self { points, note: None }
    }
}

/// A cluster that passed every filter, in the order in which clusters are to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Cluster name.
    pub cluster: &'a str,
    /// The cluster's labels.
    pub labels: &'a Labels,
    /// Replicas it can take now, at most those asked for; at least 1.
    pub fit: i64,
    /// 0..100, from preferences.
    pub weight: i32,
    /// Sum of scores times their weights.
    pub score: i64,
    /// Replicas of the workload that it has already.
    pub placed: i64,
    /// What the last plugin with an opinion said of its part, else 1.
    pub part: i64,
}

/// The questions asked for each cluster that a plugin has an opinion on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// `filter` may refuse a cluster.
    pub filter: bool,
    /// `score` may have an opinion.
    pub score: bool,
    /// `part` may have an opinion.
    pub part: bool,
}

impl Steps {
    /// None.
    pub const NONE: Self = Self {
        filter: false,
        score: false,
        part: false,
    };
    /// All of them.
    pub const ALL: Self = Self {
        filter: true,
        score: true,
        part: true,
    };
    /// Only `filter`.
    pub const FILTER: Self = Self {
        filter: true,
        ..Self::NONE
    };
    /// Only `score`.
    pub const SCORE: Self = Self {
        score: true,
        ..Self::NONE
    };
    /// Only `part`.
    pub const PART: Self = Self {
        part: true,
        ..Self::NONE
    };

    /// These if `any`, else none.
    #[must_use]
    pub fn when(self, any: bool) -> Self {
        if any { self } else { Self::NONE }
    }
}

/// One step of scheduling. A plugin answers the questions it has an opinion on.
///
/// # Guarantees
/// `filter` is asked for each cluster in the order of the configuration until one plugin refuses it; `score` only for
/// clusters that every plugin let pass, and so is `part`, before it; `spread` once, with the candidates in order, already cut to `maxClusters`.
/// `retain` is asked about a cluster that holds a share.
///
/// # Caveats
/// A plugin is called from one thread at a time per round, for every cluster of the fleet: it must neither block nor
/// read a clock. Same input, same answer.
pub trait SchedulerPlugin: Send + Sync {
    /// Its name, as configuration and diagnosis write it.
    fn name(&self) -> &str;

    /// Which of `filter`, `part` and `score` it has an opinion on, for this workload. Asked once a decision, so that thousands
    /// of clusters need not be asked in vain; a step left out answers as its default does.
    fn steps(&self, _context: Context<'_>) -> Steps {
        Steps::ALL
    }

    /// Whether `cluster` may be used for the workload.
    ///
    /// # Errors
    /// The reason why not.
    fn filter(&self, _context: Context<'_>, _cluster: &Cluster) -> Result<(), Refusal> {
        Ok(())
    }

    /// The part of the replicas that `spread` is to give `cluster`, in proportion to the others'; `None`: no opinion.
    ///
    /// # Errors
    /// The reason why it gets none.
    fn part(&self, _context: Context<'_>, _cluster: &Cluster) -> Result<Option<i64>, Refusal> {
        Ok(None)
    }

    /// Whether a share of the workload that is on `cluster` may stay there. What no longer may is evicted.
    ///
    /// # Errors
    /// The reason why not.
    fn retain(&self, _context: Context<'_>, _cluster: &Cluster) -> Result<(), Refusal> {
        Ok(())
    }

    /// How good `cluster` is, 0..100; `None`: no opinion.
    fn score(&self, _context: Context<'_>, _cluster: &Cluster) -> Option<Score> {
        None
    }

    /// How many replicas go to each of `candidates` (best first), by index; `None`: no opinion. Numbers above a
    /// candidate's fit or, in sum, above the replicas asked for are cut.
    fn spread(&self, _context: Context<'_>, _candidates: &[Candidate<'_>]) -> Option<Vec<i64>> {
        None
    }
}

/// A plugin in use.
#[derive(Clone)]
pub struct Enabled {
    /// The plugin.
    pub plugin: Arc<dyn SchedulerPlugin>,
    /// What its scores are multiplied with, 1..100; 0 for a plugin that gives none.
    pub weight: i64,
}

impl std::fmt::Debug for Enabled {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.plugin.name(), self.weight)
    }
}
