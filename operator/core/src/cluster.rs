//! A member as the scheduler sees it: labels, taints, health and exact nodes. Made by sky-convert and sky-member.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::resources::Resources;
use crate::room::Room;

/// What runs a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Manager {
    /// A Kubernetes API server.
    Kubernetes,
    /// Slurm.
    Slurm,
}

/// What a Slurm member can run, as its SkyCluster declares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlurmRoom {
    /// Which images.
    pub images: Images,
    /// Replicas that a share there may have; `None`: any number.
    pub most_replicas: Option<i64>,
}

/// Which images a Slurm member runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// None: what runs there runs on its nodes' own system.
    #[default]
    None,
    /// Only these.
    Listed(BTreeSet<String>),
    /// Every one.
    Any,
}

/// Whether a member can be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// Connected, and its nodes are known.
    Ready,
    /// Not to be used now; a reason code and words.
    NotReady {
        /// CamelCase code, such as `Unreachable`.
        reason: String,
        /// The reason in words.
        message: String,
    },
}

/// One member at one moment.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// SkyCluster name.
    pub name: Arc<str>,
    /// What runs it.
    pub manager: Manager,
    /// What it can run when Slurm runs it; `None`: nothing is declared.
    pub slurm: Option<Arc<SlurmRoom>>,
    /// The SkyCluster's labels and the two that every cluster counts as carrying.
    pub labels: Arc<Labels>,
    /// The SkyCluster's taints.
    pub taints: Vec<Taint>,
    /// Cordoned.
    pub unschedulable: bool,
    /// Its SkyCluster is being deleted: no new shares, and what is there goes.
    pub leaving: bool,
    /// Whether it can be used.
    pub health: Health,
    /// The room on its nodes; `None` before it has reported them.
    pub room: Option<Arc<Room>>,
}

/// Nodes by name. Shared, so that a look at them costs nothing and a change of one copies no other.
pub type Nodes = Arc<Vec<Arc<Node>>>;

/// One node of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Node name.
    pub name: String,
    /// Whether it reports itself ready.
    pub ready: bool,
    /// Cordoned.
    pub unschedulable: bool,
    /// Its labels.
    pub labels: Labels,
    /// Taints that keep pods away (NoSchedule and NoExecute).
    pub taints: Vec<Taint>,
    /// Accelerator model, as its labels or GRES give it.
    pub accelerator: Option<String>,
    /// What it has.
    pub capacity: Resources,
    /// What it gives to workloads.
    pub allocatable: Resources,
    /// What nobody asked for yet; below zero when over-committed.
    pub free: Resources,
    /// Pods it gives room to.
    pub pods: i64,
    /// Pods it still has room for.
    pub free_pods: i64,
}

/// A taint of a cluster or a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// Taint key.
    pub key: String,
    /// Taint value; empty when it has none.
    pub value: String,
    /// What it does.
    pub effect: Effect,
}

/// What a taint does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// Nothing new.
    NoSchedule,
    /// Nothing new, and what is there goes.
    NoExecute,
}

/// A taint that a workload or its pods accept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toleration {
    /// Taint key; `None`: every taint.
    pub key: Option<String>,
    /// Taint value; `None`: every value.
    pub value: Option<String>,
    /// Taint effect; `None`: every effect.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it accepts `taint`.
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

/// The first of `taints` that none of `tolerations` accepts.
#[must_use]
pub fn untolerated<'t>(taints: &'t [Taint], tolerations: &[Toleration]) -> Option<&'t Taint> {
    taints
        .iter()
        .find(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toleration_without_key_accepts_every_taint() {
        let taint = Taint {
            key: "k".into(),
            value: "v".into(),
            effect: Effect::NoExecute,
        };
        let all = Toleration {
            key: None,
            value: None,
            effect: None,
        };
        assert_eq!(untolerated(std::slice::from_ref(&taint), &[all]), None);
    }

    #[test]
    fn another_effect_is_not_tolerated() {
        let taint = Taint {
            key: "k".into(),
            value: "v".into(),
            effect: Effect::NoExecute,
        };
        let other = Toleration {
            key: Some("k".into()),
            value: None,
            effect: Some(Effect::NoSchedule),
        };
        assert_eq!(untolerated(std::slice::from_ref(&taint), &[other]), Some(&taint));
    }
}
