//! The stage of scenario tests: a host in memory, fake members, and the operator's own controller, scheduler and fleet
//! between them, on virtual time.
//!
//! A killed operator is started anew on the same host and members, with nothing in its memory.

pub(crate) mod host;
mod namespaces;
mod shown;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sky_core::workload::{Kind, WorkloadRef};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};
use sky_member::fake::{Fake, node};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::configuration::{Configured, LiveDefaults};
use crate::fleet::{Fleet, Stir};
use crate::follow::Follow;
use crate::namespace;
use crate::rules::Rules;
use crate::scheduler::{self, Board, Sources};
use crate::workloads::Workloads;
use crate::{deployment, job};
use host::Host;
use namespaces::{Known, SeenTo};
pub(crate) use shown::cache_of;
use shown::{Guarded, Shown};

pub(crate) const ORIGIN: &str = "origin";

/// Between two looks of the watches at the host.
const TICK: Duration = Duration::from_millis(10);

/// The same, when nothing is expected to happen.
const SLOW_TICK: Duration = Duration::from_millis(500);

/// A cache of the host that a test may hold back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cache {
    /// What the reconciler reads.
    Reconciler,
    /// What the scheduler reads.
    Scheduler,
}

/// One life of the operator.
struct Operator {
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    rules: Arc<Rules>,
    calls: Calls,
    reconciled: Shown<SkyJob>,
    scheduled: Shown<SkyJob>,
    reconciled_deployments: Shown<SkyDeployment>,
    scheduled_deployments: Shown<SkyDeployment>,
    deployment_trigger: UnboundedSender<Result<Guarded<SkyDeployment>, watcher::Error>>,
    clusters: Shown<SkyCluster>,
    policies: Shown<FilterPolicy>,
    namespaces: Shown<SkyNamespace>,
    seen_to: SeenTo,
    trigger: UnboundedSender<Result<Guarded<SkyJob>, watcher::Error>>,
    parts: Vec<JoinHandle<()>>,
    /// The host's version at the last look, and what was held back.
    looked: Option<(u64, Vec<Cache>)>,
}

impl Operator {
    /// Has the caches that are not held back show the host as it is, and tells who reads them.
    fn look(&mut self, host: &Host, held_back: &[Cache]) {
        let jobs = host.all("SkyJob");
        let deployments = host.all("SkyDeployment");
        if !held_back.contains(&Cache::Scheduler) {
            self.scheduled.take_in(jobs.clone());
            self.scheduled_deployments.take_in(deployments.clone());
        }
        let clusters = self.clusters.take_in(host.all("SkyCluster"));
        let policies = self.policies.take_in(host.all("FilterPolicy"));
        let namespaces = self.namespaces.take_in(host.all("SkyNamespace"));
        if !clusters.is_empty() {
            self.fleet.stir_namespaces();
        }
        if !clusters.is_empty() || !policies.is_empty() || !namespaces.is_empty() {
            self.rules.changed();
            let all = jobs.iter().map(|job| (Kind::SkyJob, job));
            let all = all.chain(deployments.iter().map(|one| (Kind::SkyDeployment, one)));
            for (kind, object) in all {
                let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
                self.calls.call(&WorkloadRef {
                    kind,
                    namespace: text("namespace"),
                    name: text("name"),
                });
            }
        }
        self.seen_to.look(host);
        if !held_back.contains(&Cache::Reconciler) {
            for job in self.reconciled.take_in(jobs) {
                self.trigger.unbounded_send(Ok(job)).expect("a controller");
            }
            for one in self.reconciled_deployments.take_in(deployments) {
                let sent = self.deployment_trigger.unbounded_send(Ok(one));
                sent.expect("a controller");
            }
        }
        self.board.wake();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.parts.iter().for_each(JoinHandle::abort);
    }
}

/// The stage.
pub(crate) struct Stage {
    pub(crate) host: Host,
    members: BTreeMap<String, Fake>,
    /// The host's own namespaces.
    namespaces: Fake,
    held_back: Vec<Cache>,
    operator: Option<Operator>,
}

