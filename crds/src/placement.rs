//! `spec.placement` of a workload: where it may run and where it would rather run. Read by sky-convert.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Where the replicas of a workload may and should run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Allow-list: a cluster passes when it satisfies at least one filter. Empty: every cluster passes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<PlacementFilter>,
    /// A cluster's weight is the highest among the preferences it satisfies, 0 when none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preferences: Vec<PlacementPreference>,
    /// Cluster taints that this workload accepts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<ClusterToleration>,
    /// How the replicas spread over clusters of equal weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

/// One criterion over cluster labels: all of `matchLabels` and all of `matchExpressions` must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementFilter {
    /// A name for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Labels that the cluster must carry with just these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over the cluster's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelExpression>,
    /// The original spelling of `matchLabels`.
    #[serde(rename = "match_labels", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels_original: BTreeMap<String, String>,
    /// The original spelling of `matchExpressions`.
    #[serde(rename = "match_expressions", default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions_original: Vec<LabelExpression>,
}

/// A criterion with the weight of the clusters that satisfy it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlacementPreference {
    /// A name for messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// 1..100; a higher weight is tried first.
    pub weight: i32,
    /// Labels that the cluster must carry with just these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over the cluster's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelExpression>,
    /// The original spelling of `matchLabels`.
    #[serde(rename = "match_labels", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels_original: BTreeMap<String, String>,
    /// The original spelling of `matchExpressions`.
    #[serde(rename = "match_expressions", default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions_original: Vec<LabelExpression>,
}

/// One expression over labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelExpression {
    /// Label key.
    pub key: String,
    /// How the label's value relates to `values`.
    pub operator: LabelOperator,
    /// Needed by In and NotIn, refused by Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must be there with just these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelExpression>,
    /// The original spelling of `matchLabels`.
    #[serde(rename = "match_labels", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels_original: BTreeMap<String, String>,
    /// The original spelling of `matchExpressions`.
    #[serde(rename = "match_expressions", default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions_original: Vec<LabelExpression>,
}

/// A cluster taint that a workload accepts, with the meaning a Pod's toleration has for a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterToleration {
    /// Taint key; absent with operator Exists: every taint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Equal (default) or Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<TolerationOperator>,
    /// Taint value, with operator Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Pack (default): fill the best cluster, then the next. Even, Weighted: over all at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<SpreadStrategy>,
    /// Parts for the strategy Weighted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_weights: Vec<ClusterWeight>,
    /// Fewest clusters to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_clusters: Option<i32>,
    /// Most clusters to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
#[serde(rename_all = "camelCase")]
pub struct ClusterWeight {
    /// Cluster name; this or `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Cluster labels; this or `cluster`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// 1..1000.
    pub weight: i32,
}
