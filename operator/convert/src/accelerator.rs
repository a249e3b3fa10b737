//! Accelerators that a workload asks for, by the names that a member has for them.

use sky_core::accelerator::models;
use sky_core::cluster::Nodes;
use sky_core::room::Room;
use sky_core::share::Accelerator;
use sky_core::workload::Workload;

/// What the replicas of `workload` ask for as accelerators, by the names that these nodes have for it; `None` when they
/// ask for none, or no node has such.
#[must_use]
pub fn accelerator(workload: &Workload, nodes: &Nodes) -> Option<Accelerator> {
    let need = workload.needs.accelerator.as_ref()?;
    let room = Room::new(nodes.clone());
    Some(Accelerator {
        resource: room.accelerator(&workload.needs)?.to_string(),
        count: need.count,
        models: models(nodes, need),
    })
}