impl Stage {
    /// Members of one node each, with this many millicores, and an operator that knows them.
    pub(crate) async fn new(members: &[(&str, i64)]) -> Self {
        let host = Host::default();
        let mut fakes = BTreeMap::new();
        for (name, cpu) in members {
            host.create(json!({
                "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster", "metadata": {"name": name, "uid": name},
                "spec": {"manager": "kubernetes", "kubernetes": {"kubeconfigSecretRef": {"name": name}}},
            }));
            let fake = Fake::new(name, ORIGIN, vec![node(&format!("{name}-0"), *cpu)]);
            fakes.insert((*name).to_owned(), fake);
        }
        let mut stage = Self {
            host,
            members: fakes,
            namespaces: Fake::new(namespace::HOST, ORIGIN, Vec::new()),
            held_back: Vec::new(),
            operator: None,
        };
        stage.start();
        stage.run(1).await;
        stage
    }

    /// The member of this name.
    pub(crate) fn member(&self, name: &str) -> &Fake {
        &self.members[name]
    }

    /// The namespaces of the host itself.
    pub(crate) fn host_namespaces(&self) -> &Fake {
        &self.namespaces
    }

    /// Applies a SkyNamespace.
    pub(crate) fn apply_namespace(&self, name: &str, spec: Value) {
        self.host.create(json!({
            "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyNamespace", "spec": spec,
            "metadata": {"name": name, "uid": format!("uid-of-namespace-{name}")},
            "status": {"observedGeneration": -1},
        }));
    }

