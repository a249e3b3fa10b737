//! FilterPolicy as core sees it.

use std::collections::BTreeMap;

use sky_core::labels::Selector;
use sky_core::workload::{Policy, PolicyRule};
use sky_crds::FilterPolicy;

use crate::selector::selector;

/// The policy of `api`.
#[must_use]
pub fn policy(api: &FilterPolicy) -> Policy {
    let mut governs = api
        .spec
        .workload_selector
        .as_ref()
        .map(selector)
        .unwrap_or_default();
    // Both given: both must match. One key with two values can match nothing.
    let clash = api
        .spec
        .labels_selector
        .iter()
        .any(|(key, value)| governs.labels.get(key).is_some_and(|v| v != value));
    governs.labels.extend(api.spec.labels_selector.clone());
    let filter = &api.spec.cluster_filter;
    let rule = PolicyRule::Clusters {
        include: filter.include.clone(),
        exclude: filter.exclude.clone(),
        selector: filter.cluster_selector.as_ref().map(selector),
    };
    let (namespace, name) = names(api);
    if clash {
        governs.expressions.push(sky_core::labels::Expression {
            key: "skymanager.io/never".into(),
            operator: sky_core::labels::Operator::Exists,
        });
    }
    Policy {
        namespace,
        name,
        selector: governs,
        rule,
    }
}

/// Policies by namespace, as a snapshot holds them.
#[must_use]
pub fn by_namespace(policies: impl IntoIterator<Item = Policy>) -> BTreeMap<String, Vec<Policy>> {
    let mut all: BTreeMap<String, Vec<Policy>> = BTreeMap::new();
    for policy in policies {
        all.entry(policy.namespace.clone()).or_default().push(policy);
    }
    for policies in all.values_mut() {
        policies.sort_by(|a, b| a.name.cmp(&b.name));
    }
    all
}

/// A policy that could not be parsed: it refuses every workload of its namespace.
#[must_use]
pub fn unreadable(namespace: &str, name: &str, why: &str) -> Policy {
    let rule = PolicyRule::Unreadable(why.to_owned());
    Policy {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        selector: Selector::default(),
        rule,
    }
}

fn names(api: &FilterPolicy) -> (String, String) {
    (
        api.metadata.namespace.clone().unwrap_or_default(),
        api.metadata.name.clone().unwrap_or_default(),
    )
}
