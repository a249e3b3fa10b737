//! Random labels, selectors, taints, tolerations and policies.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sky_core::cluster::{Effect, Taint, Toleration};
use sky_core::labels::{Expression, Labels, Operator, Selector};
use sky_core::workload::{NamespaceRule, Policy, PolicyRule};

use super::{chance, one_of};

const KEYS: &[&str] = &["location", "purpose", "size"];
const VALUES: &[&str] = &["eu", "us", "dev", "8"];

/// Up to three labels.
pub fn labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map(one_of(KEYS), one_of(VALUES), 0..=3)
}

/// A selector that holds about as often as not; with bounds on numbers when it is for nodes.
pub fn selector(of_nodes: bool) -> impl Strategy<Value = Selector> {
    (
        prop::collection::btree_map(one_of(KEYS), one_of(VALUES), 0..=1),
        prop::collection::vec(expression(of_nodes), 0..=2),
    )
        .prop_map(|(labels, expressions)| Selector { labels, expressions })
}

fn expression(of_nodes: bool) -> impl Strategy<Value = Expression> {
    let values = || prop::collection::vec(one_of(VALUES), 0..=3);
    let of_all = prop_oneof![
        values().prop_map(Operator::In),
        values().prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist),
    ];
    let bounds = prop_oneof![
        (7_i64..10).prop_map(Operator::Gt),
        (7_i64..10).prop_map(Operator::Lt),
    ];
    let bounds_in_ten = if of_nodes { 2 } else { 0 };
    let operator = prop_oneof![10 - bounds_in_ten => of_all, bounds_in_ten => bounds];
    (one_of(KEYS), operator).prop_map(|(key, operator)| Expression { key, operator })
}

fn effect() -> impl Strategy<Value = Effect> {
    prop::sample::select(vec![Effect::NoSchedule, Effect::NoExecute])
}

/// No taint mostly, else one or two.
pub fn taints() -> impl Strategy<Value = Vec<Taint>> {
    let taint = (one_of(&["gpu", "team"]), one_of(&["", "a"]), effect())
        .prop_map(|(key, value, effect)| Taint { key, value, effect });
    prop_oneof![4 => Just(vec![]), 1 => prop::collection::vec(taint, 1..=2)]
}

/// Tolerations of any shape.
pub fn tolerations() -> impl Strategy<Value = Vec<Toleration>> {
    let one = (
        prop::option::weighted(0.8, one_of(&["gpu", "team"])),
        prop::option::of(one_of(&["", "a"])),
        prop::option::weighted(0.3, effect()),
    );
    let toleration = one.prop_map(|(key, value, effect)| Toleration { key, value, effect });
    prop::collection::vec(toleration, 0..=2)
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(one_of(&["c0", "c1", "c2", "c3", "gone"]), 0..=3)
}

/// What a policy allows: mostly something.
pub fn rule() -> impl Strategy<Value = PolicyRule> {
    let of_clusters = (names(), names(), prop::option::weighted(0.3, selector(false)));
    prop_oneof![
        20 => of_clusters.prop_map(|(include, exclude, selector)| PolicyRule::Clusters { include, exclude, selector }),
        1 => Just(PolicyRule::Unreadable("it cannot be read".into())),
    ]
}

/// Policies of two namespaces.
pub fn policies() -> impl Strategy<Value = BTreeMap<String, Vec<Policy>>> {
    let one = (one_of(&["default", "other"]), selector(false), rule());
    prop::collection::vec(one, 0..=3).prop_map(|all| {
        let mut by_namespace: BTreeMap<String, Vec<Policy>> = BTreeMap::new();
        for (index, (namespace, selector, rule)) in all.into_iter().enumerate() {
            let policy = Policy {
                namespace: namespace.clone(),
                name: format!("p{index}"),
                selector,
                rule,
            };
            by_namespace.entry(namespace).or_default().push(policy);
        }
        by_namespace
    })
}

/// No SkyNamespace mostly.
pub fn namespaces() -> impl Strategy<Value = BTreeMap<String, NamespaceRule>> {
    let one = (rule(), chance(20)).prop_map(|(rule, deleting)| NamespaceRule { rule, deleting });
    prop::option::weighted(0.2, one).prop_map(|rule| {
        rule.map(|rule| ("default".to_owned(), rule))
            .into_iter()
            .collect()
    })
}
