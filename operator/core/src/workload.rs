//! A workload and a policy as the scheduler sees them. Made by sky-convert from SkyJob and FilterPolicy.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Seconds;
use crate::accelerator;
use crate::cluster::{Cluster, Manager, Toleration};
use crate::labels::{Labels, Selector};
use crate::resources::Resources;

/// The kinds of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

/// Names a workload on the host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
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
    /// Replicas to place now: those that have a place already are not among them.
    pub replicas: i64,
    /// All replicas at once or none.
    pub gang: bool,
    /// What one replica needs of a node where no override says otherwise.
    pub needs: Arc<Needs>,
    /// What its replicas run, as far as a manager's ability to run it depends on it.
    pub program: ProgramKind,
    /// What it needs where overrides change its pod template; `None`: it needs the same everywhere.
    pub overrides: Option<Arc<dyn Overrides>>,
    /// Clusters pass that satisfy one of these; empty: all pass.
    pub filters: Vec<Selector>,
    /// Weights of clusters.
    pub preferences: Vec<Preference>,
    /// Cluster taints it accepts.
    pub tolerations: Vec<Toleration>,
    /// How its replicas spread over clusters.
    pub spread: Spread,
    /// Replicas that have a place already, by cluster.
    pub placed: BTreeMap<String, i64>,
    /// Clusters that it was evicted from lately, and until when they are not tried.
    pub cooling: BTreeMap<String, Seconds>,
    /// Revision of the placement that it has now; 0 when it never had one.
    pub revision: i64,
}

impl Workload {
    /// Its name.
    #[must_use]
    pub fn reference(&self) -> WorkloadRef {
        WorkloadRef {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// One replica that asks for nothing and may go anywhere; replicas of a SkyJob belong together.
    #[must_use]
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: String::new(),
            labels: Labels::new(),
            created: 0,
            priority: 0,
            replicas: 1,
            gang: kind == Kind::SkyJob,
            needs: Arc::default(),
            program: ProgramKind::default(),
            overrides: None,
            filters: Vec::new(),
            preferences: Vec::new(),
            tolerations: Vec::new(),
            spread: Spread::default(),
            placed: BTreeMap::new(),
            cooling: BTreeMap::new(),
            revision: 0,
        }
    }
}

impl Workload {
    /// What one replica needs of a node of `cluster`.
    #[must_use]
    pub fn needs_on(&self, cluster: &Cluster) -> Cow<'_, Arc<Needs>> {
        needs_on(&self.needs, self.overrides.as_deref(), cluster)
    }
}

/// What one replica needs of a node of `cluster`: `needs` unless `overrides` say otherwise. Slurm gives whole cpus and MiB.
#[must_use]
pub fn needs_on<'n>(
    needs: &'n Arc<Needs>,
    overrides: Option<&dyn Overrides>,
    cluster: &Cluster,
) -> Cow<'n, Arc<Needs>> {
    if cluster.manager == Manager::Slurm {
        // It runs no pod template, and overrides are patches of one.
        return match needs.resources.whole() {
            Some(resources) => Cow::Owned(Arc::new(Needs {
                resources,
                ..(**needs).clone()
            })),
            None => Cow::Borrowed(needs),
        };
    }
    let own = match overrides.and_then(|overrides| overrides.needs(&cluster.name, &cluster.labels)) {
        Some(needs) => Cow::Owned(needs),
        None => Cow::Borrowed(needs),
    };
    if !own.whole_node {
        return own;
    }
    Cow::Owned(Arc::new(Needs {
        whole_node: false,
        ..(**own).clone()
    }))
}

/// What replicas need on clusters for which the user patches their pod template. Made by sky-convert, which can read
/// templates. A function of its arguments alone.
pub trait Overrides: Debug + Send + Sync {
    /// What one replica needs of a node of the cluster of this name and labels; `None`: no override applies there.
    fn needs(&self, cluster: &str, labels: &Labels) -> Option<Arc<Needs>>;

    /// Equal ones mean equal answers.
    fn fingerprint(&self) -> &str;
}

/// What replicas run, as far as a manager's ability to run it depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramKind {
    /// What of it only Kubernetes members can do, as the spec calls it.
    pub kubernetes_only: Option<String>,
    /// The image that a replica runs in.
    pub image: String,
    /// Its user names that image; else it is the default one.
    pub names_image: bool,
    /// Its user says how it runs on Slurm, and so that without an image it may run on the cluster's own system.
    pub slurm: bool,
}

/// How replicas spread over clusters, within one weight and then the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// In which proportions.
    pub strategy: Strategy,
    /// Fewest clusters to use; 0 and 1 are the same.
    pub min_clusters: i64,
    /// Most clusters to use; `None`: any number.
    pub max_clusters: Option<i64>,
}

/// Spread strategies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// Fill the best cluster, then the next.
    #[default]
    Pack,
    /// Equal numbers on each cluster.
    Even,
    /// Numbers in proportion to these parts.
    Weighted(Vec<Part>),
}

/// The part of one cluster, or of each cluster that a selector matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Whose.
    pub of: PartOf,
    /// 1..1000.
    pub weight: i64,
}

/// Whose part it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartOf {
    /// Of the cluster of this name.
    Cluster(String),
    /// Of each cluster with these labels.
    Selector(Selector),
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
    /// Accelerators that it asks for by model, or whatever their model.
    pub accelerator: Option<AcceleratorNeed>,
    /// Node labels it demands (nodeSelector).
    pub node_labels: Labels,
    /// Required node affinity: one of these must match; empty: no demand.
    pub node_terms: Vec<Selector>,
    /// Node taints it accepts.
    pub tolerations: Vec<Toleration>,
    /// It shares its node with nobody. On Slurm only.
    #[serde(default)]
    pub whole_node: bool,
}

impl Needs {
    /// Whether it asks for accelerators, by any name.
    #[must_use]
    pub fn has_accelerators(&self) -> bool {
        let by_name = |(name, amount): (&String, &i64)| *amount > 0 && accelerator::is_accelerator(name);
        self.accelerator.is_some() || self.resources.extended.iter().any(by_name)
    }
}

/// Accelerators without the name of a resource: each cluster has its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceleratorNeed {
    /// Model, such as `A100`, in any case; `None`: any.
    pub model: Option<String>,
    /// Pieces for one replica, all of one node.
    pub count: i64,
}

/// A SkyNamespace: where workloads of a namespace may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceRule {
    /// Clusters it selects.
    pub rule: PolicyRule,
    /// Being deleted: no new shares.
    pub deleting: bool,
}

/// A FilterPolicy.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        self.rule.allows(name, labels)
    }
}

impl PolicyRule {
    /// Whether it allows the cluster of this name and labels.
    #[must_use]
    pub fn allows(&self, name: &str, labels: &Labels) -> bool {
        match self {
            Self::Unreadable(_) => false,
            Self::Clusters {
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
