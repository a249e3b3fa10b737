//! Selectors of the API, in both spellings, as core selectors.

use std::collections::BTreeMap;

use sky_core::cluster::{Effect, Toleration};
use sky_core::labels::{Expression, Operator, Selector};
use sky_crds::cluster::TaintEffect;
use sky_crds::placement::{
    ClusterToleration, LabelExpression, LabelOperator, PlacementFilter, PlacementPreference,
    Selector as ApiSelector,
};

/// A selector of the API; the spellings were told apart by the schema, so one of each pair is empty.
#[must_use]
pub fn selector(api: &ApiSelector) -> Selector {
    build(
        &api.match_labels,
        &api.match_labels_original,
        &api.match_expressions,
        &api.match_expressions_original,
    )
}

/// The criterion of a placement filter.
#[must_use]
pub fn filter(api: &PlacementFilter) -> Selector {
    build(
        &api.match_labels,
        &api.match_labels_original,
        &api.match_expressions,
        &api.match_expressions_original,
    )
}

/// The criterion of a placement preference.
#[must_use]
pub fn preference(api: &PlacementPreference) -> Selector {
    build(
        &api.match_labels,
        &api.match_labels_original,
        &api.match_expressions,
        &api.match_expressions_original,
    )
}

fn build(
    labels: &BTreeMap<String, String>,
    labels_original: &BTreeMap<String, String>,
    expressions: &[LabelExpression],
    expressions_original: &[LabelExpression],
) -> Selector {
    let mut all = labels.clone();
    all.extend(labels_original.clone());
    Selector {
        labels: all,
        expressions: expressions
            .iter()
            .chain(expressions_original)
            .map(expression)
            .collect(),
    }
}

fn expression(api: &LabelExpression) -> Expression {
    let operator = match api.operator {
        LabelOperator::In => Operator::In(api.values.clone()),
        LabelOperator::NotIn => Operator::NotIn(api.values.clone()),
        LabelOperator::Exists => Operator::Exists,
        LabelOperator::DoesNotExist => Operator::DoesNotExist,
    };
    Expression {
        key: api.key.clone(),
        operator,
    }
}

/// A toleration of cluster taints.
#[must_use]
pub fn toleration(api: &ClusterToleration) -> Toleration {
    let exists = api.operator == Some(sky_crds::placement::TolerationOperator::Exists);
    let value = if exists {
        None
    } else {
        Some(api.value.clone().unwrap_or_default())
    };
    Toleration {
        key: api.key.clone(),
        value,
        effect: api.effect.map(effect),
    }
}

/// The effect of a cluster taint.
#[must_use]
pub fn effect(api: TaintEffect) -> Effect {
    match api {
        TaintEffect::NoSchedule => Effect::NoSchedule,
        TaintEffect::NoExecute => Effect::NoExecute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sky_core::labels::Labels;

    #[test]
    fn both_spellings_mean_the_same() {
        let original: PlacementFilter = serde_json::from_value(serde_json::json!({
            "match_labels": {"purpose": "dev"},
            "match_expressions": [{"key": "location", "operator": "NotIn", "values": ["eu"]}],
        }))
        .expect("the original spelling");
        let canonical: PlacementFilter = serde_json::from_value(serde_json::json!({
            "matchLabels": {"purpose": "dev"},
            "matchExpressions": [{"key": "location", "operator": "NotIn", "values": ["eu"]}],
        }))
        .expect("the canonical spelling");
        assert_eq!(filter(&original), filter(&canonical));
        assert!(filter(&original).matches(&Labels::from([("purpose".into(), "dev".into())])));
    }

    #[test]
    fn a_toleration_without_operator_means_equal() {
        let equal = ClusterToleration {
            key: Some("k".into()),
            ..ClusterToleration::default()
        };
        assert_eq!(toleration(&equal).value, Some(String::new()));
    }
}
