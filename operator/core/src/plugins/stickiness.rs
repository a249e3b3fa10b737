//! Keeps a SkyDeployment where it is: a cluster that has replicas of it is preferred for more.

use crate::cluster::Cluster;
use crate::plugin::{Context, SchedulerPlugin, Score};
use crate::workload::Kind;

pub(super) struct Stickiness;

impl SchedulerPlugin for Stickiness {
    fn name(&self) -> &str {
        "Stickiness"
    }

    fn score(&self, context: Context<'_>, cluster: &Cluster) -> Option<Score> {
        let workload = context.workload;
        if workload.kind != Kind::SkyDeployment {
            return None;
        }
        let is_there = workload.placed.contains_key(&*cluster.name);
        Some(if is_there { 100 } else { 0 }.into())
    }
}
