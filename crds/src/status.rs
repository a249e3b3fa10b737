//! Status parts that SkyJob and SkyDeployment share: placement, per-cluster counts, diagnosis, evictions. Written by
//! the operator alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;

/// Where the replicas were placed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementStatus {
    /// Grows with every bind.
    #[schemars(range(min = 0))]
    pub revision: i64,
    /// The shares; each has one object on its member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_SHARES), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["id"]))]
    pub shares: Vec<Share>,
    /// Ranks that were evicted and wait for a place again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_SHARES))]
    pub unplaced: Vec<Unplaced>,
    /// The shares summed up by cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_CLUSTERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub clusters: Vec<ClusterReplicas>,
}

/// Some replicas of one workload on one member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// `REVISION-INDEX`, never used twice within a workload.
    #[schemars(schema_with = "bounds::word")]
    pub id: String,
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Number of replicas.
    #[schemars(range(min = 0))]
    pub replicas: i64,
    /// Ranks of a SkyJob's replicas, such as `0-3,7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::ranks")]
    pub ranks: Option<String>,
    /// 1 at the first placing of these ranks within a run.
    #[schemars(range(min = 0))]
    pub attempt: i64,
    /// Tries of `backoffLimit` that evictions have used up: replicas that had started were stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub interruptions: Option<i64>,
    /// When it was bound, or resumed before any replica had started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind_time: Option<Time>,
    /// Whether a replica was seen started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// Whether all its replicas have succeeded: nothing of it need be on its member any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Why it is being evicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicting: Option<Evicting>,
    /// Ranks that had succeeded when its cluster was lost: they are not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::ranks")]
    pub done: Option<String>,
    /// Identity of its object on a member that holds objects back until this is recorded, as Slurm members do: the array's
    /// id and a mark of its submit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::word")]
    pub instance: Option<String>,
}

/// Why a share is being evicted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evicting {
    /// Reason code.
    #[schemars(schema_with = "bounds::reason")]
    pub reason: String,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::message")]
    pub message: Option<String>,
}

/// Ranks that were evicted and wait for a place again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unplaced {
    /// Which, such as `0-3,7`.
    #[schemars(schema_with = "bounds::ranks")]
    pub ranks: String,
    /// How often they were placed within the run.
    #[schemars(range(min = 0))]
    pub attempt: i64,
    /// Tries of `backoffLimit` that evictions have used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub interruptions: Option<i64>,
}

/// Replicas on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReplicas {
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Number of replicas.
    #[schemars(range(min = 0))]
    pub replicas: i64,
}

/// What one cluster's replicas are doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterCounts {
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Replicas placed there.
    #[schemars(range(min = 0))]
    pub replicas: i64,
    /// Not started yet.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub pending: i64,
    /// Started and not ended.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub running: i64,
    /// Ended with success.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub succeeded: i64,
    /// Ended without success and not tried again.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failed: i64,
    /// State not known, since the cluster is silent.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub unknown: i64,
    /// Of a SkyDeployment: ready to serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready: Option<i64>,
    /// Of a SkyDeployment: of the present template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub updated: Option<i64>,
    /// Of a SkyDeployment: ready for long enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub available: Option<i64>,
    /// Why replicas there wait or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::reason")]
    pub reason: Option<String>,
    /// `reason` in the member's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::message")]
    pub message: Option<String>,
}

/// Why one cluster cannot take the workload now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterDiagnosis {
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Reason code.
    #[schemars(schema_with = "bounds::reason")]
    pub reason: String,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::message")]
    pub message: Option<String>,
}

/// A cluster that is not tried again for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoolDown {
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Until when.
    pub until: Time,
    /// Evictions from there so far.
    #[schemars(range(min = 0))]
    pub count: i64,
}

/// One eviction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Eviction {
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Number of replicas withdrawn.
    #[schemars(range(min = 0))]
    pub replicas: i64,
    /// Reason code.
    #[schemars(schema_with = "bounds::reason")]
    pub reason: String,
    /// The reason in words; names the FilterPolicy, the taint or what was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::message")]
    pub message: Option<String>,
    /// When.
    pub time: Time,
    /// The attempt that ended.
    #[schemars(range(min = 0))]
    pub attempt: i64,
}

/// Replicas over all clusters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Wanted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub replicas: i64,
    /// Not started yet, placed or not.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub pending: i64,
    /// Started and not ended.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub running: i64,
    /// Ended with success.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub succeeded: i64,
    /// Ended without success and not tried again.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failed: i64,
    /// On silent clusters.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub unknown: i64,
}
