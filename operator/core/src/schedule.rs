//! Computes a placement: filter, weigh, score, order, spread. A pure function of workload and snapshot.

use crate::cluster::{Cluster, Health};
use crate::decision::{Decision, Outcome, Verdict, summary};
use crate::fit;
use crate::plugin::{Candidate, Context, SchedulerPlugin};
use crate::plugins;
use crate::snapshot::Snapshot;
use crate::workload::Workload;

/// The scheduler: a list of plugins.
pub struct Scheduler {
    plugins: Vec<Box<dyn SchedulerPlugin>>,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self {
            plugins: plugins::all(),
        }
    }
}

impl Scheduler {
    /// Decides where the replicas of `workload` go. Same input, same answer.
    #[must_use]
    pub fn decide(&self, workload: &Workload, snapshot: &Snapshot) -> Decision {
        let context = Context { workload, snapshot };
        let verdicts: Vec<Verdict> = snapshot
            .clusters
            .values()
            .map(|cluster| self.judge(context, cluster))
            .collect();
        let candidates = order(&verdicts);
        let counts = self
            .plugins
            .iter()
            .find_map(|plugin| plugin.spread(context, &candidates))
            .unwrap_or_else(|| vec![0; candidates.len()]);
        let placed: Vec<(String, i64)> = candidates
            .iter()
            .zip(&counts)
            .filter(|(_, count)| **count > 0)
            .map(|(candidate, count)| (candidate.cluster.clone(), *count))
            .collect();
        let total: i64 = placed.iter().map(|(_, count)| count).sum();
        let enough = if workload.gang {
            total == workload.replicas
        } else {
            total > 0
        };
        let outcome = if enough {
            Outcome::Placed(placed)
        } else {
            refuse(context, &verdicts)
        };
        Decision { outcome, verdicts }
    }

    fn judge(&self, context: Context<'_>, cluster: &Cluster) -> Verdict {
        let refusal = self.plugins.iter().find_map(|plugin| {
            plugin
                .filter(context, cluster)
                .err()
                .map(|refusal| (plugin.name(), refusal))
        });
        let mut verdict = Verdict {
            cluster: cluster.name.clone(),
            weight: weight(context.workload, cluster),
            fit: 0,
            scores: Vec::new(),
            refusal,
        };
        if verdict.refusal.is_none() {
            let nodes = cluster.nodes.as_deref().map_or(&[][..], Vec::as_slice);
            verdict.fit = fit::on_nodes(nodes, &context.workload.needs, context.workload.replicas);
            verdict.scores = self
                .plugins
                .iter()
                .filter_map(|plugin| Some((plugin.name(), plugin.score(context, cluster)?)))
                .collect();
        }
        verdict
    }
}

/// The highest weight among the preferences that `cluster` satisfies; 0 when none.
fn weight(workload: &Workload, cluster: &Cluster) -> i32 {
    let matching = workload
        .preferences
        .iter()
        .filter(|preference| preference.selector.matches(&cluster.labels));
    matching.map(|preference| preference.weight).max().unwrap_or(0)
}

/// Feasible clusters: weight descending, score descending, name ascending.
fn order(verdicts: &[Verdict]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = verdicts
        .iter()
        .filter(|verdict| verdict.refusal.is_none())
        .map(|verdict| Candidate {
            cluster: verdict.cluster.clone(),
            fit: verdict.fit,
            weight: verdict.weight,
            score: verdict.score(),
        })
        .collect();
    candidates.sort_by(|a, b| {
        (b.weight, b.score)
            .cmp(&(a.weight, a.score))
            .then_with(|| a.cluster.cmp(&b.cluster))
    });
    candidates
}

/// Refusals that the passing of time may lift without anybody's doing: these clusters count as allowed.
const PASSING: [&str; 5] = [
    "ClusterNotReady",
    "NotReported",
    "Cordoned",
    "InsufficientCapacity",
    "CoolingDown",
];

/// TooLarge when at least one cluster is allowed, every allowed one has reported, and none would hold one replica
/// (with gang: all together not all of them) even if empty. Else queued.
fn refuse(context: Context<'_>, verdicts: &[Verdict]) -> Outcome {
    let message = summary(verdicts, context.workload.replicas);
    let allowed: Vec<&Cluster> = verdicts
        .iter()
        .filter(|verdict| {
            verdict
                .refusal
                .as_ref()
                .is_none_or(|(_, refusal)| PASSING.contains(&refusal.reason))
        })
        .filter_map(|verdict| context.snapshot.clusters.get(&verdict.cluster))
        .collect();
    let reported = allowed
        .iter()
        .all(|cluster| cluster.nodes.is_some() && cluster.health == Health::Ready);
    if allowed.is_empty() || !reported {
        return Outcome::Queued(message);
    }
    let wanted = if context.workload.gang {
        context.workload.replicas
    } else {
        1
    };
    let nodes = allowed.iter().filter_map(|cluster| cluster.nodes.as_deref());
    let held = nodes.fold(0_i64, |held, nodes| {
        held.saturating_add(fit::on_empty_nodes(nodes, &context.workload.needs, wanted))
    });
    if held >= wanted {
        Outcome::Queued(message)
    } else {
        let would =
            format!("even if empty, the allowed clusters would hold {held} of {wanted} replicas; {message}");
        Outcome::TooLarge(would)
    }
}

#[cfg(test)]
mod tests;
