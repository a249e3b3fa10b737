//! SkyNamespace: a namespace on the host and on chosen members.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::placement::Selector;

/// On which members the namespace exists, and what it carries there.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "skymanager.io",
    version = "v1alpha1",
    kind = "SkyNamespace",
    plural = "skynamespaces",
    shortname = "skyns",
    category = "sky",
    status = "SkyNamespaceStatus",
    validation = Rule::new("self.metadata.name != 'default' && !self.metadata.name.startsWith('kube-')")
        .message("metadata.name default and kube-* belong to each cluster itself: choose another name"),
    validation = Rule::new("size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')")
        .message("metadata.name of a SkyNamespace is a DNS label of at most 63 characters: shorten it, use - for ."),
    validation = Rule::new("!has(self.spec.labels) || self.spec.labels.all(k, !k.startsWith('skymanager.io/') && k != 'kubernetes.io/metadata.name')")
        .message("spec.labels: skymanager.io/ and kubernetes.io/metadata.name are not for users: remove them"),
    validation = Rule::new("!has(self.spec.annotations) || self.spec.annotations.all(k, !k.startsWith('skymanager.io/'))")
        .message("spec.annotations: skymanager.io/ is not for users: remove it"),
    derive = "PartialEq",
    doc = "A namespace that exists on the host and on chosen members."
)]
#[serde(rename_all = "camelCase")]
pub struct SkyNamespaceSpec {
    /// Members by label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<Selector>,
    /// Members by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_filter: Option<NameFilter>,
    /// Labels of the namespace everywhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the namespace everywhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::annotations")]
    pub annotations: BTreeMap<String, String>,
}

/// Clusters by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameFilter {
    /// These, or every one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::cluster_names")]
    pub include: Vec<String>,
    /// Never these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::cluster_names")]
    pub exclude: Vec<String>,
}

/// What the operator reports of a SkyNamespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SkyNamespaceStatus {
    /// Generation of the spec that this status speaks of; -1 before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::observed_generation")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::conditions")]
    pub conditions: Vec<Condition>,
    /// Clusters where the namespace is, is to be, or is to go from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = bounds::MAX_CLUSTERS), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cluster"]))]
    pub clusters: Vec<ClusterNamespace>,
    /// Clusters where it is as it is to be, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::summary")]
    pub summary: Option<String>,
}

/// The namespace on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNamespace {
    /// Cluster name.
    #[schemars(schema_with = "bounds::word")]
    pub cluster: String,
    /// Created or Adopted: as it is to be. Applying, Unreachable, Conflict, Refused: not yet. Leaving: to go from there;
    /// Kept: to go, but others have put something into it.
    #[schemars(schema_with = "bounds::word")]
    pub state: String,
    /// More of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::message")]
    pub message: Option<String>,
}
