//! A member in memory, for tests: a test gives it nodes, drives what becomes of shares, and makes calls fail.
//!
//! It passes the same conformance suite as real members, so that what is shown with it holds for them.

mod configs;
mod deployments;
mod held;
mod namespaces;
mod state;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sky_core::Seconds;
use sky_core::cluster::Node;
use sky_core::config::{ConfigName, Content};
use sky_core::labels::Labels;
use sky_core::namespace::SeenNamespace;
use sky_core::observation::{MemberEvent, Observation, Started, Trouble};
use sky_core::resources::Resources;
use sky_core::share::{Patch, ShareKey};
use sky_core::workload::Kind;

use crate::{
    CALL_DEADLINE, Class, Desired, Ensured, LogQuery, Member, MemberError, Probe, Withdraw, Withdrawn,
};
use state::State;

/// Calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// `probe`.
    Probe,
    /// `ensure`, of anything but ConfigMaps and Secrets.
    Ensure,
    /// `ensure` of a ConfigMap or Secret.
    Config,
    /// `withdraw`.
    Withdraw,
    /// `logs`.
    Logs,
}

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// An error, and no effect.
    Refused(Class),
    /// The effect happens, the answer is lost.
    LostReply,
    /// The effect happens, and no answer comes within the deadline.
    Mute,
    /// The effect and the answer come after this long.
    Slow(Duration),
    /// No effect, and no answer within the deadline.
    Hang,
}

#[derive(Default)]
struct Faults {
    next: BTreeMap<Call, VecDeque<Fault>>,
    hanging: bool,
    calls: Vec<Call>,
}

/// A member in memory. A clone is the same member.
#[derive(Clone)]
pub struct Fake {
    name: String,
    origin: String,
    state: Arc<Mutex<State>>,
    faults: Arc<Mutex<Faults>>,
}

impl fmt::Debug for Fake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Fake")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A ready node of this many millicores, with memory and room for pods to spare.
#[must_use]
pub fn node(name: &str, cpu: i64) -> Node {
    let room = Resources::new(cpu, 64 << 30);
    Node {
        name: name.into(),
        ready: true,
        capacity: room.clone(),
        allocatable: room.clone(),
        free: room,
        pods: 110,
        free_pods: 110,
        ..Node::default()
    }
}

