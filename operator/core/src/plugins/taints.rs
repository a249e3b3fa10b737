//! Refuses clusters with a taint that the workload does not tolerate. A share stays unless the taint is NoExecute.

use crate::cluster::{Cluster, Effect, Taint, untolerated};
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct Taints;

impl SchedulerPlugin for Taints {
    fn name(&self) -> &str {
        "Taints"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::FILTER
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match untolerated(&cluster.taints, &context.workload.tolerations) {
            Some(taint) => Err(refusal(taint)),
            None => Ok(()),
        }
    }

    fn retain(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let tolerations = &context.workload.tolerations;
        let mut executing = cluster
            .taints
            .iter()
            .filter(|taint| taint.effect == Effect::NoExecute);
        match executing.find(|taint| untolerated(std::slice::from_ref(*taint), tolerations).is_some()) {
            Some(taint) => Err(refusal(taint)),
            None => Ok(()),
        }
    }
}

fn refusal(taint: &Taint) -> Refusal {
    Refusal::new("Tainted", format!("tainted {}", taint.key))
}
