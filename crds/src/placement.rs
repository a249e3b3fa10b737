//! `spec.placement` of a workload: where it may run and where it would rather run. Read by sky-convert.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::bounds;

/// Where the replicas of a workload may and should run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.filters) || self.filters.all(f, !has(f.name) || self.filters.exists_one(o, has(o.name) && o.name == f.name))").message("two filters have the same name: rename one").field_path(".filters"))]
#[x_kube(validation = Rule::new("!has(self.preferences) || self.preferences.all(p, !has(p.name) || self.preferences.exists_one(o, has(o.name) && o.name == p.name))").message("two preferences have the same name: rename one").field_path(".preferences"))]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Allow-list: a cluster passes when it satisfies at least one filter. Empty: every cluster passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub filters: Vec<PlacementFilter>,
    /// A cluster's weight is the highest among the preferences it satisfies, 0 when none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub preferences: Vec<PlacementPreference>,
    /// Cluster taints that this workload accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<ClusterToleration>,
    /// How the replicas spread over clusters of equal weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

/// One criterion over cluster labels: all of `matchLabels` and all of `matchExpressions` must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.matchLabels) && has(self.match_labels))").message("matchLabels and match_labels are two spellings of one field: keep one"))]
#[x_kube(validation = Rule::new("!(has(self.matchExpressions) && has(self.match_expressions))").message("matchExpressions and match_expressions are two spellings of one field: keep one"))]
#[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0) || (has(self.match_labels) && size(self.match_labels) > 0) || (has(self.match_expressions) && size(self.match_expressions) > 0)").message("a criterion without labels and expressions holds for every cluster: add matchLabels or matchExpressions, or remove it"))]
#[serde(rename_all = "camelCase")]
pub struct PlacementFilter {
    /// A name for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::display_name")]
    pub name: Option<String>,
    /// Labels that the cluster must carry with just these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over the cluster's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelExpression>,
    /// The original spelling of `matchLabels`.
    #[serde(rename = "match_labels", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels_original: BTreeMap<String, String>,
    /// The original spelling of `matchExpressions`.
    #[serde(rename = "match_expressions", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions_original: Vec<LabelExpression>,
}

/// A criterion with the weight of the clusters that satisfy it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.matchLabels) && has(self.match_labels))").message("matchLabels and match_labels are two spellings of one field: keep one"))]
#[x_kube(validation = Rule::new("!(has(self.matchExpressions) && has(self.match_expressions))").message("matchExpressions and match_expressions are two spellings of one field: keep one"))]
#[x_kube(validation = Rule::new("(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0) || (has(self.match_labels) && size(self.match_labels) > 0) || (has(self.match_expressions) && size(self.match_expressions) > 0)").message("a criterion without labels and expressions holds for every cluster: add matchLabels or matchExpressions, or remove it"))]
#[serde(rename_all = "camelCase")]
pub struct PlacementPreference {
    /// A name for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::display_name")]
    pub name: Option<String>,
    /// 1..100; a higher weight is tried first.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// Labels that the cluster must carry with just these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over the cluster's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelExpression>,
    /// The original spelling of `matchLabels`.
    #[serde(rename = "match_labels", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels_original: BTreeMap<String, String>,
    /// The original spelling of `matchExpressions`.
    #[serde(rename = "match_expressions", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions_original: Vec<LabelExpression>,
}

/// One expression over labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(self.operator in ['In', 'NotIn']) || (has(self.values) && size(self.values) > 0)").message("operator In and NotIn need values: list at least one, or use Exists or DoesNotExist").field_path(".values"))]
#[x_kube(validation = Rule::new("!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values) || size(self.values) == 0").message("operator Exists and DoesNotExist take no values: remove them, or use In or NotIn").field_path(".values"))]
#[serde(rename_all = "camelCase")]
pub struct LabelExpression {
    /// Label key.
    #[schemars(schema_with = "bounds::label_key")]
    pub key: String,
    /// How the label's value relates to `values`.
    pub operator: LabelOperator,
    /// Needed by In and NotIn, refused by Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "bounds::label_values")]
    pub values: Vec<String>,
}

