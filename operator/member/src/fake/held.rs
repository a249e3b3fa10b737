//! A share that a fake member holds, and what its replicas do. Kept by `state`.

use std::collections::BTreeMap;

use sky_core::Seconds;
use sky_core::observation::{Counts, End, Observation, Rollout, Started};
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Container, Program, Retry, Share, ShareKey};
use sky_core::workload::Kind;

use crate::Tombstone;

/// One replica of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Replica {
    Pending,
    OnNode(String),
    Running(String),
    Succeeded,
    Failed,
}

impl Replica {
    pub(super) fn node(&self) -> Option<&String> {
        match self {
            Self::OnNode(node) | Self::Running(node) => Some(node),
            Self::Pending | Self::Succeeded | Self::Failed => None,
        }
    }

    pub(super) fn ended(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A share that the member holds.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) share: Share,
    pub(super) instance: String,
    pub(super) deleting: bool,
    pub(super) replicas: Vec<Replica>,
    pub(super) started: Started,
    pub(super) end: Option<End>,
    pub(super) tombstone: Option<Seconds>,
    /// Counts the changes of what it is to be.
    pub(super) generation: i64,
    /// Since when it may be released, while it is held back until its instance is named.
    pub(super) confirm: Option<Seconds>,
}

impl Held {
    /// As it is when it was just created.
    pub(super) fn of(share: Share, instance: u64) -> Self {
        Self {
            instance: instance.to_string(),
            deleting: false,
            replicas: vec![Replica::Pending; usize::try_from(share.replicas).unwrap_or_default()],
            started: Started::No,
            end: None,
            tombstone: None,
            generation: 1,
            confirm: None,
            share,
        }
    }

    /// It is held back: replicas that have not ended are gone. Those on a node stay while they cling to it.
    pub(super) fn let_replicas_go(&mut self, clinging: bool) {
        let going = self.replicas.iter_mut().filter(|replica| !replica.ended());
        for replica in going.filter(|replica| !clinging || replica.node().is_none()) {
            *replica = Replica::Pending;
        }
    }

    /// What the member says about it.
    pub(super) fn observe(&self, key: &ShareKey) -> Observation {
        let count = |which: &dyn Fn(&Replica) -> bool| {
            i64::try_from(self.replicas.iter().filter(|replica| which(replica)).count()).unwrap_or(i64::MAX)
        };
        let counts = Counts {
            pending: count(&|replica| matches!(replica, Replica::Pending | Replica::OnNode(_))),
            running: count(&|replica| matches!(replica, Replica::Running(_))),
            succeeded: count(&|replica| *replica == Replica::Succeeded),
            failed: count(&|replica| *replica == Replica::Failed),
        };
        // Of a share that is held back, what waits for a node is gone at once.
        let active = count(&|replica| match replica {
            Replica::Pending => !self.share.suspended && self.confirm.is_none(),
            other => other.node().is_some(),
        });
        let done = (0..)
            .zip(&self.replicas)
            .filter_map(|(index, replica)| (*replica == Replica::Succeeded).then_some(index));
        let needs_no_room = self.end.is_some() || self.deleting || self.share.suspended;
        let settled = if needs_no_room {
            self.share.replicas
        } else {
            count(&|replica| *replica != Replica::Pending)
        };
        Observation {
            key: key.clone(),
            stamp: self.share.stamp.clone(),
            instance: self.instance.clone(),
            replicas: self.share.replicas,
            counts,
            settled,
            started: self.started,
            done: done.collect(),
            active,
            suspended: self.share.suspended,
            confirm: self
                .confirm
                .filter(|_| !self.share.suspended && self.tombstone.is_none() && self.end.is_none()),
            tombstone: self.tombstone,
            deleting: self.deleting,
            end: self.end.clone(),
            trouble: match &self.end {
                Some(End::Failed(trouble)) if self.tombstone.is_none() => Some(trouble.clone()),
                _ => None,
            },
            rollout: (key.kind == Kind::SkyDeployment).then_some(Rollout {
                generation: self.generation,
                current: true,
                existing: self.share.replicas,
                updated: self.share.replicas,
                ready: counts.running,
                available: counts.running,
                stuck: None,
            }),
        }
    }
}

/// A share that stands for `tombstone` and runs nothing.
pub(super) fn inert(key: &ShareKey, tombstone: &Tombstone) -> Share {
    Share {
        key: key.clone(),
        stamp: tombstone.stamp.clone(),
        cluster: String::new(),
        replicas: 1,
        total_replicas: 1,
        ranks: Ranks::consecutive(0, 1),
        suspended: true,
        known: false,
        instance: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        program: Program::Container(Container::default()),
        requests: Resources::default(),
        patches: vec![],
        accelerator: None,
        retry: Retry::Replace(0),
        progress_deadline: None,
    }
}
