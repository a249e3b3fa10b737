//! Rooms kept from round to round: one whose nodes and promises are as before is used again, with all that was worked
//! out about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sky_core::cluster::Nodes;
use sky_core::room::Room;
use sky_core::workload::Needs;

/// Room promised on one cluster: what one replica needs, and how many.
pub(super) type Promises = Vec<(Arc<Needs>, i64)>;

struct Kept {
    nodes: Nodes,
    promises: Promises,
    room: Arc<Room>,
}

/// Rooms by cluster.
#[derive(Default)]
pub(super) struct Rooms(BTreeMap<Arc<str>, Kept>);

impl Rooms {
    /// The room on `nodes` with all of `promises` taken.
    pub(super) fn room(&mut self, cluster: &Arc<str>, nodes: &Nodes, promises: Promises) -> Arc<Room> {
        if let Some(kept) = self.0.get(cluster)
            && Arc::ptr_eq(&kept.nodes, nodes)
            && kept.promises == promises
        {
            return kept.room.clone();
        }
        let mut room = Room::new(nodes.clone());
        for (needs, count) in &promises {
            room.take(needs, *count);
        }
        let room = Arc::new(room);
        let kept = Kept {
            nodes: nodes.clone(),
            promises,
            room: room.clone(),
        };
        self.0.insert(cluster.clone(), kept);
        room
    }

    /// Forgets clusters that `is_there` does not know any more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|cluster, _| is_there(cluster));
    }
}