/// Operators over labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum LabelOperator {
    /// The label is there and its value is listed.
    In,
    /// The label is absent or its value is not listed.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// Labels and expressions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.matchLabels) && has(self.match_labels))").message("matchLabels and match_labels are two spellings of one field: keep one"))]
#[x_kube(validation = Rule::new("!(has(self.matchExpressions) && has(self.match_expressions))").message("matchExpressions and match_expressions are two spellings of one field: keep one"))]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must be there with just these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions: Vec<LabelExpression>,
    /// The original spelling of `matchLabels`.
    #[serde(rename = "match_labels", default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "bounds::labels")]
    pub match_labels_original: BTreeMap<String, String>,
    /// The original spelling of `matchExpressions`.
    #[serde(rename = "match_expressions", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub match_expressions_original: Vec<LabelExpression>,
}

/// A cluster taint that a workload accepts, with the meaning a Pod's toleration has for a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.key) || (has(self.operator) && self.operator == 'Exists')").message("a toleration without key tolerates every taint and needs operator Exists: add a key, or set the operator").field_path(".key"))]
#[x_kube(validation = Rule::new("!has(self.value) || self.value == '' || !has(self.operator) || self.operator == 'Equal'").message("operator Exists takes no value: remove it, or use Equal").field_path(".value"))]
#[serde(rename_all = "camelCase")]
pub struct ClusterToleration {
    /// Taint key; absent with operator Exists: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::label_key")]
    pub key: Option<String>,
    /// Equal (default) or Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Taint value, with operator Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::label_value")]
    pub value: Option<String>,
    /// Taint effect; absent: every effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<crate::cluster::TaintEffect>,
}

/// How a toleration's value relates to a taint's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum TolerationOperator {
    /// Key and value are equal.
    Equal,
    /// The key is there, whatever its value.
    Exists,
}

/// How replicas spread over clusters, within one weight and then the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.minClusters) || !has(self.maxClusters) || self.minClusters <= self.maxClusters").message("minClusters is above maxClusters: lower it, or raise maxClusters").field_path(".minClusters"))]
#[x_kube(validation = Rule::new("(has(self.clusterWeights) && size(self.clusterWeights) > 0) == (has(self.strategy) && self.strategy == 'Weighted')").message("clusterWeights go with strategy Weighted, and only with it: add them, remove them, or change the strategy").field_path(".clusterWeights"))]
#[x_kube(validation = Rule::new("!has(self.clusterWeights) || self.clusterWeights.all(w, !has(w.cluster) || self.clusterWeights.exists_one(o, has(o.cluster) && o.cluster == w.cluster))").message("clusterWeights name a cluster twice: keep one weight for it").field_path(".clusterWeights"))]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Pack (default): fill the best cluster, then the next. Even, Weighted: over all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<SpreadStrategy>,
    /// Parts for the strategy Weighted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub cluster_weights: Vec<ClusterWeight>,
    /// Fewest clusters to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub min_clusters: Option<i32>,
    /// Most clusters to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_clusters: Option<i32>,
}

/// Spread strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SpreadStrategy {
    /// Fill the best cluster, then the next.
    Pack,
    /// Equal numbers on each cluster.
    Even,
    /// Numbers in proportion to `clusterWeights`.
    Weighted,
}

/// The part of one cluster, or of each cluster of a selector, under the strategy Weighted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.cluster) != has(self.selector)").message("give just one of cluster and selector: a weight is for one cluster or for those with labels"))]
#[serde(rename_all = "camelCase")]
pub struct ClusterWeight {
    /// Cluster name; this or `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bounds::cluster_name")]
    pub cluster: Option<String>,
    /// Cluster labels; this or `cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// 1..1000.
    #[schemars(range(min = 1, max = 1000))]
    pub weight: i32,
}
