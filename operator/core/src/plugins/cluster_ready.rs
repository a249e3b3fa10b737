//! Refuses clusters that cannot be used now.

use crate::cluster::{Cluster, Health};
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct ClusterReady;

impl SchedulerPlugin for ClusterReady {
    fn name(&self) -> &str {
        "ClusterReady"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::FILTER
    }

    fn filter(&self, _: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match (&cluster.health, &cluster.room) {
            (Health::NotReady { .. }, _) => Err(Refusal::new("ClusterNotReady", "not ready")),
            (Health::Ready, None) => Err(Refusal::new("NotReported", "not reported yet")),
            (Health::Ready, Some(_)) => Ok(()),
        }
    }
}