    /// What the operator knows of its members.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.operator.as_ref().expect("an operator").fleet
    }

    /// Applies a SkyJob in namespace default, older ones first by the order of calls.
    pub(crate) fn apply(&self, name: &str, spec: Value) {
        self.apply_in("default", name, spec);
    }

    /// Applies a SkyJob in a namespace.
    pub(crate) fn apply_in(&self, namespace: &str, name: &str, spec: Value) {
        self.apply_as("SkyJob", namespace, name, spec);
    }

    /// Applies a SkyDeployment in namespace default, older ones first by the order of calls.
    pub(crate) fn deploy(&self, name: &str, spec: Value) {
        self.apply_as("SkyDeployment", "default", name, spec);
    }

    fn apply_as(&self, kind: &str, namespace: &str, name: &str, spec: Value) {
        let second = self.host.all("SkyJob").len() + self.host.all("SkyDeployment").len();
        self.host.create(json!({
            "apiVersion": "skymanager.io/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {
                "name": name, "namespace": namespace, "uid": format!("uid-{name}"),
                "creationTimestamp": format!("2026-01-01T00:{:02}:{:02}Z", second / 60, second % 60),
            },
            "status": {"observedGeneration": -1},
        }));
    }

    /// The workload of this name.
    fn find(&self, name: &str) -> Option<Value> {
        let kinds = ["SkyJob", "SkyDeployment"];
        kinds.into_iter().find_map(|kind| self.host.find(kind, name))
    }

    /// Changes the workload of this name, as its user or as the passing of time.
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let found = self.find(name).expect("the workload");
        let kind = found["kind"].as_str().expect("a kind");
        self.host.edit(kind, name, change);
    }

    /// Deletes the workload of this name: it is gone when its finalizers are.
    pub(crate) fn delete(&self, name: &str) {
        self.edit(name, |job| {
            job["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z")
        });
    }

    /// The workload's status; Null when the workload is gone.
    pub(crate) fn status(&self, name: &str) -> Value {
        self.find(name)
            .map_or(Value::Null, |object| object["status"].clone())
    }

    /// The workload's status in one line: phase, summary and true conditions other than Scheduled and Reconciling.
    pub(crate) fn line(&self, name: &str) -> String {
        let status = self.status(name);
        let mut line = status["phase"].as_str().unwrap_or("-").to_owned();
        if let Some(summary) = status["summary"].as_str() {
            line.push_str(&format!(" {summary}"));
        }
        for condition in status["conditions"].as_array().into_iter().flatten() {
            let kind = condition["type"].as_str().unwrap_or_default();
            if condition["status"] == "True" && !["Scheduled", "Reconciling"].contains(&kind) {
                line.push_str(&format!(
                    " {kind}={}",
                    condition["reason"].as_str().unwrap_or_default()
                ));
            }
        }
        line
    }

    /// The message of one of its conditions.
    pub(crate) fn message(&self, name: &str, kind: &str) -> String {
        let status = self.status(name);
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let found = conditions.filter(|condition| condition["type"] == kind);
        found
            .filter_map(|condition| condition["message"].as_str())
            .collect()
    }

    /// What was done on all members together, by member name.
    pub(crate) fn effects(&self) -> Vec<String> {
        let each = self.members.iter().flat_map(|(name, member)| {
            member
                .effects()
                .into_iter()
                .map(move |effect| format!("{name}: {effect}"))
        });
        each.collect()
    }

    /// Holds a cache of the host back, or lets it catch up.
    pub(crate) fn hold_back(&mut self, cache: Cache, hold: bool) {
        self.held_back.retain(|held| *held != cache);
        if hold {
            self.held_back.push(cache);
        }
    }

    /// Lets this many seconds pass. After the first few, the watches look only every half second.
    pub(crate) async fn run(&mut self, seconds: u64) {
        let started = tokio::time::Instant::now();
        let all = Duration::from_secs(seconds);
        while started.elapsed() < all {
            self.tick().await;
            if started.elapsed() > Duration::from_secs(5) {
                tokio::time::sleep(SLOW_TICK.min(all.saturating_sub(started.elapsed()))).await;
            }
        }
    }

    /// Lets time pass until `done`, at most a minute.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..6000 {
            if done(self) {
                return;
            }
            self.tick().await;
        }
        panic!(
            "{what}: not within a minute; {:?} {:?}",
            self.host.writes(),
            self.effects()
        );
    }

    async fn tick(&mut self) {
        let now = (self.host.version(), self.held_back.clone());
        if let Some(operator) = self
            .operator
            .as_mut()
            .filter(|operator| operator.looked != Some(now.clone()))
        {
            operator.looked = Some(now);
            operator.look(&self.host, &self.held_back);
        }
        tokio::time::sleep(TICK).await;
    }

    /// Ends the operator at once, in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.operator = None;
    }

    fn seat_members(&self, fleet: &Arc<Fleet>) {
        for (name, member) in &self.members {
            fleet.register(name);
            fleet.seat(Arc::new(member.clone()));
        }
    }

    /// What the reconcilers of both kinds of workload read and write.
    fn contexts(
        &self,
        fleet: &Arc<Fleet>,
        board: &Arc<Board>,
        rules: &Arc<Rules>,
        defaults: &LiveDefaults,
    ) -> (job::Context, deployment::Context) {
        let (client, origin) = (self.host.client(), ORIGIN.to_owned());
        let follow = Follow::new(client.clone(), "sky-system".into(), origin.clone(), fleet.clone());
        let follow = Arc::new(follow);
        let deployments = deployment::Context::new(
            client.clone(),
            fleet.clone(),
            board.clone(),
            rules.clone(),
            follow.clone(),
            origin.clone(),
            defaults.clone(),
        );
        let jobs = job::Context::new(
            client,
            fleet.clone(),
            board.clone(),
            rules.clone(),
            follow,
            origin,
            defaults.clone(),
        );
        (jobs, deployments)
    }

    /// Starts an operator that remembers nothing.
    pub(crate) fn start(&mut self) {
        let stop = CancellationToken::new();
        let (stirs, stirred) = mpsc::unbounded_channel();
        let fleet = Fleet::new(stirs, stop.clone());
        let board = Arc::new(Board::default());
        let (jobs, scheduled) = Shown::of(&self.host, "SkyJob");
        let (clusters, shown_clusters) = Shown::of(&self.host, "SkyCluster");
        let (policies, shown_policies) = Shown::of(&self.host, "FilterPolicy");
        let (deployments, scheduled_deployments) = Shown::of(&self.host, "SkyDeployment");
        let (reconciler_jobs, reconciled, (trigger, triggered)) = watched::<SkyJob>(&self.host, "SkyJob");
        let (reconciler_deployments, reconciled_deployments, (deployment_trigger, deployment_triggered)) =
            watched::<SkyDeployment>(&self.host, "SkyDeployment");
        self.seat_members(&fleet);
        let defaults = LiveDefaults::new(Configured::fixed(), "ubuntu:latest".into());
        let (namespaces, shown_namespaces) = Shown::of(&self.host, "SkyNamespace");
        let rules = Rules::new(clusters, policies, namespaces.clone());
        let known = Known {
            fleet: fleet.clone(),
            rules: rules.clone(),
            workloads: Workloads {
                jobs: jobs.clone(),
                deployments: deployments.clone(),
            },
            namespaces,
        };
        let (seen_to, looks_at, owned, mut parts) = SeenTo::start(&self.host, &self.namespaces, known, &stop);
        let sources = Sources::new(jobs, deployments, rules.clone(), fleet.clone(), defaults.clone());
        let sources = Arc::new(sources);
        let (calls, called) = Calls::new();
        let looks = calls.clone();
        let (context, deployment_context) = self.contexts(&fleet, &board, &rules, &defaults);
        parts.extend([
            tokio::spawn(forward(stirred, calls.clone(), looks_at.clone(), board.clone())),
            tokio::spawn(forward(owned, calls.clone(), looks_at, board.clone())),
            tokio::spawn(scheduler::run(board.clone(), sources, calls, stop)),
            tokio::spawn(control(triggered, reconciler_jobs, called.jobs, context)),
            tokio::spawn(control_deployments(
                deployment_triggered,
                reconciler_deployments,
                called.deployments,
                deployment_context,
            )),
        ]);
        self.operator = Some(Operator {
            fleet,
            board,
            rules,
            calls: looks,
            reconciled,
            scheduled,
            reconciled_deployments,
            scheduled_deployments,
            deployment_trigger,
            clusters: shown_clusters,
            policies: shown_policies,
            namespaces: shown_namespaces,
            seen_to,
            trigger,
            parts,
            looked: None,
        });
    }
}

