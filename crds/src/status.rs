//! Status parts that SkyJob and SkyDeployment share: placement, per-cluster counts, diagnosis, evictions. Written by
//! the operator alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Where the replicas were placed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementStatus {
    /// Grows with every bind.
    pub revision: i64,
    /// The shares; each has one object on its member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Share>,
    /// The shares summed up by cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterReplicas>,
}

/// Some replicas of one workload on one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// `REVISION-INDEX`, never used twice within a workload.
    pub id: String,
    /// Cluster name.
    pub cluster: String,
    /// Number of replicas.
    pub replicas: i64,
    /// Ranks of a SkyJob's replicas, such as `0-3,7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<String>,
    /// 1 at the first placing of these ranks within a run.
    pub attempt: i64,
}

/// Replicas on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReplicas {
    /// Cluster name.
    pub cluster: String,
    /// Number of replicas.
    pub replicas: i64,
}

/// What one cluster's replicas are doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCounts {
    /// Cluster name.
    pub cluster: String,
    /// Replicas placed there.
    pub replicas: i64,
    /// Not started yet.
    #[serde(default)]
    pub pending: i64,
    /// Started and not ended.
    #[serde(default)]
    pub running: i64,
    /// Ended with success.
    #[serde(default)]
    pub succeeded: i64,
    /// Ended without success and not tried again.
    #[serde(default)]
    pub failed: i64,
    /// State not known, since the cluster is silent.
    #[serde(default)]
    pub unknown: i64,
    /// Why replicas there wait or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `reason` in the member's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Why one cluster cannot take the workload now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDiagnosis {
    /// Cluster name.
    pub cluster: String,
    /// Reason code.
    pub reason: String,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A cluster that is not tried again for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoolDown {
    /// Cluster name.
    pub cluster: String,
    /// Until when.
    pub until: Time,
    /// Evictions from there so far.
    pub count: i64,
}

/// One eviction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Eviction {
    /// Cluster name.
    pub cluster: String,
    /// Number of replicas withdrawn.
    pub replicas: i64,
    /// Reason code.
    pub reason: String,
    /// When.
    pub time: Time,
    /// The attempt that ended.
    pub attempt: i64,
}

/// Replicas over all clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Wanted.
    #[serde(default)]
    pub replicas: i64,
    /// Not started yet, placed or not.
    #[serde(default)]
    pub pending: i64,
    /// Started and not ended.
    #[serde(default)]
    pub running: i64,
    /// Ended with success.
    #[serde(default)]
    pub succeeded: i64,
    /// Ended without success and not tried again.
    #[serde(default)]
    pub failed: i64,
    /// On silent clusters.
    #[serde(default)]
    pub unknown: i64,
}
