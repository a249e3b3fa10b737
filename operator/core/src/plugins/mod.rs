//! The plugins, one a file, and the list of those in use.

mod cluster_ready;
mod filter_policy;
mod free_capacity;
mod manager_fit;
mod node_fit;
mod pack;
mod placement_filters;
mod taints;
mod unschedulable;

use crate::plugin::SchedulerPlugin;

/// Every plugin, in the order in which they are asked.
#[must_use]
pub fn all() -> Vec<Box<dyn SchedulerPlugin>> {
    vec![
        Box::new(cluster_ready::ClusterReady),
        Box::new(unschedulable::Unschedulable),
        Box::new(taints::Taints),
        Box::new(filter_policy::FilterPolicy),
        Box::new(placement_filters::PlacementFilters),
        Box::new(manager_fit::ManagerFit),
        Box::new(node_fit::NodeFit),
        Box::new(free_capacity::FreeCapacity),
        Box::new(pack::Pack),
    ]
}
