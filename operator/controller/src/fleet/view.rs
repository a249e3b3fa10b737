//! What one member last said: nodes, shares, namespaces, and how long it has been silent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sky_core::cluster::Nodes;
use sky_core::job::Reach;
use sky_core::namespace::SeenNamespace;
use sky_core::observation::{Item, ItemKey, MemberEvent, Observation, Trouble};
use sky_core::share::ShareKey;
use sky_core::workload::WorkloadRef;
use tokio::time::Instant;

/// Whether a member can be believed.
#[derive(Clone, Debug)]
pub enum Contact {
    /// It has not said anything yet.
    Waiting,
    /// What it said is what there is.
    Synced,
    /// Silent since then; what it said before may be stale.
    Silent {
        /// Since when.
        since: Instant,
        /// Why.
        trouble: Trouble,
    },
}

impl Contact {
    /// How far it can be believed, when it is lost after `grace` seconds of silence.
    #[must_use]
    pub fn reach(self, grace: u64) -> Reach {
        match self {
            Self::Synced => Reach::Synced,
            Self::Waiting => Reach::Silent {
                lost: false,
                message: "has not answered yet".into(),
            },
            Self::Silent { since, trouble } => Reach::Silent {
                lost: since.elapsed() >= Duration::from_secs(grace),
                message: trouble.message,
            },
        }
    }
}

/// What one member last said.
#[derive(Debug)]
pub struct View {
    contact: Contact,
    /// When it spoke again after a silence.
    back_since: Option<Instant>,
    lost_after: u64,
    nodes: Option<Nodes>,
    shares: BTreeMap<ShareKey, Observation>,
    /// Namespaces that carry our origin.
    namespaces: BTreeMap<String, SeenNamespace>,
    /// Those that changed since they were last asked for.
    touched_namespaces: BTreeSet<String>,
    /// Workloads that have to be looked at when it speaks, though it may hold nothing of them.
    awaiting: BTreeSet<WorkloadRef>,
    by_workload: HashMap<WorkloadRef, BTreeSet<ShareKey>>,
}

impl Default for View {
    fn default() -> Self {
        Self {
            contact: Contact::Waiting,
            back_since: None,
            lost_after: 300,
            nodes: None,
            shares: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            touched_namespaces: BTreeSet::new(),
            awaiting: BTreeSet::new(),
            by_workload: HashMap::new(),
        }
    }
}

impl View {
    /// Whether it can be believed.
    #[must_use]
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// When it last spoke again after a silence; `None`: it has not been silent yet.
    #[must_use]
    pub fn back_since(&self) -> Option<Instant> {
        self.back_since
    }

    /// Seconds of silence after which it counts as lost.
    #[must_use]
    pub fn lost_after(&self) -> u64 {
        self.lost_after
    }

    pub(super) fn set_lost_after(&mut self, seconds: u64) {
        self.lost_after = seconds;
    }

    /// Its nodes by name; `None` before it reported them.
    #[must_use]
    pub fn nodes(&self) -> Option<Nodes> {
        self.nodes.clone()
    }

    /// All shares of ours.
    pub fn shares(&self) -> impl Iterator<Item = &Observation> {
        self.shares.values()
    }

    /// The share under this key.
    #[must_use]
    pub fn share(&self, key: &ShareKey) -> Option<&Observation> {
        self.shares.get(key)
    }

