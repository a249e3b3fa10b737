//! FilterPolicy: which members the matching workloads of its namespace may use. Read by the scheduler.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::placement::Selector;

/// Which workloads it governs and which clusters they may use.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "skymanager.io",
    version = "v1alpha1",
    kind = "FilterPolicy",
    plural = "filterpolicies",
    shortname = "fpol",
    category = "sky",
    namespaced,
    status = "FilterPolicyStatus",
    derive = "PartialEq",
    doc = "Which members the matching workloads of its namespace may use."
)]
#[serde(rename_all = "camelCase")]
pub struct FilterPolicySpec {
    /// The clusters that matching workloads may use.
    pub cluster_filter: ClusterFilter,
    /// Labels a workload must carry to be governed; empty: all workloads of the namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub labels_selector: BTreeMap<String, String>,
    /// Labels and expressions a workload must satisfy to be governed; with `labelsSelector`, both must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_selector: Option<Selector>,
}

/// Clusters by name or label. Exclude wins over include.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterFilter {
    /// Names allowed; with an empty list and no `clusterSelector`, every name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::cluster_names")]
    pub include: Vec<String>,
    /// Names refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::cluster_names")]
    pub exclude: Vec<String>,
    /// Cluster labels that allow a cluster as `include` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<Selector>,
}

/// What the operator reports of a FilterPolicy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FilterPolicyStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::observed_generation")]
    pub observed_generation: Option<i64>,
    /// Ready, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// Workloads it governs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub matched_workloads: Option<i64>,
    /// Shares evicted because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub evicted_shares: Option<i64>,
    /// Names in `include` or `exclude` that no SkyCluster has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::reported_clusters")]
    pub unknown_clusters: Vec<String>,
}
