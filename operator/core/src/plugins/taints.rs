//! Refuses clusters with a taint that the workload does not tolerate.

use crate::cluster::{Cluster, untolerated};
use crate::plugin::{Context, Refusal, SchedulerPlugin};

pub(super) struct Taints;

impl SchedulerPlugin for Taints {
    fn name(&self) -> &'static str {
        "Taints"
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match untolerated(&cluster.taints, &context.workload.tolerations) {
            Some(taint) => Err(Refusal::new("Tainted", format!("tainted {}", taint.key))),
            None => Ok(()),
        }
    }
}
