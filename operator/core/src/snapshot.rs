//! What one round of decisions reads: clusters with reservations already taken, policies and namespaces.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::workload::{NamespaceRule, Needs, Policy, Workload};

/// Clusters and rules at one moment. Room is taken from it as the round goes on.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Clusters by name.
    pub clusters: BTreeMap<Arc<str>, Cluster>,
    /// FilterPolicies by namespace.
    pub policies: BTreeMap<String, Vec<Policy>>,
    /// SkyNamespaces by name.
    pub namespaces: BTreeMap<String, NamespaceRule>,
}

impl Snapshot {
    /// Promises room for `count` replicas on `cluster`; nothing happens when it has reported no nodes.
    pub fn reserve(&mut self, cluster: &str, needs: &Needs, count: i64) {
        if let Some(room) = self
            .clusters
            .get_mut(cluster)
            .and_then(|cluster| cluster.room.as_mut())
        {
            Arc::make_mut(room).take(needs, count);
        }
    }

    /// Promises room for `count` replicas of `workload` on `cluster`.
    pub fn reserve_for(&mut self, cluster: &str, workload: &Workload, count: i64) {
        if let Some(of) = self.clusters.get(cluster) {
            let needs = workload.needs_on(of).into_owned();
            self.reserve(cluster, &needs, count);
        }
    }
}
