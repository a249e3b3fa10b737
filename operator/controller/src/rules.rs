//! What the host's objects say about where work may go, parsed once until one of them changes: SkyClusters without
//! their room, FilterPolicies and SkyNamespaces. Read by the scheduler's rounds and by the job reconciler, which asks
//! whether what runs may stay.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use sky_convert::{cluster, namespace, policy};
use sky_core::cluster::{Cluster, Taint};
use sky_core::labels::Labels;
use sky_core::snapshot::Snapshot;
use sky_core::workload::NamespaceRule;
use sky_crds::{FilterPolicy, SkyCluster, SkyNamespace};

/// What of a SkyCluster decides whether a share may stay there.
type Standing = (Arc<Labels>, Vec<Taint>, bool);

/// The rules of the host.
pub struct Rules {
    clusters: Store<DeserializeGuard<SkyCluster>>,
    policies: Store<DeserializeGuard<FilterPolicy>>,
    namespaces: Store<DeserializeGuard<SkyNamespace>>,
    parsed: Mutex<Option<Arc<Snapshot>>>,
    standings: Mutex<HashMap<String, Standing>>,
    /// Generation and labels of each policy and namespace, by uid.
    spoken: Mutex<HashMap<String, (Option<i64>, Labels)>>,
}

impl Rules {
    /// The rules in these stores. Whoever fills the stores calls `changed` for each change.
    #[must_use]
    pub fn new(
        clusters: Store<DeserializeGuard<SkyCluster>>,
        policies: Store<DeserializeGuard<FilterPolicy>>,
        namespaces: Store<DeserializeGuard<SkyNamespace>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            clusters,
            policies,
            namespaces,
            parsed: Mutex::default(),
            standings: Mutex::default(),
            spoken: Mutex::default(),
        })
    }

    /// An object in one of the stores has changed.
    pub fn changed(&self) {
        *self.parsed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether what decides if a share may stay on this cluster has changed since the last time it was asked. Most
    /// changes of a SkyCluster are of its status.
    #[must_use]
    pub fn has_moved(&self, api: &SkyCluster) -> bool {
        let now = cluster::cluster(api);
        let standing = (now.labels, now.taints, now.leaving);
        let mut standings = self.standings.lock().unwrap_or_else(PoisonError::into_inner);
        let before = standings.insert(now.name.to_string(), standing.clone());
        before != Some(standing)
    }

    /// Whether the spec of this rule is another than the last time it was asked: a change of its status concerns nobody.
    /// One that is deleted forbids nothing that it did not forbid before.
    #[must_use]
    pub fn has_spoken(&self, rule: &impl ResourceExt) -> bool {
        let said = (rule.meta().generation, rule.labels().clone());
        let mut spoken = self.spoken.lock().unwrap_or_else(PoisonError::into_inner);
        spoken.insert(rule.uid().unwrap_or_default(), said.clone()) != Some(said)
    }

    /// The rules: clusters have neither room nor health.
    #[must_use]
    pub fn read(&self) -> Arc<Snapshot> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        parsed.get_or_insert_with(|| Arc::new(self.parse())).clone()
    }

    fn parse(&self) -> Snapshot {
        let state = self.clusters.state();
        let clusters = state.iter().filter_map(|guard| guard.0.as_ref().ok());
        let clusters: BTreeMap<Arc<str>, Cluster> = clusters
            .map(cluster::cluster)
            .map(|cluster| (cluster.name.clone(), cluster))
            .collect();
        let state = self.policies.state();
        let policies = state.iter().map(|guard| match &guard.0 {
            Ok(api) => policy::policy(api),
            Err(bad) => {
                let namespace = guard.namespace().unwrap_or_default();
                policy::unreadable(&namespace, &guard.name_any(), &bad.error)
            }
        });
        let state = self.namespaces.state();
        let namespaces: BTreeMap<String, NamespaceRule> = state
            .iter()
            .map(|guard| match &guard.0 {
                Ok(api) => (api.name_any(), namespace::rule(api)),
                Err(bad) => (guard.name_any(), namespace::unreadable(&bad.error)),
            })
            .collect();
        Snapshot {
            clusters,
            policies: policy::by_namespace(policies),
            namespaces,
        }
    }
}
