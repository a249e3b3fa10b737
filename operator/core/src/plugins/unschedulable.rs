//! Refuses clusters that are cordoned, and those whose SkyCluster is being deleted: there nothing stays either.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct Unschedulable;

impl SchedulerPlugin for Unschedulable {
    fn name(&self) -> &str {
        "Unschedulable"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::FILTER
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        self.retain(context, cluster)?;
        if cluster.unschedulable {
            Err(Refusal::new("Cordoned", "cordoned"))
        } else {
            Ok(())
        }
    }

    fn retain(&self, _: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        if cluster.leaving {
            Err(Refusal::new("ClusterLeaving", "leaving"))
        } else {
            Ok(())
        }
    }
}
