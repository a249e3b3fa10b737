//! What a fake member holds: nodes, shares and their replicas, and who listens. Pure bookkeeping; `mod` puts calls and
//! faults around it.

use std::collections::{BTreeMap, BTreeSet};

use futures::channel::mpsc::UnboundedSender;
use sky_core::cluster::Node;
use sky_core::observation::{Counts, End, Item, ItemKey, MemberEvent, Observation, Trouble};
use sky_core::share::{Program, Share, ShareKey};
use sky_core::workload::Needs;
use sky_core::{fit, share};

use crate::{Class, Ensured, MemberError, Withdrawn};

/// One replica of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Replica {
    Pending,
    OnNode(String),
    Running(String),
    Succeeded,
    Failed,
}

impl Replica {
    fn node(&self) -> Option<&String> {
        match self {
            Self::OnNode(node) | Self::Running(node) => Some(node),
            Self::Pending | Self::Succeeded | Self::Failed => None,
        }
    }

    fn ended(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A share that the member holds.
#[derive(Clone, Debug)]
struct Held {
    share: Share,
    instance: String,
    deleting: bool,
    replicas: Vec<Replica>,
    started: bool,
    end: Option<End>,
}

/// Everything on a fake member.
#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) namespaces: BTreeSet<String>,
    pub(super) foreign: BTreeSet<ShareKey>,
    held: BTreeMap<ShareKey, Held>,
    instances: u64,
    listeners: Vec<UnboundedSender<MemberEvent>>,
    /// Why it does not answer, while it does not.
    pub(super) silent: Option<Trouble>,
    /// Its events lag behind: what changes is told later.
    whispering: bool,
    unsaid: Vec<ShareKey>,
    /// Withdrawn shares stay, on their way out, until let go.
    pub(super) lingering: bool,
    /// What was changed here by calls, in order.
    pub(super) effects: Vec<String>,
}

impl State {
    /// Adds a listener: a Reset, or Lost while silent, comes first.
    pub(super) fn listen(&mut self, listener: UnboundedSender<MemberEvent>) {
        let first = self
            .silent
            .clone()
            .map_or_else(|| self.everything(), MemberEvent::Lost);
        if listener.unbounded_send(first).is_ok() {
            self.listeners.push(listener);
        }
    }

    /// Tells everybody that there is no answer, or everything when there is one again.
    pub(super) fn fall_silent(&mut self, trouble: Option<Trouble>) {
        self.silent = trouble;
        let event = self
            .silent
            .clone()
            .map_or_else(|| self.everything(), MemberEvent::Lost);
        self.listeners
            .retain(|listener| listener.unbounded_send(event.clone()).is_ok());
    }

    /// Whether events lag behind; what was held back is told when they do not any more.
    pub(super) fn whisper(&mut self, whispering: bool) {
        self.whispering = whispering;
        if !whispering {
            for key in std::mem::take(&mut self.unsaid) {
                self.tell(&key);
            }
        }
    }

    fn everything(&self) -> MemberEvent {
        let nodes = self.nodes.iter().map(|node| Item::Node(self.node(node)));
        let shares = self
            .held
            .iter()
            .map(|(key, held)| Item::Share(observe(key, held)));
        MemberEvent::Reset(nodes.chain(shares).collect())
    }

    /// The node with what replicas on it take away.
    fn node(&self, node: &Node) -> Node {
        let mut node = node.clone();
        for held in self.held.values() {
            let here = held
                .replicas
                .iter()
                .filter(|replica| replica.node() == Some(&node.name));
            for _ in here {
                node.free.subtract(&held.share.requests);
                node.free_pods -= 1;
            }
        }
        node
    }

