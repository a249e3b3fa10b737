//! SkyCluster: a member, how to reach it, and what it has. Connected and reported by the operator's fleet.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bounds;

/// How to reach a member and what may be placed there.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "skymanager.io",
    version = "v1alpha1",
    kind = "SkyCluster",
    plural = "skyclusters",
    shortname = "skyc",
    category = "sky",
    status = "SkyClusterStatus",
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')")
        .message("metadata.name of a SkyCluster is a DNS label of at most 63 characters: shorten it, use - for ."),
    derive = "PartialEq",
    doc = "A member cluster: how to reach it, what may be placed there, what it has.",
)]
#[x_kube(validation = Rule::new("self.manager == oldSelf.manager").message("spec.manager cannot change: unjoin the cluster and join it again").field_path(".manager"))]
#[x_kube(validation = Rule::new("(self.manager == 'kubernetes') == has(self.kubernetes)").message("spec.kubernetes goes with manager kubernetes, and only with it: add or remove the section").field_path(".kubernetes"))]
#[x_kube(validation = Rule::new("(self.manager == 'slurm') == has(self.slurm)").message("spec.slurm goes with manager slurm, and only with it: add or remove the section").field_path(".slurm"))]
#[serde(rename_all = "camelCase")]
pub struct SkyClusterSpec {
    /// What runs the member; cannot be changed.
    pub manager: Manager,
    /// How to reach a Kubernetes member; with `manager: kubernetes` and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAccess>,
    /// How to reach a Slurm member; with `manager: slurm` and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slurm: Option<SlurmAccess>,
    /// Cordon: no new shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unschedulable: Option<bool>,
    /// Taints: only workloads that tolerate them are placed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["key", "effect"]))]
    pub taints: Vec<ClusterTaint>,
    /// Seconds of silence after which the cluster counts as lost; default 300.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 31_536_000))]
    pub lost_after_seconds: Option<i64>,
}

/// What runs a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// A Kubernetes API server.
    Kubernetes,
    /// Slurm, through slurmrestd.
    Slurm,
}

/// How to reach a Kubernetes member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAccess {
    /// Secret in the operator's namespace that holds a kubeconfig, labelled `skymanager.io/member: <cluster>`.
    pub kubeconfig_secret_ref: SecretKey,
    /// Context of the kubeconfig; absent: its current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::line")]
    pub context: Option<String>,
}

/// A key of a Secret in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Secret name.
    #[schemars(schema_with = "bounds::object_name")]
    pub name: String,
    /// Key in the Secret; default `kubeconfig`, for Slurm `token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::secret_key")]
    pub key: Option<String>,
}

/// How to reach a Slurm member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SlurmAccess {
    /// URL of slurmrestd, or `unix://` and the path of its socket, as the operator sees it.
    #[schemars(schema_with = "bounds::endpoint")]
    pub endpoint: String,
    /// User that jobs are submitted as.
    #[schemars(schema_with = "bounds::slurm_name")]
    pub user_name: String,
    /// Secret in the operator's namespace that holds a JWT, labelled `skymanager.io/member: <cluster>`.
    pub token_secret_ref: SecretKey,
    /// PEM certificates that sign the endpoint's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::certificates")]
    pub ca_bundle: Option<String>,
    /// Default partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::slurm_name")]
    pub partition: Option<String>,
    /// Default account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::slurm_name")]
    pub account: Option<String>,
    /// Default quality of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::slurm_name")]
    pub qos: Option<String>,
    /// Default working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::absolute_path")]
    pub work_dir: Option<String>,
    /// Where replicas' output goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::line")]
    pub logs: Option<String>,
    /// How `image` runs there; default None.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_runtime: Option<ContainerRuntime>,
    /// Image names to what the runtime takes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::image_map")]
    pub image_map: BTreeMap<String, String>,
    /// The cluster's MaxArraySize; default 1001 (indices to 1000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_000_001))]
    pub max_array_size: Option<i32>,
    /// Seconds between recording a submitted job and its release; default 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 600))]
    pub confirm_seconds: Option<i32>,
}

/// How images run on a Slurm member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ContainerRuntime {
    /// Not at all.
    None,
    /// Apptainer.
    Apptainer,
    /// Slurm's own --container.
    #[serde(rename = "OCI")]
    Oci,
    /// The Pyxis plugin.
    Pyxis,
}

/// A taint of a whole cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTaint {
    /// Taint key.
    #[schemars(schema_with = "bounds::label_key")]
    pub key: String,
    /// Taint value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::label_value")]
    pub value: Option<String>,
    /// What happens to workloads that do not tolerate it.
    pub effect: TaintEffect,
}

/// What a cluster's taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TaintEffect {
    /// No new shares.
    NoSchedule,
    /// No new shares, and what is there is evicted.
    NoExecute,
}

/// What the operator reports of a member.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkyClusterStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::observed_generation")]
    pub observed_generation: Option<i64>,
    /// Ready, Reachable, CredentialsValid, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// Version of what runs the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::word")]
    pub version: Option<String>,
    /// Number of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes: Option<i64>,
    /// Sum over nodes of what they have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::quantities")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Sum over nodes of what they give to workloads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::quantities")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Sum over schedulable nodes of what nobody asked for yet.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::quantities")]
    pub free: BTreeMap<String, Quantity>,
    /// Equal nodes merged; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_NODE_SHAPES))]
    pub node_shapes: Vec<NodeShape>,
    /// Whether `nodeShapes` leaves nodes out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shapes_truncated: Option<bool>,
}

/// A number of equal nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeShape {
    /// How many there are.
    #[schemars(range(min = 0))]
    pub count: i64,
    /// What each gives to workloads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::quantities")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// What each has free.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::quantities")]
    pub free: BTreeMap<String, Quantity>,
    /// Accelerator model, as the node's labels or GRES give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::word")]
    pub accelerator: Option<String>,
    /// Node taints that keep pods away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_NODE_TAINTS))]
    pub taints: Vec<NodeTaint>,
    /// Architecture, operating system, zone and instance type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::reported_labels")]
    pub labels: BTreeMap<String, String>,
}

/// A taint of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeTaint {
    /// Taint key.
    #[schemars(schema_with = "bounds::reported_key")]
    pub key: String,
    /// Taint value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::word")]
    pub value: Option<String>,
    /// NoSchedule or NoExecute.
    #[schemars(schema_with = "bounds::word")]
    pub effect: String,
}
