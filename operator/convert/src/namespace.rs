//! SkyNamespace as core sees it.

use sky_core::labels::Selector;
use sky_core::workload::{NamespaceRule, PolicyRule};
use sky_crds::{SkyNamespace, names};

use crate::selector::selector;

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
