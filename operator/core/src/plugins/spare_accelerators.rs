//! Keeps accelerators for work that needs them: what needs none prefers clusters that have none.

use crate::cluster::Cluster;
use crate::plugin::{Context, SchedulerPlugin, Score, Steps};

pub(super) struct SpareAccelerators;

impl SchedulerPlugin for SpareAccelerators {
    fn name(&self) -> &str {
        "SpareAccelerators"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::SCORE.when(!context.workload.needs.has_accelerators())
    }

    fn score(&self, _: Context<'_>, cluster: &Cluster) -> Option<Score> {
        let has_any = cluster.room.as_ref()?.accelerators() > 0;
        Some(if has_any { 0 } else { 100 }.into())
    }
}