    /// The namespace of this name, when it carries our origin.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&SeenNamespace> {
        self.namespaces.get(name)
    }

    /// All namespaces that carry our origin.
    pub fn namespaces(&self) -> impl Iterator<Item = &SeenNamespace> {
        self.namespaces.values()
    }

    /// Names of namespaces that changed since the last call.
    pub(super) fn take_touched_namespaces(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched_namespaces)
    }

    /// Shares of the workload of this name, whatever its uid.
    pub fn shares_of(&self, workload: &WorkloadRef) -> impl Iterator<Item = &Observation> {
        self.by_workload
            .get(workload)
            .into_iter()
            .flatten()
            .filter_map(|key| self.shares.get(key))
    }

    /// Has this workload looked at when the member speaks.
    pub(super) fn await_word(&mut self, workload: WorkloadRef) {
        self.awaiting.insert(workload);
    }

    /// Workloads with a share here, and those that wait for word from here.
    pub(super) fn concerned(&self) -> BTreeSet<WorkloadRef> {
        let held = self.shares.values().map(|share| share.stamp.workload());
        held.chain(self.awaiting.iter().cloned()).collect()
    }

    /// Takes in what the member said; answers which workloads it concerns.
    pub(super) fn take_in(&mut self, event: MemberEvent, now: Instant) -> BTreeSet<WorkloadRef> {
        match event {
            MemberEvent::Lost(trouble) => {
                let since = match &self.contact {
                    Contact::Silent { since, .. } => *since,
                    _ => now,
                };
                self.contact = Contact::Silent { since, trouble };
                self.concerned()
            }
            MemberEvent::Reset(items) => {
                let mut touched = self.concerned();
                self.awaiting.clear();
                self.shares.clear();
                self.namespaces.clear();
                self.by_workload.clear();
                if matches!(self.contact, Contact::Silent { .. }) {
                    self.back_since = Some(now);
                }
                self.contact = Contact::Synced;
                let mut nodes = Vec::new();
                for item in items {
                    match item {
                        Item::Node(node) => nodes.push(Arc::new(node)),
                        Item::Share(share) => {
                            touched.insert(share.stamp.workload());
                            self.keep(share);
                        }
                        Item::Namespace(seen) => self.keep_namespace(seen),
                    }
                }
                nodes.sort_by(|a, b| a.name.cmp(&b.name));
                self.nodes = Some(Arc::new(nodes));
                touched
            }
            MemberEvent::Changed { upserts, gone } => self.change(upserts, gone),
        }
    }

    fn change(&mut self, upserts: Vec<Item>, gone: Vec<ItemKey>) -> BTreeSet<WorkloadRef> {
        let mut touched = BTreeSet::new();
        let mut nodes = self.nodes.take().unwrap_or_default();
        for item in upserts {
            match item {
                Item::Node(node) => {
                    let nodes = Arc::make_mut(&mut nodes);
                    match nodes.binary_search_by(|known| known.name.cmp(&node.name)) {
                        Ok(index) => nodes[index] = Arc::new(node),
                        Err(index) => nodes.insert(index, Arc::new(node)),
                    }
                }
                Item::Share(share) => {
                    touched.insert(share.stamp.workload());
                    self.keep(share);
                }
                Item::Namespace(seen) => self.keep_namespace(seen),
            }
        }
        for key in gone {
            match key {
                ItemKey::Node(name) => Arc::make_mut(&mut nodes).retain(|node| node.name != name),
                ItemKey::Share(key) => touched.extend(self.forget(&key)),
                ItemKey::Namespace(name) => {
                    self.namespaces.remove(&name);
                    self.touched_namespaces.insert(name);
                }
            }
        }
        self.nodes = Some(nodes);
        touched
    }

    fn keep_namespace(&mut self, seen: SeenNamespace) {
        self.touched_namespaces.insert(seen.name.clone());
        self.namespaces.insert(seen.name.clone(), seen);
    }

    fn keep(&mut self, share: Observation) {
        self.by_workload
            .entry(share.stamp.workload())
            .or_default()
            .insert(share.key.clone());
        self.shares.insert(share.key.clone(), share);
    }

    fn forget(&mut self, key: &ShareKey) -> Option<WorkloadRef> {
        let share = self.shares.remove(key)?;
        let workload = share.stamp.workload();
        if let Some(keys) = self.by_workload.get_mut(&workload) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_workload.remove(&workload);
            }
        }
        Some(workload)
    }
}