impl Fake {
    /// An empty member of this name, with these nodes, for the host with this origin.
    #[must_use]
    pub fn new(name: &str, origin: &str, nodes: Vec<Node>) -> Self {
        let mut state = State::default();
        state.nodes = nodes;
        state.origin = origin.to_owned();
        // As on every cluster, and nobody's of ours.
        state.namespaces.edit("default", |_, _| {});
        Self {
            name: name.to_owned(),
            origin: origin.to_owned(),
            state: Arc::new(Mutex::new(state)),
            faults: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next call of this kind goes wrong so; several are taken in order.
    pub fn fault(&self, call: Call, fault: Fault) {
        self.faults().next.entry(call).or_default().push_back(fault);
    }

    /// Whether every call hangs from now on. Events go on.
    pub fn hang(&self, hanging: bool) {
        self.faults().hanging = hanging;
    }

    /// Stops answering calls and sending events, and says so with Lost.
    pub fn fall_silent(&self) {
        let trouble = Trouble {
            reason: Class::Unreachable.as_str().into(),
            message: "connection refused".into(),
        };
        self.state().fall_silent(Some(trouble));
    }

    /// Answers again: a Reset with everything there is.
    pub fn speak(&self) {
        self.state().fall_silent(None);
    }

    /// Whether its events lag behind, while its calls are answered. What was held back is told in the end.
    pub fn whisper(&self, whispering: bool) {
        self.state().whisper(whispering);
    }

    /// Whether withdrawn shares stay, on their way out, until `let_go`.
    pub fn linger(&self, lingering: bool) {
        self.state().lingering = lingering;
    }

    /// Removes what is on its way out.
    pub fn let_go(&self) {
        self.state().let_go();
    }

    /// Whether replicas of shares that are held back, or made tombstones, stay on their nodes until
    /// `let_replicas_go`: meanwhile they can be started.
    pub fn cling(&self, clinging: bool) {
        self.state().clinging = clinging;
    }

    /// Holds new objects back until their instance is named, which may be from this second on, as managers do that may
    /// forget an object just after they have accepted it; or does not any more.
    pub fn confirm(&self, from: Option<sky_core::Seconds>) {
        self.state().confirm = from;
    }

    /// Lets go of the replicas of shares that are held back.
    pub fn let_replicas_go(&self) {
        self.state().let_replicas_go();
    }

    /// The workload's replicas are gone, and how they were last was not seen.
    pub fn vanish(&self, workload: &str) {
        self.each(workload, State::vanish);
    }

    /// Adds a node.
    pub fn add_node(&self, node: Node) {
        self.state().add_node(node);
    }

    /// Somebody here sets another number of replicas on the workload's shares.
    pub fn meddle(&self, workload: &str, replicas: i64) {
        self.state().meddle(workload, replicas);
    }

    /// Puts something foreign under `key`.
    pub fn plant(&self, key: ShareKey) {
        self.state().foreign.insert(key);
    }

    /// Whether something foreign is under `key`.
    #[must_use]
    pub fn has_foreign(&self, key: &ShareKey) -> bool {
        self.state().foreign.contains(key)
    }

    /// Whether the namespace is there.
    #[must_use]
    pub fn has_namespace(&self, name: &str) -> bool {
        self.state().namespaces.has(name)
    }

    /// The namespace of this name, whoever's it is.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<SeenNamespace> {
        self.state().namespaces.get(name).cloned()
    }

    /// Changes labels and contents of a namespace, as somebody else would; makes it when it is not there.
    pub fn edit_namespace(&self, name: &str, change: impl FnOnce(&mut Labels, &mut BTreeSet<String>)) {
        let mut state = self.state();
        state.namespaces.edit(name, change);
        state.tell_namespace(name);
    }

    /// Marks a namespace as idle since then, as another operator of this host would.
    pub fn mark_namespace_idle(&self, name: &str, since: Seconds) {
        let mut state = self.state();
        state.namespaces.mark_idle(name, since);
        state.tell_namespace(name);
    }

    /// Removes a namespace, as somebody else would; shares in it stay.
    pub fn remove_namespace(&self, name: &str) {
        let mut state = self.state();
        state.namespaces.remove(name);
        state.tell_namespace(name);
    }

    /// Whether namespaces that are to go stay, on their way out, until they are removed.
    pub fn linger_namespaces(&self, lingering: bool) {
        self.state().namespaces.lingering = lingering;
    }

    /// Somebody else puts a ConfigMap or Secret there, over what is there.
    pub fn plant_config(&self, namespace: &str, name: &ConfigName, content: Content) {
        self.state().configs.plant(namespace, name, content);
    }

    /// Somebody else removes a ConfigMap or Secret.
    pub fn remove_config(&self, namespace: &str, name: &ConfigName) {
        self.state().configs.remove(namespace, name);
    }

    /// What a ConfigMap or Secret holds, whoever's it is.
    #[must_use]
    pub fn config(&self, namespace: &str, name: &ConfigName) -> Option<Arc<Content>> {
        self.state().configs.get(namespace, name)
    }

    /// Keys of all shares here.
    #[must_use]
    pub fn keys(&self) -> Vec<ShareKey> {
        self.state().keys().cloned().collect()
    }

    /// What it would say about the shares of the workload of this name.
    #[must_use]
    pub fn shares_of(&self, workload: &str) -> Vec<Observation> {
        let state = self.state();
        let keys = state.keys_of(workload);
        keys.iter().filter_map(|key| state.observation(key)).collect()
    }

    /// The patches that the shares of the workload of this name were created with.
    #[must_use]
    pub fn patches(&self, workload: &str) -> Vec<Patch> {
        let state = self.state();
        let keys = state.keys_of(workload);
        keys.iter().flat_map(|key| state.patches(key)).collect()
    }

    /// What calls have changed here so far, in order: `create job/1-0`.
    #[must_use]
    pub fn effects(&self) -> Vec<String> {
        self.state().effects.clone()
    }

    /// Calls so far, whatever became of them.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.faults().calls.clone()
    }

    fn each(&self, workload: &str, act: impl Fn(&mut State, &ShareKey)) {
        let mut state = self.state();
        for key in state.keys_of(workload) {
            act(&mut state, &key);
        }
    }

    /// Puts the workload's pending replicas onto nodes, as far as there is room.
    pub fn place(&self, workload: &str) {
        self.each(workload, State::place);
    }

    /// Starts the workload's replicas that are on nodes.
    pub fn start(&self, workload: &str) {
        self.each(workload, State::start);
    }

