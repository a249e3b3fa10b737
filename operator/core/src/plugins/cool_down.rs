//! Refuses clusters that the workload was evicted from lately.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct CoolDown;

impl SchedulerPlugin for CoolDown {
    fn name(&self) -> &str {
        "CoolDown"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::FILTER.when(!context.workload.cooling.is_empty())
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        if context.workload.cooling.contains_key(&*cluster.name) {
            Err(Refusal::new("CoolingDown", "cooling down after an eviction"))
        } else {
            Ok(())
        }
    }
}
