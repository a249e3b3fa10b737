//! A workload and a policy as the scheduler sees them. Made by sky-convert from SkyJob and FilterPolicy.

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::cluster::Toleration;
use crate::labels::{Labels, Selector};
use crate::resources::Resources;

/// The kinds of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Runs to completion.
    SkyJob,
    /// Kept running.
    SkyDeployment,
}

impl Kind {
    /// The kind as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SkyJob => "SkyJob",
            Self::SkyDeployment => "SkyDeployment",
        }
    }
}

/// Everything about a workload that a decision depends on.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid on the host.
    pub uid: String,
    /// Its labels.
    pub labels: Labels,
    /// When it was created; older goes first.
    pub created: Seconds,
    /// Higher goes first.
    pub priority: i32,
    /// Replicas to place.
    pub replicas: i64,
    /// All replicas at once or none.
    pub gang: bool,
    /// What one replica needs of a node.
    pub needs: Needs,
    /// Clusters pass that satisfy one of these; empty: all pass.
    pub filters: Vec<Selector>,
    /// Weights of clusters.
    pub preferences: Vec<Preference>,
    /// Cluster taints it accepts.
    pub tolerations: Vec<Toleration>,
}

/// A selector and the weight of the clusters it matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preference {
    /// Which clusters.
    pub selector: Selector,
    /// 1..100.
    pub weight: i32,
}

/// What one replica needs of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// What it asks for, init containers and overhead included.
    pub resources: Resources,
    /// Node labels it demands (nodeSelector).
    pub node_labels: Labels,
    /// Required node affinity: one of these must match; empty: no demand.
    pub node_terms: Vec<Selector>,
    /// Node taints it accepts.
    pub tolerations: Vec<Toleration>,
}

/// A FilterPolicy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its namespace; it governs workloads there.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which workloads, by label; empty: all of the namespace.
    pub selector: Selector,
    /// What it allows.
    pub rule: PolicyRule,
}

/// What a policy allows.
#[derive(Clone, Debug)]
pub enum PolicyRule {
    /// A cluster passes when (`include` is empty and there is no selector, or `include` names it, or the selector
    /// matches it) and `exclude` does not name it.
    Clusters {
        /// Names allowed.
        include: Vec<String>,
        /// Names refused.
        exclude: Vec<String>,
        /// Labels allowed.
        selector: Option<Selector>,
    },
    /// The policy could not be read: everything is refused, with this reason in words.
    Unreadable(String),
}

impl Policy {
    /// Whether it governs `workload`. One that cannot be read governs all of its namespace.
    #[must_use]
    pub fn governs(&self, workload: &Workload) -> bool {
        self.namespace == workload.namespace && self.selector.matches(&workload.labels)
    }

    /// Whether it allows the cluster of this name and labels.
    #[must_use]
    pub fn allows(&self, name: &str, labels: &Labels) -> bool {
        match &self.rule {
            PolicyRule::Unreadable(_) => false,
            PolicyRule::Clusters {
                include,
                exclude,
                selector,
            } => {
                let open = include.is_empty() && selector.is_none();
                let named = include.iter().any(|allowed| allowed == name);
                let selected = selector.as_ref().is_some_and(|selector| selector.matches(labels));
                (open || named || selected) && !exclude.iter().any(|refused| refused == name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(include: &[&str], exclude: &[&str], selector: Option<Selector>) -> Policy {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let rule = PolicyRule::Clusters {
            include: names(include),
            exclude: names(exclude),
            selector,
        };
        Policy {
            namespace: "default".into(),
            name: "p".into(),
            selector: Selector::default(),
            rule,
        }
    }

    #[test]
    fn exclude_wins_over_include() {
        let policy = policy(&["a", "b"], &["b"], None);
        assert!(policy.allows("a", &Labels::new()));
        assert!(!policy.allows("b", &Labels::new()));
        assert!(!policy.allows("c", &Labels::new()));
    }

    #[test]
    fn an_empty_include_allows_every_name_not_excluded() {
        let policy = policy(&[], &["b"], None);
        assert!(policy.allows("c", &Labels::new()));
    }

    #[test]
    fn a_selector_alone_allows_only_what_it_matches() {
        let eu = Labels::from([("region".into(), "eu".into())]);
        let policy = policy(
            &[],
            &[],
            Some(Selector {
                labels: eu.clone(),
                expressions: vec![],
            }),
        );
        assert!(policy.allows("a", &eu));
        assert!(!policy.allows("a", &Labels::new()));
    }

    #[test]
    fn a_policy_that_cannot_be_read_refuses() {
        let rule = PolicyRule::Unreadable("bad".into());
        let policy = Policy {
            namespace: "default".into(),
            name: "p".into(),
            selector: Selector::default(),
            rule,
        };
        assert!(!policy.allows("a", &Labels::new()));
    }
}
