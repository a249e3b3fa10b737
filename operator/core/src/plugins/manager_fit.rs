//! Refuses clusters whose manager cannot run the workload. Only Kubernetes members run anything yet.

use crate::cluster::{Cluster, Manager};
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct ManagerFit;

impl SchedulerPlugin for ManagerFit {
    fn name(&self) -> &str {
        "ManagerFit"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::FILTER
    }

    fn filter(&self, _: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match cluster.manager {
            Manager::Kubernetes => Ok(()),
            Manager::Slurm => Err(Refusal::new(
                "ManagerUnsupported",
                "run by a manager not supported yet",
            )),
        }
    }
}
