//! SkyJob: N identical replicas that run to completion, spread over members. Scheduled and reconciled by sky-operator.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::scalar::Count;
use crate::status::{ClusterCounts, ClusterDiagnosis, CoolDown, Eviction, PlacementStatus, Totals};
use crate::workload::WorkloadSpec;

/// What to run to completion, how many times, and where.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "skymanager.io",
    version = "v1alpha1",
    kind = "SkyJob",
    plural = "skyjobs",
    shortname = "skyj",
    category = "sky",
    namespaced,
    status = "SkyJobStatus",
    derive = "PartialEq",
    doc = "N identical replicas that run to completion, spread over member clusters."
)]
#[serde(rename_all = "camelCase")]
pub struct SkyJobSpec {
    /// What one replica is and where it may run.
    #[serde(flatten)]
    pub workload: WorkloadSpec,
    /// Number of replicas, 1..100000; default 1. May be quoted.
    #[serde(default)]
    pub replicas: Count,
    /// Never (default): a failed replica is started anew as a whole. OnFailure: its container is restarted in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<RestartPolicy>,
    /// Further tries of a failed replica; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub backoff_limit: Option<i32>,
    /// Seconds from `status.startTime`, over all moves, after which the job is Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 315_360_000))]
    pub active_deadline_seconds: Option<i64>,
    /// Whether all replicas must be placed at once; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<bool>,
    /// Whether the job is held back; running replicas are withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// Seconds after the end until what is on members is removed; absent: it stays until the SkyJob is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 315_360_000))]
    pub ttl_seconds_after_finished: Option<i64>,
    /// A value not used before starts the job again with the present spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::run_id")]
    pub run_id: Option<String>,
}

/// What a member does with a replica whose container failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum RestartPolicy {
    /// The replica is started anew as a whole, as often as `backoffLimit` says.
    Never,
    /// The container is restarted in place, as often as `backoffLimit` says.
    OnFailure,
}

/// What the operator reports of a SkyJob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkyJobStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::observed_generation")]
    pub observed_generation: Option<i64>,
    /// For display: Queued, Pending, Running, Suspended, Complete, Failed, Unknown, Invalid or Deleting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::word")]
    pub phase: Option<String>,
    /// Scheduled, Complete, Failed, Suspended, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// Where the replicas were placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<PlacementStatus>,
    /// What each cluster's replicas are doing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_CLUSTERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub clusters: Vec<ClusterCounts>,
    /// Replicas over all clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// Replicas by cluster in one line, such as `c1:2,c2:1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::summary")]
    pub summary: Option<String>,
    /// Why it is not placed; at most 32 clusters.
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
    /// The last 20 runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_RUNS))]
    pub runs: Vec<Run>,
    /// The value of the annotation `skymanager.io/retry` that was last taken in, as the name of its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::reported_run_id")]
    pub retry: Option<String>,
    /// When the first replica was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the job became Complete or Failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}

/// One execution of a SkyJob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its `spec.runId`; the first run without one is named by the empty text, one that the annotation asked for
    /// `retry-VALUE`.
    #[schemars(schema_with = "bounds::reported_run_id")]
    pub run_id: String,
    /// Running, Complete, Failed or Withdrawn.
    #[schemars(schema_with = "bounds::word")]
    pub outcome: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
}