    /// Tells what the share under `key` is like now, and all nodes, at one moment.
    fn tell(&mut self, key: &ShareKey) {
        if self.silent.is_some() {
            return;
        }
        if self.whispering {
            self.unsaid.push(key.clone());
            return;
        }
        let mut upserts: Vec<Item> = self
            .nodes
            .iter()
            .map(|node| Item::Node(self.node(node)))
            .collect();
        let mut gone = Vec::new();
        match self.held.get(key) {
            Some(held) => upserts.push(Item::Share(observe(key, held))),
            None => gone.push(ItemKey::Share(key.clone())),
        }
        let event = MemberEvent::Changed { upserts, gone };
        self.listeners
            .retain(|listener| listener.unbounded_send(event.clone()).is_ok());
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ShareKey> {
        self.held.keys()
    }

    /// Keys of the shares of the workload of this name.
    pub(super) fn keys_of(&self, workload: &str) -> Vec<ShareKey> {
        let of = |(_, held): &(&ShareKey, &Held)| held.share.stamp.name == workload;
        self.held.iter().filter(of).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn observation(&self, key: &ShareKey) -> Option<Observation> {
        self.held.get(key).map(|held| observe(key, held))
    }

    pub(super) fn ensure(&mut self, share: Share) -> Result<Ensured, MemberError> {
        let key = share.key.clone();
        if self.foreign.contains(&key) {
            return Err(taken(&key));
        }
        if let Some(held) = self.held.get_mut(&key) {
            if !held.share.stamp.is_of_same_share(&share.stamp) {
                return Err(taken(&key));
            }
            if held.share.suspended == share.suspended {
                return Ok(Ensured::Present);
            }
            held.share.suspended = share.suspended;
            if share.suspended {
                held.replicas
                    .iter_mut()
                    .filter(|replica| !replica.ended())
                    .for_each(|replica| *replica = Replica::Pending);
            }
            let verb = if share.suspended { "suspend" } else { "resume" };
            self.record(verb, &share.stamp);
            self.tell(&key);
            return Ok(Ensured::Updated);
        }
        if share.known {
            return Err(MemberError::new(Class::Conflict, "it was deleted meanwhile"));
        }
        vet(&share)?;
        self.namespaces.insert(key.namespace.clone());
        self.instances += 1;
        self.record("create", &share.stamp);
        let held = Held {
            instance: self.instances.to_string(),
            deleting: false,
            replicas: vec![Replica::Pending; usize::try_from(share.replicas).unwrap_or_default()],
            started: false,
            end: None,
            share,
        };
        self.held.insert(key.clone(), held);
        self.tell(&key);
        Ok(Ensured::Created)
    }

    pub(super) fn withdraw(&mut self, origin: &str, key: &ShareKey) -> Result<Withdrawn, MemberError> {
        let not_ours = || MemberError::new(Class::Conflict, format!("{} is not ours", key.object));
        if self.foreign.contains(key) {
            return Err(not_ours());
        }
        let Some(held) = self.held.get_mut(key) else {
            return Ok(Withdrawn::Gone);
        };
        if held.share.stamp.origin != origin {
            return Err(not_ours());
        }
        if !held.deleting {
            held.deleting = true;
            let stamp = held.share.stamp.clone();
            self.record("withdraw", &stamp);
            self.tell(key);
        }
        if !self.lingering {
            self.remove(key);
        }
        Ok(Withdrawn::Going)
    }

    fn record(&mut self, verb: &str, stamp: &share::Stamp) {
        self.effects
            .push(format!("{verb} {}/{}", stamp.name, stamp.share));
    }

    /// Removes a share, whoever wants it.
    pub(super) fn remove(&mut self, key: &ShareKey) {
        if self.held.remove(key).is_some() {
            self.tell(key);
        }
    }

    /// Removes what is on its way out.
    pub(super) fn let_go(&mut self) {
        let going = self.held.iter().filter(|(_, held)| held.deleting);
        for key in going.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// Puts pending replicas onto the node with most room, as long as there is one.
    pub(super) fn place(&mut self, key: &ShareKey) {
        let Some(held) = self.held.get(key).filter(|held| !held.share.suspended) else {
            return;
        };
        let needs = Needs {
            resources: held.share.requests.clone(),
            ..Needs::default()
        };
        let mut nodes: Vec<Node> = self.nodes.iter().map(|node| self.node(node)).collect();
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        for replica in held
            .replicas
            .iter_mut()
            .filter(|replica| **replica == Replica::Pending)
        {
            let roomy = nodes.iter_mut().filter(|node| fit::on_node(node, &needs) > 0);
            let Some(node) = roomy.max_by_key(|node| node.free.cpu) else {
                break;
            };
            node.free.subtract(&needs.resources);
            node.free_pods -= 1;
            *replica = Replica::OnNode(node.name.clone());
        }
        self.tell(key);
    }

    /// Starts the replicas that are on a node.
    pub(super) fn start(&mut self, key: &ShareKey) {
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        for replica in &mut held.replicas {
            if let Replica::OnNode(node) = replica {
                *replica = Replica::Running(std::mem::take(node));
                held.started = true;
            }
        }
        self.tell(key);
    }

    /// Ends all replicas with success.
    pub(super) fn succeed(&mut self, key: &ShareKey) {
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        held.replicas.fill(Replica::Succeeded);
        held.started = true;
        held.end = Some(End::Complete);
        self.tell(key);
    }

    /// Ends one replica without success: the share has failed, the others are stopped.
    pub(super) fn fail(&mut self, key: &ShareKey, trouble: Trouble) {
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        held.replicas
            .iter_mut()
            .filter(|replica| **replica != Replica::Succeeded)
            .for_each(|replica| *replica = Replica::Failed);
        held.started = true;
        held.end = Some(End::Failed(trouble));
        self.tell(key);
    }
}

fn taken(key: &ShareKey) -> MemberError {
    let words = format!("something that is not of this share has the name {}", key.object);
    MemberError::new(Class::Conflict, words)
}

/// A template without containers is refused, in the words of a Kubernetes member.
fn vet(share: &Share) -> Result<(), MemberError> {
    let Program::Template(template) = &share.program else {
        return Ok(());
    };
    let containers = template
        .pointer("/spec/containers")
        .and_then(|list| list.as_array());
    if containers.is_some_and(|list| !list.is_empty()) {
        return Ok(());
    }
    let words = "spec.template.spec.containers: Required value";
    Err(MemberError::new(Class::Rejected, words))
}

fn observe(key: &ShareKey, held: &Held) -> Observation {
    let count = |which: &dyn Fn(&Replica) -> bool| {
        i64::try_from(held.replicas.iter().filter(|replica| which(replica)).count()).unwrap_or(i64::MAX)
    };
    let counts = Counts {
        pending: count(&|replica| matches!(replica, Replica::Pending | Replica::OnNode(_))),
        running: count(&|replica| matches!(replica, Replica::Running(_))),
        succeeded: count(&|replica| *replica == Replica::Succeeded),
        failed: count(&|replica| *replica == Replica::Failed),
    };
    let needs_no_room = held.end.is_some() || held.deleting || held.share.suspended;
    let settled = if needs_no_room {
        held.share.replicas
    } else {
        count(&|replica| *replica != Replica::Pending)
    };
    Observation {
        key: key.clone(),
        stamp: held.share.stamp.clone(),
        instance: held.instance.clone(),
        replicas: held.share.replicas,
        counts,
        settled,
        started: held.started,
        suspended: held.share.suspended,
        deleting: held.deleting,
        end: held.end.clone(),
        trouble: match &held.end {
            Some(End::Failed(trouble)) => Some(trouble.clone()),
            Some(End::Complete) | None => None,
        },
    }
}
