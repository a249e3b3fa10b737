//! Refuses clusters where not one replica fits onto any node.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct NodeFit;

impl SchedulerPlugin for NodeFit {
    fn name(&self) -> &str {
        "NodeFit"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::FILTER
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match &cluster.room {
            None => Err(Refusal::new("NotReported", "not reported yet")),
            Some(room) => match room.shortage(&context.workload.needs_on(cluster)) {
                Some(words) => Err(Refusal::new("InsufficientCapacity", words)),
                None => Ok(()),
            },
        }
    }
}
