//! What a fake member holds: nodes, shares (`held`), and who listens. Pure bookkeeping; `mod` puts calls and faults
//! around it.

use std::collections::{BTreeMap, BTreeSet};

use futures::channel::mpsc::UnboundedSender;
use sky_core::cluster::Node;
use sky_core::namespace::{Namespace, Wanted};
use sky_core::observation::{End, Item, ItemKey, MemberEvent, Observation, Started, Trouble};
use sky_core::share::{Patch, Program, Share, ShareKey};
use sky_core::{Seconds, share};

use super::configs::Configs;
use super::held::{self, Held, Replica};
use super::namespaces::Namespaces;
use crate::{Class, Ensured, MemberError, Tombstone, Withdraw, Withdrawn};

/// Everything on a fake member.
#[derive(Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    pub(super) namespaces: Namespaces,
    pub(super) configs: Configs,
    /// The host that namespaces are told to.
    pub(super) origin: String,
    pub(super) foreign: BTreeSet<ShareKey>,
    pub(super) held: BTreeMap<ShareKey, Held>,
    instances: u64,
    listeners: Vec<UnboundedSender<MemberEvent>>,
    /// Why it does not answer, while it does not.
    pub(super) silent: Option<Trouble>,
    /// Its events lag behind: what changes is told later.
    whispering: bool,
    unsaid: Vec<ShareKey>,
    unsaid_namespaces: BTreeSet<String>,
    /// Withdrawn shares stay, on their way out, until let go.
    pub(super) lingering: bool,
    /// Replicas of shares that are held back stay on their nodes until let go.
    pub(super) clinging: bool,
    /// Since when objects may be released that are held back until their instance is named; `None`: none is held back.
    pub(super) confirm: Option<Seconds>,
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
            for name in std::mem::take(&mut self.unsaid_namespaces) {
                self.tell_namespace(&name);
            }
        }
    }

    fn everything(&self) -> MemberEvent {
        let nodes = self.nodes.iter().map(|node| Item::Node(self.node(node)));
        let shares = self.held.iter().map(|(key, held)| Item::Share(held.observe(key)));
        let namespaces = self.namespaces.of(&self.origin).cloned().map(Item::Namespace);
        MemberEvent::Reset(nodes.chain(shares).chain(namespaces).collect())
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
    pub(super) fn tell(&mut self, key: &ShareKey) {
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
            Some(held) => upserts.push(Item::Share(held.observe(key))),
            None => gone.push(ItemKey::Share(key.clone())),
        }
        let event = MemberEvent::Changed { upserts, gone };
        self.listeners
            .retain(|listener| listener.unbounded_send(event.clone()).is_ok());
    }

    /// Adds a node, and tells of all nodes.
    pub(super) fn add_node(&mut self, node: Node) {
        self.nodes.push(node);
        let upserts = self.nodes.iter().map(|node| Item::Node(self.node(node)));
        let event = MemberEvent::Changed {
            upserts: upserts.collect(),
            gone: Vec::new(),
        };
        self.listeners
            .retain(|listener| listener.unbounded_send(event.clone()).is_ok());
    }

    /// Tells what the namespace of this name is like now.
    pub(super) fn tell_namespace(&mut self, name: &str) {
        if self.silent.is_some() {
            return;
        }
        if self.whispering {
            self.unsaid_namespaces.insert(name.to_owned());
            return;
        }
        let (mut upserts, mut gone) = (Vec::new(), Vec::new());
        match self.namespaces.seen(name, &self.origin) {
            Some(seen) => upserts.push(Item::Namespace(seen)),
            None => gone.push(ItemKey::Namespace(name.to_owned())),
        }
        let event = MemberEvent::Changed { upserts, gone };
        self.listeners
            .retain(|listener| listener.unbounded_send(event.clone()).is_ok());
    }

    /// Makes the namespace as it is wanted.
    pub(super) fn ensure_namespace(&mut self, namespace: &Namespace) -> Result<Ensured, MemberError> {
        let name = &namespace.name;
        let held = self.held.keys().any(|key| key.namespace == *name);
        let done = self.namespaces.ensure(namespace, held)?;
        if done != Ensured::Present {
            let verb = match &namespace.wanted {
                Wanted::Held { .. } => "hold",
                Wanted::Needed => "need",
                Wanted::Idle { .. } => "mark idle",
                Wanted::Released => "release",
                Wanted::Gone { .. } => "remove",
            };
            self.effects.push(format!("{verb} namespace {name}"));
            self.tell_namespace(name);
        }
        Ok(done)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &ShareKey> {
        self.held.keys()
    }

    /// Keys of the shares of the workload of this name.
    pub(super) fn keys_of(&self, workload: &str) -> Vec<ShareKey> {
        let of = |(_, held): &(&ShareKey, &Held)| held.share.stamp.name == workload;
        self.held.iter().filter(of).map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn patches(&self, key: &ShareKey) -> Vec<Patch> {
        let held = self.held.get(key);
        held.map(|held| held.share.patches.clone()).unwrap_or_default()
    }

    pub(super) fn observation(&self, key: &ShareKey) -> Option<Observation> {
        self.held.get(key).map(|held| held.observe(key))
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
            if held.tombstone.is_some() {
                let words = format!("{} is a tombstone: this share was withdrawn for good", key.object);
                return Err(MemberError::new(Class::Conflict, words));
            }
            if share.instance.as_ref().is_some_and(|own| *own != held.instance) {
                return Err(MemberError::new(Class::Throttled, "it is another one by now"));
            }
            let release = held.confirm.is_some() && share.instance.is_some() && !share.suspended;
            if held.share.suspended == share.suspended && !release {
                return Ok(Ensured::Present);
            }
            held.share.suspended = share.suspended;
            if release {
                held.confirm = None;
            }
            held.let_replicas_go(self.clinging && share.suspended);
            let verb = match (release, share.suspended) {
                (true, _) => "release",
                (_, true) => "suspend",
                (_, false) => "resume",
            };
            self.record(verb, &share.stamp);
            self.tell(&key);
            return Ok(Ensured::Updated);
        }
        if share.known || share.instance.is_some() {
            return Err(MemberError::new(Class::Throttled, "it was deleted meanwhile"));
        }
        vet(&share)?;
        self.need_namespace(&key.namespace, &share.stamp.origin)?;
        self.record("create", &share.stamp);
        self.hold(share, None);
        Ok(Ensured::Created)
    }

    /// Creates the namespace of a new object if need be. One that is there is not changed by it.
    pub(super) fn need_namespace(&mut self, name: &str, origin: &str) -> Result<(), MemberError> {
        match self.namespaces.get(name) {
            Some(seen) if seen.deleting => {
                let words = format!("the namespace {name} is being terminated");
                Err(MemberError::new(Class::Throttled, words))
            }
            Some(_) => Ok(()),
            None => {
                self.namespaces.need(name, origin)?;
                self.tell_namespace(name);
                Ok(())
            }
        }
    }

    /// A new object.
    pub(super) fn hold(&mut self, share: Share, tombstone: Option<Seconds>) {
        let key = share.key.clone();
        self.instances += 1;
        let mut held = Held::of(share, self.instances);
        held.tombstone = tombstone;
        held.confirm = self.confirm.filter(|_| tombstone.is_none());
        self.held.insert(key.clone(), held);
        self.tell(&key);
    }

    pub(super) fn withdraw(
        &mut self,
        origin: &str,
        key: &ShareKey,
        how: Withdraw,
    ) -> Result<Withdrawn, MemberError> {
        let of_another = |held: &Held| held.share.stamp.origin != origin;
        if self.foreign.contains(key) || self.held.get(key).is_some_and(of_another) {
            let words = format!("{} is not ours", key.object);
            return Err(MemberError::new(Class::Conflict, words));
        }
        match how {
            Withdraw::Remove => Ok(self.withdraw_for_good(key)),
            Withdraw::IfNotStarted => Ok(self.hold_back(key)),
            Withdraw::Always(tombstone) => self.bury(key, &tombstone),
        }
    }

    fn withdraw_for_good(&mut self, key: &ShareKey) -> Withdrawn {
        let Some(held) = self.held.get_mut(key) else {
            return Withdrawn::Gone;
        };
        if !held.deleting {
            held.deleting = true;
            let stamp = held.share.stamp.clone();
            self.record("withdraw", &stamp);
            self.tell(key);
        }
        if !self.lingering {
            self.remove(key);
        }
        Withdrawn::Going
    }

    fn hold_back(&mut self, key: &ShareKey) -> Withdrawn {
        let Some(held) = self.held.get_mut(key) else {
            return Withdrawn::Gone;
        };
        if held.end.is_some() {
            return Withdrawn::Started;
        }
        if held.deleting || held.share.suspended {
            return Withdrawn::Going;
        }
        if held.started == Started::Yes {
            return Withdrawn::Started;
        }
        held.share.suspended = true;
        held.let_replicas_go(self.clinging);
        let stamp = held.share.stamp.clone();
        self.record("suspend", &stamp);
        self.tell(key);
        Withdrawn::Going
    }

    fn bury(&mut self, key: &ShareKey, tombstone: &Tombstone) -> Result<Withdrawn, MemberError> {
        let Some(held) = self.held.get_mut(key) else {
            self.need_namespace(&key.namespace, &tombstone.stamp.origin)?;
            self.record("bury", &tombstone.stamp);
            self.hold(held::inert(key, tombstone), Some(tombstone.since));
            return Ok(Withdrawn::Going);
        };
        if !held.share.stamp.is_of_same_share(&tombstone.stamp) {
            return Err(taken(key));
        }
        if held.deleting {
            let words = format!("{} is still on its way out", key.object);
            return Err(MemberError::new(Class::Throttled, words));
        }
        if held.tombstone.is_some() {
            return Ok(Withdrawn::Going);
        }
        held.tombstone = Some(tombstone.since);
        if held.end.is_none() {
            held.share.suspended = true;
            held.let_replicas_go(self.clinging);
        }
        self.record("bury", &tombstone.stamp);
        self.tell(key);
        Ok(Withdrawn::Going)
    }

    pub(super) fn record(&mut self, verb: &str, stamp: &share::Stamp) {
        self.effects
            .push(format!("{verb} {}/{}", stamp.name, stamp.share));
    }

    /// Removes a share, whoever wants it.
    pub(super) fn remove(&mut self, key: &ShareKey) {
        if self.held.remove(key).is_some() {
            self.configs.collect(key);
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

    /// Lets go of the replicas of shares that are held back.
    pub(super) fn let_replicas_go(&mut self) {
        for key in self.keys().cloned().collect::<Vec<_>>() {
            if let Some(held) = self.held.get_mut(&key).filter(|held| held.share.suspended) {
                held.let_replicas_go(false);
                self.tell(&key);
            }
        }
    }

    /// Replicas that had not started when they were last seen are gone, and nobody saw how.
    pub(super) fn vanish(&mut self, key: &ShareKey) {
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        held.started = held.started.or(Started::Unknown);
        held.let_replicas_go(false);
        self.tell(key);
    }

    /// Puts pending replicas onto the node with most room, as long as there is one.
    pub(super) fn place(&mut self, key: &ShareKey) {
        let Some(held) = self
            .held
            .get(key)
            .filter(|held| !held.share.suspended && held.confirm.is_none())
        else {
            return;
        };
        let asked = held.share.requests.clone();
        let mut nodes: Vec<Node> = self.nodes.iter().map(|node| self.node(node)).collect();
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        for replica in held
            .replicas
            .iter_mut()
            .filter(|replica| **replica == Replica::Pending)
        {
            let roomy = nodes.iter_mut().filter(|node| {
                let open = node.ready && !node.unschedulable && node.free_pods > 0;
                open && asked.times_in(&node.free) > 0
            });
            let Some(node) = roomy.max_by_key(|node| node.free.cpu) else {
                break;
            };
            node.free.subtract(&asked);
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
                held.started = Started::Yes;
            }
        }
        self.tell(key);
    }

    /// Ends all replicas with success.
    pub(super) fn succeed(&mut self, key: &ShareKey) {
        let Some(held) = self.held.get_mut(key).filter(|held| held.tombstone.is_none()) else {
            return;
        };
        held.replicas.fill(Replica::Succeeded);
        held.started = Started::Yes;
        held.end = Some(End::Complete);
        self.tell(key);
    }

    /// Ends the replica of this index with success.
    pub(super) fn succeed_one(&mut self, key: &ShareKey, index: usize) {
        let Some(held) = self.held.get_mut(key) else {
            return;
        };
        let Some(replica) = held.replicas.get_mut(index) else {
            return;
        };
        *replica = Replica::Succeeded;
        held.started = Started::Yes;
        if held.tombstone.is_none() && held.replicas.iter().all(|replica| *replica == Replica::Succeeded) {
            held.end = Some(End::Complete);
        }
        self.tell(key);
    }

    /// Ends one replica without success: the share has failed, the others are stopped.
    pub(super) fn fail(&mut self, key: &ShareKey, trouble: Trouble) {
        let Some(held) = self.held.get_mut(key).filter(|held| held.tombstone.is_none()) else {
            return;
        };
        held.replicas
            .iter_mut()
            .filter(|replica| **replica != Replica::Succeeded)
            .for_each(|replica| *replica = Replica::Failed);
        held.started = Started::Yes;
        held.end = Some(End::Failed(trouble));
        self.tell(key);
    }
}

pub(super) fn taken(key: &ShareKey) -> MemberError {
    let words = format!("something that is not of this share has the name {}", key.object);
    MemberError::new(Class::Conflict, words)
}

/// A template without containers is refused, in the words of a Kubernetes member.
pub(super) fn vet(share: &Share) -> Result<(), MemberError> {
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