    /// Ends the replica of this index with success, in each of the workload's shares.
    pub fn succeed_one(&self, workload: &str, index: usize) {
        self.each(workload, |state, key| state.succeed_one(key, index));
    }

    /// Ends the workload's replicas with success.
    pub fn succeed(&self, workload: &str) {
        self.each(workload, State::succeed);
    }

    /// Fails one replica of the workload for good, and with it its share.
    pub fn fail(&self, workload: &str, reason: &str) {
        let trouble = Trouble {
            reason: reason.into(),
            message: "exit code 1".into(),
        };
        self.each(workload, |state, key| state.fail(key, trouble.clone()));
    }

    /// Deletes the workload's shares, as somebody else would.
    pub fn delete(&self, workload: &str) {
        self.each(workload, State::remove);
    }

    /// Deletes the share under `key`, as somebody else would.
    pub fn delete_key(&self, key: &ShareKey) {
        self.state().remove(key);
    }

    /// Runs `act` with the faults that are due around it.
    async fn call<T>(
        &self,
        call: Call,
        act: impl FnOnce(&mut State) -> Result<T, MemberError> + Send,
    ) -> Result<T, MemberError> {
        let no_answer = || {
            let words = format!("no answer within {} s", CALL_DEADLINE.as_secs());
            MemberError::new(Class::Unreachable, words)
        };
        let fault = {
            let mut faults = self.faults();
            faults.calls.push(call);
            let hang = faults.hanging.then_some(Fault::Hang);
            hang.or_else(|| faults.next.get_mut(&call)?.pop_front())
        };
        let silent = self.state().silent.clone();
        if let Some(trouble) = silent {
            return Err(MemberError::new(Class::Unreachable, trouble.message));
        }
        match fault {
            None => act(&mut self.state()),
            Some(Fault::Refused(class)) => {
                Err(MemberError::new(class, format!("told to be {}", class.as_str())))
            }
            Some(Fault::LostReply) => {
                let _ = act(&mut self.state());
                Err(MemberError::new(Class::Unreachable, "connection reset"))
            }
            Some(Fault::Mute) => {
                let _ = act(&mut self.state());
                tokio::time::sleep(CALL_DEADLINE).await;
                Err(no_answer())
            }
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time.min(CALL_DEADLINE)).await;
                if time > CALL_DEADLINE {
                    return Err(no_answer());
                }
                act(&mut self.state())
            }
            Some(Fault::Hang) => {
                tokio::time::sleep(CALL_DEADLINE).await;
                Err(no_answer())
            }
        }
    }
}

#[async_trait]
impl Member for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    async fn probe(&self) -> Result<Probe, MemberError> {
        let version = "fake".to_owned();
        self.call(Call::Probe, |_| {
            Ok(Probe {
                version,
                identity: None,
                about: None,
                unusable: None,
            })
        })
        .await
    }

    async fn ensure(&self, desired: Desired) -> Result<Ensured, MemberError> {
        let call = match &desired {
            Desired::Config(_) => Call::Config,
            _ => Call::Ensure,
        };
        self.call(call, |state| match desired {
            Desired::Share(share) => match share.key.kind {
                Kind::SkyJob => state.ensure(*share),
                Kind::SkyDeployment => state.deploy(*share),
            },
            Desired::Replicas(scale) => state.scale(&scale),
            Desired::Namespace(namespace) => state.ensure_namespace(&namespace),
            Desired::Config(config) => state.ensure_config(&config),
        })
        .await
    }

    async fn withdraw(&self, key: &ShareKey, how: Withdraw) -> Result<Withdrawn, MemberError> {
        self.call(Call::Withdraw, |state| state.withdraw(&self.origin, key, how))
            .await
    }

    fn events(&self) -> BoxStream<'static, MemberEvent> {
        let (sender, receiver) = futures::channel::mpsc::unbounded();
        self.state().listen(sender);
        receiver.boxed()
    }

    async fn logs(
        &self,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError> {
        let started = |state: &mut State| {
            let seen = state.observation(&query.key);
            if seen.is_some_and(|seen| seen.started == Started::Yes && query.index < seen.replicas) {
                let line = format!("output of replica {}\n", query.index);
                Ok(Bytes::from(line))
            } else {
                Err(MemberError::new(Class::Rejected, "the replica has not started"))
            }
        };
        let line = self.call(Call::Logs, started).await?;
        Ok(stream::iter([Ok(line)]).boxed())
    }
}

#[cfg(test)]
mod tests;
