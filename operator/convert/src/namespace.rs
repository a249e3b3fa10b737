//! SkyNamespace as core sees it, and its status as the API stores it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sky_core::labels::{Labels, Selector};
use sky_core::namespace::Status;
use sky_core::workload::{NamespaceRule, PolicyRule};
use sky_crds::bounds::{MAX_CLUSTERS, MAX_SUMMARY};
use sky_crds::namespace::{ClusterNamespace, SkyNamespaceStatus};
use sky_crds::{SkyNamespace, names};

use crate::selector::selector;
use crate::status::{LONGEST_MESSAGE, cut, transition};

/// Where workloads of the namespace may go. Names and selector add up, as in a FilterPolicy; without either it is every
/// Kubernetes member.
#[must_use]
pub fn rule(api: &SkyNamespace) -> NamespaceRule {
    let filter = api.spec.cluster_filter.clone().unwrap_or_default();
    let named = api.spec.cluster_selector.as_ref().map(selector);
    let selector = match named {
        None if filter.include.is_empty() => Some(every_kubernetes_member()),
        named => named,
    };
    NamespaceRule {
        rule: PolicyRule::Clusters {
            include: filter.include,
            exclude: filter.exclude,
            selector,
        },
        deleting: api.metadata.deletion_timestamp.is_some(),
    }
}

fn every_kubernetes_member() -> Selector {
    Selector {
        labels: [(names::CLUSTER_MANAGER_LABEL.to_owned(), "kubernetes".to_owned())].into(),
        expressions: Vec::new(),
    }
}

/// The rule of a SkyNamespace that could not be read: nothing new goes anywhere.
#[must_use]
pub fn unreadable(why: &str) -> NamespaceRule {
    NamespaceRule {
        rule: PolicyRule::Unreadable(why.to_owned()),
        deleting: false,
    }
}

/// Labels that the namespace is to carry everywhere.
#[must_use]
pub fn labels(api: &SkyNamespace) -> Labels {
    api.spec.labels.clone()
}

/// Annotations that the namespace is to carry everywhere.
#[must_use]
pub fn annotations(api: &SkyNamespace) -> Labels {
    api.spec.annotations.clone()
}

/// Clusters of which the status says that something of the namespace is there.
#[must_use]
pub fn recorded(api: &SkyNamespace) -> BTreeSet<String> {
    let clusters = api.status.iter().flat_map(|status| &status.clusters);
    clusters.map(|cluster| cluster.cluster.clone()).collect()
}

/// The API's status for `wanted`: conditions keep the time of their last transition.
#[must_use]
pub fn to_api(wanted: &Status, stored: &SkyNamespaceStatus, now: Timestamp) -> SkyNamespaceStatus {
    let conditions = wanted.conditions.iter().map(|c| {
        let words = (c.reason.as_str(), c.message.as_str());
        transition(
            c.kind,
            c.status,
            words,
            wanted.generation,
            &stored.conditions,
            now,
        )
    });
    let clusters = wanted.clusters.iter().take(MAX_CLUSTERS);
    SkyNamespaceStatus {
        observed_generation: Some(wanted.generation),
        conditions: conditions.collect(),
        clusters: clusters
            .map(|cluster| ClusterNamespace {
                cluster: cluster.cluster.clone(),
                state: cluster.state.as_str().into(),
                message: Some(cut(&cluster.message, LONGEST_MESSAGE)).filter(|words| !words.is_empty()),
            })
            .collect(),
        summary: Some(cut(&wanted.summary.join(","), MAX_SUMMARY)).filter(|summary| !summary.is_empty()),
    }
}
