//! The answer of a decision and its diagnosis, and the one line that sums it up. Read by conditions and the plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::plugin::Refusal;

/// Clusters with room that a message names at most.
const MOST_NAMED: usize = 8;

/// What one decision came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where the replicas go, or why not.
    pub outcome: Outcome,
    /// What was found about each cluster, by name.
    pub verdicts: Vec<Verdict>,
}

/// Where the replicas go, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Clusters in the order they were chosen, with the replicas each takes.
    Placed(Vec<(String, i64)>),
    /// No room now; the message counts reasons.
    Queued(String),
    /// No room even if every allowed cluster were empty.
    TooLarge(String),
}

/// What was found about one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Cluster name.
    pub cluster: Arc<str>,
    /// The plugin that refused it and why; `None`: feasible.
    pub refusal: Option<(Arc<str>, Refusal)>,
    /// Replicas it can take now, at most those asked for.
    pub fit: i64,
    /// 0..100, from preferences.
    pub weight: i32,
    /// Sum of the points below times their plugins' weights.
    pub score: i64,
    /// Points by plugin.
    pub scores: Scores,
}

/// Points by plugin. Most workloads are scored by two, so that thousands of verdicts need no allocation each.
pub type Scores = SmallVec<[Points; 2]>;

/// What one plugin gave a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Points {
    /// The plugin.
    pub plugin: Arc<str>,
    /// 0..100.
    pub points: i64,
    /// What they are multiplied with.
    pub weight: i64,
    /// What the plugin has to say about them.
    pub note: Option<Arc<str>>,
}

/// `0/4 clusters: 2 insufficient cpu, 1 cordoned`; with some feasible: `3 of 4 replicas fit (c1:2,c2:1); other
/// clusters: 1 cordoned`.
#[must_use]
pub fn summary(verdicts: &[Verdict], replicas: i64) -> String {
    if verdicts.is_empty() {
        return "no clusters are registered".into();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, refusal) in verdicts.iter().filter_map(|verdict| verdict.refusal.as_ref()) {
        *counts.entry(refusal.message.as_str()).or_default() += 1;
    }
    let mut reasons: Vec<(&str, usize)> = counts.into_iter().collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(*count), *reason));
    let reasons = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect::<Vec<_>>()
        .join(", ");
    let feasible: Vec<&Verdict> = verdicts
        .iter()
        .filter(|verdict| verdict.refusal.is_none())
        .collect();
    if feasible.is_empty() {
        return format!("0/{} clusters: {reasons}", verdicts.len());
    }
    let named = feasible.iter().take(MOST_NAMED);
    let mut room: Vec<String> = named
        .map(|verdict| format!("{}:{}", verdict.cluster, verdict.fit))
        .collect();
    if feasible.len() > MOST_NAMED {
        room.push(format!("{} more", feasible.len() - MOST_NAMED));
    }
    let total = feasible
        .iter()
        .fold(0_i64, |sum, verdict| sum.saturating_add(verdict.fit));
    let head = format!(
        "{} of {replicas} replicas fit ({})",
        total.min(replicas),
        room.join(",")
    );
    if reasons.is_empty() {
        head
    } else {
        format!("{head}; other clusters: {reasons}")
    }
}
