//! Accelerators that replicas ask for, by the names that a member has for them.

use std::sync::Arc;

use sky_core::accelerator::models;
use sky_core::cluster::Nodes;
use sky_core::room::Room;
use sky_core::share::Accelerator;
use sky_core::workload::Needs;

/// What replicas with these needs ask for as accelerators, by the names that these nodes have for it; `None` when they
/// ask for none, or no node has such.
#[must_use]
pub fn accelerator(needs: &Arc<Needs>, nodes: &Nodes) -> Option<Accelerator> {
    let need = needs.accelerator.as_ref()?;
    let room = Room::new(nodes.clone());
    Some(Accelerator {
        resource: room.accelerator(needs)?.to_string(),
        count: need.count,
        models: models(nodes, need),
    })
}
