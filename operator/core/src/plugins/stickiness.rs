//! Keeps a SkyDeployment where it is: a cluster that has replicas of it is preferred for more.

use crate::cluster::Cluster;
use crate::plugin::{Context, SchedulerPlugin, Score, Steps};
use crate::workload::Kind;

pub(super) struct Stickiness;

impl SchedulerPlugin for Stickiness {
    fn name(&self) -> &str {
        "Stickiness"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::SCORE.when(context.workload.kind == Kind::SkyDeployment)
    }

    fn score(&self, context: Context<'_>, cluster: &Cluster) -> Option<Score> {
        let is_there = context.workload.placed.contains_key(&*cluster.name);
        Some(if is_there { 100 } else { 0 }.into())
    }
}
