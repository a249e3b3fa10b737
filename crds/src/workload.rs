//! The fields that SkyJob and SkyDeployment share: what one replica is and where it may run. Read by sky-convert.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::placement::{Placement, Selector};
use crate::scalar::Amount;
use crate::{bounds, opaque};

/// What one replica runs, what it needs, and where it may be placed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    /// Container image; absent: the operator's default image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::image")]
    pub image: Option<String>,
    /// When a member pulls the image; absent: the member's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,
    /// Secrets on the member that hold registry credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<SecretName>,
    /// Service account on the member that the replicas run under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::object_name")]
    pub service_account_name: Option<String>,
    /// A shell script, run by /bin/sh of the image; this or `command`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::script")]
    pub run: Option<String>,
    /// Entry point; this or `run`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::words")]
    pub command: Vec<String>,
    /// Arguments of `command`, or of the image's own entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::words")]
    pub args: Vec<String>,
    /// Environment of every replica.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub env: Vec<EnvVar>,
    /// What one replica needs: `cpu`/`cpus`, `memory`, `gpu`/`gpus`, an accelerator model, or an extended resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub resources: BTreeMap<String, Amount>,
    /// Ports that a replica opens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ports: Vec<Port>,
    /// Which clusters may and should run the replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Higher is scheduled first; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000_000, max = 1_000_000_000))]
    pub priority: Option<i32>,
    /// Seconds a share may wait on its member without a started replica before it is moved; 0: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub pending_timeout_seconds: Option<i64>,
    /// What happens to shares of a lost cluster. Default: Wait for SkyJob, Reschedule for SkyDeployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_cluster_lost: Option<OnClusterLost>,
    /// Whether ConfigMaps and Secrets that the template names follow it to members; default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_config: Option<bool>,
    /// A whole pod template, for Kubernetes members only, instead of image, run and their neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::template")]
    pub template: Option<Value>,
    /// Patches of the pod template on some clusters, applied in order: a later one wins. Without `template` they patch
    /// the one made of image, run and their neighbours, with its container `main`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub overrides: Vec<TemplateOverride>,
    /// Options for Slurm members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmOptions>,
}

/// When a member pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ImagePullPolicy {
    /// At every start.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Not at all.
    Never,
}

/// What happens to the shares of a lost cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum OnClusterLost {
    /// They stay, state unknown, until the cluster returns.
    Wait,
    /// They are placed elsewhere.
    Reschedule,
}

/// Name of a Secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// Secret name, in the workload's namespace on the member.
    #[schemars(schema_with = "bounds::object_name")]
    pub name: String,
}

/// One environment variable, as in a Pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.valueFrom) || !has(self.value) || self.value == ''").message("value and valueFrom exclude each other: keep one").field_path(".value"))]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Variable name.
    #[schemars(schema_with = "bounds::variable_name")]
    pub name: String,
    /// Literal value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::variable_value")]
    pub value: Option<String>,
    /// A source as in a Pod's `valueFrom`, handed to the member as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::value_from")]
    pub value_from: Option<Value>,
}

/// One port of a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Port name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::port_name")]
    pub name: Option<String>,
    /// 1..65535.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: i32,
    /// TCP (default), UDP or SCTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
}

/// Transport protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Protocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
}

/// A patch of the pod template on the clusters it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(has(self.clusters) && size(self.clusters) > 0) != has(self.clusterSelector)").message("give just one of clusters and clusterSelector: names or labels of the clusters to patch on"))]
#[x_kube(validation = Rule::new("(has(self.jsonPatch) && size(self.jsonPatch) > 0) != has(self.strategicMerge)").message("give just one of jsonPatch and strategicMerge: the patch of the template"))]
#[serde(rename_all = "camelCase")]
pub struct TemplateOverride {
    /// Cluster names; these or `clusterSelector`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::cluster_names")]
    pub clusters: Vec<String>,
    /// Cluster labels; this or `clusters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<Selector>,
    /// JSON Patch operations on the template, below /metadata or /spec; these or `strategicMerge`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "opaque::json_patch")]
    pub json_patch: Vec<Value>,
    /// A strategic merge patch of the template; this or `jsonPatch`. Containers, env and volumes are merged by name,
    /// null removes a field; directives such as `$patch` are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "opaque::strategic_merge")]
    pub strategic_merge: Option<Value>,
}

/// Options for Slurm members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlurmOptions {
    /// Partition; absent: the member's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::slurm_name")]
    pub partition: Option<String>,
    /// Account; absent: the member's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::slurm_name")]
    pub account: Option<String>,
    /// Quality of service; absent: the member's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::slurm_name")]
    pub qos: Option<String>,
    /// Time limit in minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5_256_000))]
    pub time_limit: Option<i32>,
    /// Working directory on the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::absolute_path")]
    pub work_dir: Option<String>,
    /// Further submit options: `constraints`, `dependency`, `reservation`, `wckey`, `exclusive`, `nice`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::directives")]
    pub directives: BTreeMap<String, String>,
}
