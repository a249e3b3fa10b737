//! Selectors over labels, as filters, preferences and policies use them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels of a cluster, node or workload.
pub type Labels = BTreeMap<String, String>;

/// Labels and expressions that must all hold. The empty selector holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// Labels that must be there with just these values.
    pub labels: Labels,
    /// Expressions that must hold.
    pub expressions: Vec<Expression>,
}

/// One expression over labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    /// Label key.
    pub key: String,
    /// What must be true of its value.
    pub operator: Operator,
}

/// What must be true of a label's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// It is one of these.
    In(Vec<String>),
    /// It is none of these, or the label is absent.
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
    /// It is a whole number above this one (node affinity only).
    Gt(i64),
    /// It is a whole number below this one (node affinity only).
    Lt(i64),
}

impl Selector {
    /// Whether all labels and all expressions hold for `labels`.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.labels
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
            && self
                .expressions
                .iter()
                .all(|expression| expression.matches(labels))
    }

    /// Whether it holds for everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.expressions.is_empty()
    }
}

impl Expression {
    /// Whether it holds for `labels`.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|value| values.contains(value)),
            Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt(bound) => number(value).is_some_and(|value| value > *bound),
            Operator::Lt(bound) => number(value).is_some_and(|value| value < *bound),
        }
    }
}

fn number(value: Option<&String>) -> Option<i64> {
    value.and_then(|value| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: Operator, location: Option<&str>, expect: bool) {
        let labels: Labels = location
            .map(|value| ("location".to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let expression = Expression {
            key: "location".into(),
            operator: operator.clone(),
        };
        assert_eq!(
            expression.matches(&labels),
            expect,
            "{operator:?} on {location:?}"
        );
    }

    #[test]
    fn expressions_follow_the_kubernetes_meaning() {
        let eu = || vec!["eu".to_owned()];
        check(Operator::In(eu()), Some("eu"), true);
        check(Operator::In(eu()), Some("us"), false);
        check(Operator::In(eu()), None, false);
        check(Operator::NotIn(eu()), Some("eu"), false);
        check(Operator::NotIn(eu()), None, true);
        check(Operator::Exists, None, false);
        check(Operator::DoesNotExist, None, true);
        check(Operator::Gt(3), Some("4"), true);
        check(Operator::Gt(3), Some("eu"), false);
        check(Operator::Lt(3), Some("2"), true);
    }

    #[test]
    fn the_empty_selector_holds_for_everything() {
        assert!(Selector::default().matches(&Labels::new()));
    }
}
