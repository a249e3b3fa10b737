//! A plugin made of expressions in the operator's configuration: `filter`, `score` or both. Made by sky-convert, asked
//! after the plugins of ours.
//!
//! An expression that fails at run time refuses the cluster (filter) or scores 0, is counted, and says so.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cluster::{Cluster, Manager, Node};
use crate::expression::{ClusterVars, EvaluationError, Expression, RequestVars, Room, WorkloadVars};
use crate::plugin::{Context, Refusal, SchedulerPlugin};
use crate::resources::Resources;
use crate::workload::Workload;

/// A plugin in CEL.
#[derive(Debug)]
pub struct ExpressionPlugin {
    name: String,
    filter: Option<Expression>,
    score: Option<Expression>,
    message: Option<String>,
    errors: AtomicU64,
}

impl ExpressionPlugin {
    /// A plugin called `name`; `message` is said of the clusters that its filter refuses.
    #[must_use]
    pub fn new(
        name: String,
        filter: Option<Expression>,
        score: Option<Expression>,
        message: Option<String>,
    ) -> Self {
        Self {
            name,
            filter,
            score,
            message,
            errors: AtomicU64::new(0),
        }
    }

    /// How often an expression of it has failed, since it was loaded.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    fn failed(&self, error: &EvaluationError) -> String {
        format!("expression {} failed: {error}", self.name)
    }
}

impl SchedulerPlugin for ExpressionPlugin {
    fn name(&self) -> &str {
        &self.name
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let Some(expression) = &self.filter else {
            return Ok(());
        };
        match evaluate(expression, context.workload, cluster, Expression::holds) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let words = self.message.clone();
                let words = words.unwrap_or_else(|| format!("refused by expression {}", self.name));
                Err(Refusal::new("Expression", words))
            }
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                Err(Refusal::new("Expression", self.failed(&error)))
            }
        }
    }

    fn score(&self, context: Context<'_>, cluster: &Cluster) -> Option<i64> {
        let expression = self.score.as_ref()?;
        let score = evaluate(expression, context.workload, cluster, Expression::score);
        Some(score.unwrap_or_else(|_| {
            self.errors.fetch_add(1, Ordering::Relaxed);
            0
        }))
    }

    fn note(&self, context: Context<'_>, cluster: &Cluster) -> Option<String> {
        let score = evaluate(self.score.as_ref()?, context.workload, cluster, Expression::score);
        score.err().map(|error| self.failed(&error))
    }
}

/// Evaluates on the two as they are: the only place where a cluster and a workload become variables.
fn evaluate<T>(
    expression: &Expression,
    workload: &Workload,
    cluster: &Cluster,
    ask: fn(&Expression, &ClusterVars<'_>, &WorkloadVars<'_>) -> Result<T, EvaluationError>,
) -> Result<T, EvaluationError> {
    let nodes = cluster.nodes.as_deref().map_or(&[][..], Vec::as_slice);
    // Summing up is worth it only where it is read: there may be thousands of nodes.
    let read = if expression.reads_nodes() { nodes } else { &[] };
    let models: BTreeSet<&str> = read
        .iter()
        .filter_map(|node| node.accelerator.as_deref())
        .collect();
    let cluster = ClusterVars {
        name: &cluster.name,
        manager: match cluster.manager {
            Manager::Kubernetes => "kubernetes",
            Manager::Slurm => "slurm",
        },
        labels: &cluster.labels,
        taints: &cluster.taints,
        unschedulable: cluster.unschedulable,
        nodes: i64::try_from(nodes.len()).unwrap_or(i64::MAX),
        free: room(
            read.iter().filter(|node| node.ready && !node.unschedulable),
            |node| &node.free,
        ),
        allocatable: room(read.iter(), |node| &node.allocatable),
        models: models.into_iter().collect(),
    };
    let need = &workload.needs.resources;
    let workload = WorkloadVars {
        kind: workload.kind.as_str(),
        namespace: &workload.namespace,
        name: &workload.name,
        labels: &workload.labels,
        priority: i64::from(workload.priority),
        replicas: workload.replicas,
        gang: workload.gang,
        resources: RequestVars {
            cpu: need.cpu,
            memory: need.memory,
            accelerators: accelerators(need),
            model: "",
        },
    };
    ask(expression, &cluster, &workload)
}

/// The sum over `nodes`; one that is over-committed counts as full, not against the others.
fn room<'n>(nodes: impl Iterator<Item = &'n Node>, part: impl Fn(&Node) -> &Resources) -> Room {
    nodes.fold(Room::default(), |sum, node| {
        let part = part(node);
        Room {
            cpu: sum.cpu.saturating_add(part.cpu.max(0)),
            memory: sum.memory.saturating_add(part.memory.max(0)),
            accelerators: sum.accelerators.saturating_add(accelerators(part).max(0)),
        }
    })
}

/// Pieces of every kind of accelerator.
fn accelerators(of: &Resources) -> i64 {
    let is_accelerator = |name: &str| {
        ["nvidia.com/gpu", "amd.com/gpu", "gpu"].contains(&name) || name.starts_with("gpu.intel.com/")
    };
    of.extended
        .iter()
        .filter(|(name, _)| is_accelerator(name))
        .fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
}

#[cfg(test)]
mod tests;
