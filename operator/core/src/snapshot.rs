//! What one round of decisions reads: clusters with reservations already taken, and policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::fit;
use crate::workload::{Needs, Policy};

/// Clusters and policies at one moment. Room is taken from it as the round goes on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Clusters by name.
    pub clusters: BTreeMap<String, Cluster>,
    /// Policies of all namespaces.
    pub policies: Vec<Policy>,
}

impl Snapshot {
    /// Promises room for `count` replicas on `cluster`; nothing happens when it has reported no nodes.
    pub fn reserve(&mut self, cluster: &str, needs: &Needs, count: i64) {
        if let Some(nodes) = self
            .clusters
            .get_mut(cluster)
            .and_then(|cluster| cluster.nodes.as_mut())
        {
            let nodes: &mut Vec<_> = Arc::make_mut(nodes);
            fit::take(nodes, needs, count);
        }
    }
}
