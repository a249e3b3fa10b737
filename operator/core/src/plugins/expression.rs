//! A plugin made of expressions in the operator's configuration: `filter`, `score` or both. Made by sky-convert, asked
//! after the plugins of ours.
//!
//! An expression that fails at run time refuses the cluster (filter) or scores 0, is counted, and says so.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::accelerator;
use crate::cluster::{Cluster, Manager};
use crate::expression::{ClusterVars, EvaluationError, Expression, RequestVars, Room, WorkloadVars};
use crate::plugin::{Context, Refusal, SchedulerPlugin, Score};
use crate::resources::Resources;
use crate::room::Room as ClusterRoom;
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

    fn score(&self, context: Context<'_>, cluster: &Cluster) -> Option<Score> {
        let expression = self.score.as_ref()?;
        Some(
            match evaluate(expression, context.workload, cluster, Expression::score) {
                Ok(points) => points.into(),
                Err(error) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    Score {
                        points: 0,
                        note: Some(self.failed(&error).into()),
                    }
                }
            },
        )
    }
}

/// Evaluates on the two as they are: the only place where a cluster and a workload become variables.
fn evaluate<T>(
    expression: &Expression,
    workload: &Workload,
    cluster: &Cluster,
    ask: fn(&Expression, &ClusterVars<'_>, &WorkloadVars<'_>) -> Result<T, EvaluationError>,
) -> Result<T, EvaluationError> {
    let room = cluster.room.as_deref();
    let sum = |part: fn(&ClusterRoom) -> &Resources| room.map_or_else(Room::default, |room| sum(part(room)));
    let cluster = ClusterVars {
        name: &cluster.name,
        manager: match cluster.manager {
            Manager::Kubernetes => "kubernetes",
            Manager::Slurm => "slurm",
        },
        labels: &cluster.labels,
        taints: &cluster.taints,
        unschedulable: cluster.unschedulable,
        nodes: room.map_or(0, |room| i64::try_from(room.nodes().len()).unwrap_or(i64::MAX)),
        free: sum(ClusterRoom::free),
        allocatable: sum(ClusterRoom::allocatable),
        models: room.map_or_else(Vec::new, |room| {
            room.models().iter().map(|model| &**model).collect()
        }),
    };
    let need = &workload.needs.resources;
    let asked = workload.needs.accelerator.as_ref();
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
            accelerators: accelerators(need).saturating_add(asked.map_or(0, |asked| asked.count)),
            model: asked.and_then(|asked| asked.model.as_deref()).unwrap_or_default(),
        },
    };
    ask(expression, &cluster, &workload)
}

/// Sums over nodes as variables; what is over-committed counts as full.
fn sum(of: &Resources) -> Room {
    Room {
        cpu: of.cpu.max(0),
        memory: of.memory.max(0),
        accelerators: accelerators(of).max(0),
    }
}

/// Pieces of every kind of accelerator.
fn accelerators(of: &Resources) -> i64 {
    let named = of
        .extended
        .iter()
        .filter(|(name, _)| accelerator::is_accelerator(name));
    named.fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
}

#[cfg(test)]
mod tests;
