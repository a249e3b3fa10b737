//! SkyNamespace: a namespace on the host and on chosen members. Its behaviour is not there yet: the operator says so
//! in a condition.

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
    /// Where the namespace exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::reported_clusters")]
    pub clusters: Vec<String>,
    /// `clusters` in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::summary")]
    pub summary: Option<String>,
}
