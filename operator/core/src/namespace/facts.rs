//! What is known when a SkyNamespace is planned: the object, and what the host and the members show of its namespace.

use std::collections::{BTreeMap, BTreeSet};

use super::wanted::SeenNamespace;
use crate::Seconds;
use crate::job::Reach;
use crate::labels::Labels;
use crate::observation::Trouble;

/// A SkyNamespace, and what there is of it.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Generation of the spec.
    pub generation: i64,
    /// Being deleted.
    pub deleting: bool,
    /// Carries our finalizer.
    pub finalizer: bool,
    /// Labels of the namespace everywhere.
    pub labels: Labels,
    /// Annotations of the namespace everywhere.
    pub annotations: Labels,
    /// Workloads of the namespace that have not ended, such as `SkyJob train`.
    pub workloads: BTreeSet<String>,
    /// Seconds that a namespace is marked idle before it goes.
    pub grace: Seconds,
    /// The host, and every registered Kubernetes member. One that is not listed is not registered.
    pub sites: BTreeMap<Place, Site>,
}

/// Where a namespace is. The host comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The host.
    Host,
    /// A member, by its SkyCluster.
    Member(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host => out.write_str("the host"),
            Self::Member(name) => out.write_str(name),
        }
    }
}

/// What is known of the namespace in one place.
#[derive(Clone, Debug)]
pub struct Site {
    /// The spec wants it here; always so on the host.
    pub selected: bool,
    /// How far what is seen can be believed.
    pub reach: Reach,
    /// The namespace, when it carries our origin.
    pub seen: Option<SeenNamespace>,
    /// Workloads that have shares here, such as `SkyJob train`.
    pub shares: BTreeSet<String>,
    /// The status says that there is something here.
    pub recorded: bool,
    /// What came of the last call, when it failed: class and words.
    pub refused: Option<Trouble>,
}