/// What comes of a watch: an item of a stream that a controller reads.
type Watched<K> = Result<Guarded<K>, watcher::Error>;

/// Both ends of what triggers a controller.
type Trigger<K> = (UnboundedSender<Watched<K>>, UnboundedReceiver<Watched<K>>);

/// A reconciler's cache of this kind, and the trigger that has it look: all that is there is triggered at once.
fn watched<K>(host: &Host, kind: &str) -> (reflector::Store<Guarded<K>>, Shown<K>, Trigger<K>)
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    let (store, mut shown) = Shown::new();
    let (trigger, triggered) = unbounded();
    for object in shown.take_in(host.all(kind)) {
        assert!(trigger.unbounded_send(Ok(object)).is_ok(), "a controller");
    }
    (store, shown, (trigger, triggered))
}

/// Passes on what members say, as the operator's wiring does.
async fn forward(
    mut stirs: mpsc::UnboundedReceiver<Stir>,
    calls: Calls,
    namespaces: namespace::Calls,
    board: Arc<Board>,
) {
    while let Some(stir) = stirs.recv().await {
        match stir {
            Stir::Workload(workload) => calls.call(&workload),
            Stir::Cluster(_) => board.wake(),
            Stir::Namespace(name) => namespaces.look_at(&name),
            Stir::Namespaces => namespaces.look_at_all(),
        }
    }
}

async fn control(
    triggered: impl futures::Stream<Item = Result<Guarded<SkyJob>, watcher::Error>> + Send + 'static,
    jobs: reflector::Store<Guarded<SkyJob>>,
    mut called: mpsc::UnboundedReceiver<ObjectRef<SkyJob>>,
    context: job::Context,
) {
    let called = futures::stream::poll_fn(move |waker| called.poll_recv(waker));
    let called = called.map(|job| {
        ObjectRef::<Guarded<SkyJob>>::new(&job.name).within(job.namespace.as_deref().unwrap_or_default())
    });
    Controller::for_stream(triggered, jobs)
        .reconcile_on(called)
        .run(job::reconcile, job::retry, Arc::new(context))
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn control_deployments(
    triggered: impl futures::Stream<Item = Result<Guarded<SkyDeployment>, watcher::Error>> + Send + 'static,
    deployments: reflector::Store<Guarded<SkyDeployment>>,
    mut called: mpsc::UnboundedReceiver<ObjectRef<SkyDeployment>>,
    context: deployment::Context,
) {
    let called = futures::stream::poll_fn(move |waker| called.poll_recv(waker));
    let called = called.map(|one| {
        ObjectRef::<Guarded<SkyDeployment>>::new(&one.name)
            .within(one.namespace.as_deref().unwrap_or_default())
    });
    Controller::for_stream(triggered, deployments)
        .reconcile_on(called)
        .run(deployment::reconcile, deployment::retry, Arc::new(context))
        .for_each(|_| std::future::ready(()))
        .await;
}
