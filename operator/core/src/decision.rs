//! The answer of a decision and its diagnosis, and the one line that sums it up. Read by conditions and the plugin.

use std::collections::BTreeMap;

use crate::plugin::Refusal;

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
    pub cluster: String,
    /// The plugin that refused it and why; `None`: feasible.
    pub refusal: Option<(&'static str, Refusal)>,
    /// Replicas it can take now, at most those asked for.
    pub fit: i64,
    /// 0..100, from preferences.
    pub weight: i32,
    /// Scores by plugin.
    pub scores: Vec<(&'static str, i64)>,
}

impl Verdict {
    /// Sum of scores.
    #[must_use]
    pub fn score(&self) -> i64 {
        self.scores.iter().map(|(_, score)| score).sum()
    }
}

/// `0/4 clusters: 2 insufficient cpu, 1 cordoned`; with some feasible: `3 of 4 replicas fit (c1:2,c2:1), 1 cluster
/// cordoned`.
#[must_use]
pub fn summary(verdicts: &[Verdict], replicas: i64) -> String {
    if verdicts.is_empty() {
        return "no clusters are registered".into();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, refusal) in verdicts.iter().filter_map(|verdict| verdict.refusal.as_ref()) {
        *counts.entry(&refusal.message).or_default() += 1;
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
    let room = feasible
        .iter()
        .map(|verdict| format!("{}:{}", verdict.cluster, verdict.fit))
        .collect::<Vec<_>>();
    let total: i64 = feasible.iter().map(|verdict| verdict.fit).sum();
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
