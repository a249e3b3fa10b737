//! The plugins, one a file, and the list of those in use.

mod cluster_ready;
mod cool_down;
mod even;
pub mod expression;
mod filter_policy;
mod free_capacity;
mod manager_fit;
mod namespace_selection;
mod node_fit;
mod pack;
mod placement_filters;
mod spare_accelerators;
mod stickiness;
mod taints;
mod unschedulable;
mod weighted;

use std::sync::Arc;

pub(crate) use weighted::part;

use crate::plugin::{Enabled, SchedulerPlugin};

/// Every plugin with its weight, in the order in which they are asked unless the configuration says otherwise.
///
/// SpareAccelerators outweighs FreeCapacity, so that a large accelerator cluster does not attract other work; what
/// keeps a SkyDeployment where it is outweighs both.
#[must_use]
pub fn builtin() -> Vec<Enabled> {
    vec![
        one(cluster_ready::ClusterReady),
        one(unschedulable::Unschedulable),
        one(taints::Taints),
        one(namespace_selection::NamespaceSelection),
        one(filter_policy::FilterPolicy),
        one(placement_filters::PlacementFilters),
        one(weighted::Weighted),
        one(manager_fit::ManagerFit),
        one(cool_down::CoolDown),
        one(node_fit::NodeFit),
        weighing(1, free_capacity::FreeCapacity),
        weighing(2, spare_accelerators::SpareAccelerators),
        weighing(4, stickiness::Stickiness),
        one(pack::Pack),
        one(even::Even),
    ]
}

/// A plugin that gives no score.
fn one(plugin: impl SchedulerPlugin + 'static) -> Enabled {
    weighing(0, plugin)
}

fn weighing(weight: i64, plugin: impl SchedulerPlugin + 'static) -> Enabled {
    Enabled {
        plugin: Arc::new(plugin),
        weight,
    }
}
