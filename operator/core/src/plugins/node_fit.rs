//! Refuses clusters where not one replica fits onto any node.

use crate::cluster::Cluster;
use crate::fit;
use crate::plugin::{Context, Refusal, SchedulerPlugin};

pub(super) struct NodeFit;

impl SchedulerPlugin for NodeFit {
    fn name(&self) -> &'static str {
        "NodeFit"
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let nodes = cluster.nodes.as_deref().map_or(&[][..], Vec::as_slice);
        if fit::on_nodes(nodes, &context.workload.needs, 1) > 0 {
            Ok(())
        } else {
            Err(Refusal::new(
                "InsufficientCapacity",
                fit::shortage(nodes, &context.workload.needs),
            ))
        }
    }
}
