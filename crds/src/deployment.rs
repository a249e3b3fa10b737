//! SkyDeployment: N replicas kept running, spread over members.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::status::{ClusterCounts, ClusterDiagnosis, CoolDown, Eviction, PlacementStatus};
use crate::workload::WorkloadSpec;

/// What to keep running, how many times, and where.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "skymanager.io",
    version = "v1alpha1",
    kind = "SkyDeployment",
    plural = "skydeployments",
    shortname = "skyd",
    category = "sky",
    namespaced,
    status = "SkyDeploymentStatus",
    derive = "PartialEq",
    doc = "N replicas kept running, spread over member clusters.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SkyDeploymentSpec {
    /// What one replica is and where it may run.
    #[serde(flatten)]
    pub workload: WorkloadSpec,
    /// Number of replicas; default 1. A plain number, as the scale subresource demands.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = bounds::MAX_REPLICAS))]
    pub replicas: i32,
    /// How a changed template rolls over the clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<RolloutStrategy>,
    /// Whether a changed template waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Seconds without progress after which a rollout stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 31_536_000))]
    pub progress_deadline_seconds: Option<i32>,
}

impl Default for SkyDeploymentSpec {
    fn default() -> Self {
        Self {
            workload: WorkloadSpec::default(),
            replicas: one(),
            strategy: None,
            paused: None,
            progress_deadline_seconds: None,
        }
    }
}

fn one() -> i32 {
    1
}

/// How a changed template rolls over the clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStrategy {
    /// Clusters that may be in the middle of a rollout at once; default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_clusters_unavailable: Option<i32>,
}

/// What the operator reports of a SkyDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkyDeploymentStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::observed_generation")]
    pub observed_generation: Option<i64>,
    /// For display.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::word")]
    pub phase: Option<String>,
    /// Ready, Progressing, Scheduled, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// Replicas that exist on members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,
    /// Replicas that are ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready_replicas: Option<i32>,
    /// Replicas of the present template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub updated_replicas: Option<i32>,
    /// Replicas that are available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub available_replicas: Option<i32>,
    /// Label selector of the pods on members, for the scale subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::line")]
    pub selector: Option<String>,
    /// Where the replicas were placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementStatus>,
    /// What each cluster's replicas are doing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_CLUSTERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub clusters: Vec<ClusterCounts>,
    /// Replicas by cluster in one line, such as `c1:2,c2:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::summary")]
    pub summary: Option<String>,
    /// Why replicas are not placed; at most 32 clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_DIAGNOSIS))]
    pub diagnosis: Vec<ClusterDiagnosis>,
    /// Clusters that are not tried again for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_CLUSTERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub cool_downs: Vec<CoolDown>,
    /// The last 10 evictions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_EVICTIONS))]
    pub evictions: Vec<Eviction>,
}
