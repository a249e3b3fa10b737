//! Wires the operator and runs it until a signal: the only place, besides the fleet, that spawns.
//!
//! Nothing is decided or dispatched before the host's objects are all known: with cold caches, what is there would look
//! like what is gone.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use futures::future;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use sky_core::plugin::Enabled;
use sky_core::plugins;
use sky_crds::SkyCluster;
use sky_member::gate::Gate;
use sky_member::kubernetes::Kubernetes;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::{Called, Calls};
use crate::configuration::{Configured, LiveDefaults};
use crate::ending::Ending;
use crate::fleet::Fleet;
use crate::follow::Follow;
use crate::health::{self, Pulse, Readiness};
use crate::host::Caller;
use crate::leader::{Candidate, Terms};
use crate::metrics::scrape::Scrape;
use crate::rules::Rules;
use crate::scheduler::{self, Board, Sources};
use crate::settings::Settings;
use crate::stirs::Stirs;
use crate::stores::{Concerned, Stores};
use crate::workloads::Workloads;
use crate::{
    cluster, configuration, controllers, deployment, host, job, leftovers, metrics, namespace, origin,
    policy, startup, stirs,
};

/// Between two looks of an operator that stands by: for the host's identity, and for clusters that are gone.
const STANDING_BY: Duration = Duration::from_secs(2);

/// Runs until SIGTERM, Ctrl-C or a failure to start.
///
/// # Errors
/// When the configuration is refused, the host cannot be reached or lacks the CRDs, or the health address cannot be
/// bound.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    run_with(settings, Vec::new()).await
}

/// Runs with plugins beside those of ours: they are asked after them, unless the configuration orders otherwise.
///
/// # Errors
/// As `run`.
pub async fn run_with(settings: Settings, extra: Vec<Enabled>) -> anyhow::Result<()> {
    let known = plugins::builtin().into_iter().chain(extra).collect();
    let (follower, configured) = configuration::Follower::start(settings.config.clone(), known)
        .await
        .map_err(|error| anyhow::anyhow!("failed to {error}"))?;
    tracing::info!(plugins = ?configured.current.borrow().plugins, "configured");
    let (gate, terms) = gate(&settings)?;
    let identity = host::identity(&settings);
    let (caller, lease) = host::connect(&settings, &identity, &gate)
        .await
        .context("failed to connect to the host")?;
    metrics::install().context("failed to make the metrics")?;
    let questions = lease.clone();
    let election =
        terms.map(|terms| Candidate::new(lease, &settings.namespace, identity, terms, gate.clone()));
    let verdict = election.as_ref().map(Candidate::verdict).unwrap_or_default();
    let (stop, ready) = (CancellationToken::new(), Readiness::default());
    let ending = Ending {
        stop: stop.clone(),
        gate: gate.clone(),
        tasks: TaskTracker::new(),
        election: TaskTracker::new(),
        verdict: verdict.clone(),
        at_rest: CancellationToken::new(),
    };
    let (parts, called, stirs) = Parts::new(caller, settings.clone(), configured, stop.clone());
    let (pulse, scrape) = (Pulse::new(), parts.scrape());
    spawn(&ending.tasks, &stop, pulse.clone().beat(stop.clone()));
    let health = health::serve(settings.health_addr, ready.clone(), pulse, scrape, stop.clone());
    spawn(&ending.tasks, &stop, follower.run(stop.clone()));
    let working = async {
        startup::check(&questions, &settings).await?;
        parts.start(&ending, election, called, stirs, ready).await
    };
    let outcome = tokio::select! {
        biased;
        () = gate.ran_out() => Err(verdict.lost().into()),
        () = stop.cancelled() => Err(anyhow::anyhow!("a part of the operator ended; see the log above")),
        served = health => served.with_context(|| format!("failed to serve health on {}", settings.health_addr)),
        started = async { working.await?; future::pending().await } => started,
        signal = terminated() => signal.context("failed to listen for signals"),
    };
    ending.end().await?;
    outcome
}

/// The gate of all writes: open at once for an operator that runs alone, else when it leads by these terms.
fn gate(settings: &Settings) -> anyhow::Result<(Gate, Option<Terms>)> {
    if !settings.leader_elect {
        return Ok((Gate::always_open(), None));
    }
    let terms = Terms::new(
        settings.lease_duration_seconds,
        settings.renew_deadline_seconds,
        settings.retry_period_seconds,
    );
    let terms = terms.map_err(|error| anyhow::anyhow!("failed to {error}"))?;
    Ok((Gate::shut(), Some(terms)))
}

/// Runs `candidate` until it lost or everything is at rest. That it lost shuts the gate, which ends the operator, and is
/// told there.
async fn elect(candidate: Candidate, stop: CancellationToken, at_rest: CancellationToken) {
    let _ = candidate.run(stop, at_rest).await;
}

async fn terminated() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

/// Everything that is running.
struct Parts {
    caller: Caller,
    settings: Settings,
    configured: Configured,
    stop: CancellationToken,
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    calls: Calls,
    /// The host as one more place where namespaces are.
    host: Arc<Fleet>,
    /// What rounds read, from when there are any.
    sources: Arc<OnceLock<Arc<Sources>>>,
}

impl Parts {
    fn new(
        caller: Caller,
        settings: Settings,
        configured: Configured,
        stop: CancellationToken,
    ) -> (Self, Called, Stirs) {
        let (stir, stirs) = unbounded_channel();
        let fleet = Fleet::new(stir, stop.clone());
        let (stir, host_stirs) = unbounded_channel();
        let host = Fleet::new(stir, stop.clone());
        let (calls, called) = Calls::new();
        let parts = Self {
            caller,
            settings,
            configured,
            stop,
            fleet,
            board: Arc::new(Board::default()),
            calls,
            host,
            sources: Arc::default(),
        };
        let stirs = Stirs {
            members: stirs,
            host: host_stirs,
        };
        (parts, called, stirs)
    }

    /// What is read for the metrics.
    fn scrape(&self) -> Scrape {
        Scrape {
            board: self.board.clone(),
            fleet: self.fleet.clone(),
            gate: self.caller.gate.clone(),
            sources: self.sources.clone(),
        }
    }

    /// Starts everything. The host's objects are known before anything acts on them, and members are listened to before
    /// this operator leads, so that it knows what they hold when it does.
    async fn start(
        &self,
        ending: &Ending,
        election: Option<Candidate>,
        called: Called,
        mut stirs: Stirs,
        ready: Readiness,
    ) -> anyhow::Result<()> {
        let tasks = &ending.tasks;
        let concerned = Concerned {
            board: self.board.clone(),
            fleet: self.fleet.clone(),
            calls: self.calls.clone(),
        };
        let (stores, watches) = Stores::open(&self.caller.client, &concerned, &self.stop);
        for watch in watches {
            spawn(tasks, &self.stop, watch);
        }
        stores.filled().await?;
        for cluster in stores.clusters.state() {
            self.fleet.register(&cluster.name_any());
        }
        ready.set();
        tracing::info!("the host's objects are known");
        let mut leading = watch::channel(true).1;
        if let Some(candidate) = election {
            leading = candidate.leading();
            let (stop, at_rest) = (ending.stop.clone(), ending.at_rest.clone());
            ending.election.spawn(elect(candidate, stop, at_rest));
        }
        let origin = self.origin(&leading).await?;
        tracing::info!(%origin, namespace = %self.settings.namespace, "starting");
        let clusters = self.start_listening(tasks, &stores, &origin);
        self.stand_by(&stores, &mut stirs, leading).await;
        if self.settings.leader_elect {
            stores.caught_up(&self.caller.client).await?;
        }
        stores.go_live();
        for cluster in stores.clusters.state() {
            // The receiver only goes when the operator ends.
            let _ = clusters.send(ObjectRef::from_obj(&*cluster));
        }
        self.start_acting(tasks, stores, called, stirs, clusters, &origin);
        Ok(())
    }

    /// The identity of the host: made by who leads, found by who stands by.
    async fn origin(&self, leading: &watch::Receiver<bool>) -> anyhow::Result<String> {
        let (client, namespace) = (&self.caller.client, &self.settings.namespace);
        loop {
            let found = if *leading.borrow() {
                origin::ensure(client, namespace).await.map(Some)
            } else {
                origin::find(client, namespace).await
            };
            if let Some(origin) = found.map_err(|error| anyhow::anyhow!("failed to {error}"))? {
                return Ok(origin);
            }
            let mut leading = leading.clone();
            let _ = tokio::time::timeout(STANDING_BY, leading.wait_for(|leading| *leading)).await;
        }
    }

    /// Listens to the host's namespaces and to members. Answers how to have a SkyCluster looked at.
    fn start_listening(
        &self,
        tasks: &TaskTracker,
        stores: &Stores,
        origin: &str,
    ) -> UnboundedSender<ObjectRef<DeserializeGuard<SkyCluster>>> {
        let (client, stop) = (&self.caller.client, &self.stop);
        self.host.seat(Arc::new(Kubernetes::host(origin, client.clone())));
        let (calls, called) = unbounded_channel();
        let namespace = &self.settings.namespace;
        let context = cluster::Context::new(
            self.caller.clone(),
            namespace.clone(),
            origin.to_owned(),
            self.fleet.clone(),
            self.board.clone(),
            stores.jobs.clone(),
            stores.deployments.clone(),
        );
        let clusters = controllers::clusters(client, namespace, called, context, stop.clone());
        spawn(tasks, stop, clusters);
        tasks.spawn(listeners_end(self.fleet.clone(), stop.clone()));
        calls
    }

    /// Waits until this operator leads, and keeps what it knows of members in order meanwhile.
    async fn stand_by(&self, stores: &Stores, stirs: &mut Stirs, mut leading: watch::Receiver<bool>) {
        let drained = stirs.drain();
        let tended = async {
            loop {
                let is_there = |name: &str| stores.clusters.get(&ObjectRef::new(name)).is_some();
                self.fleet.keep_only(is_there);
                tokio::time::sleep(STANDING_BY).await;
            }
        };
        let leads = async {
            if leading.wait_for(|leading| *leading).await.is_err() {
                // It lost before it could begin, which ends the operator elsewhere.
                future::pending::<()>().await;
            }
        };
        tokio::select! { biased; () = leads => {}, () = drained => {}, () = tended => {} }
    }

    /// Starts what acts: scheduler, reconcilers, and what passes on between them.
    fn start_acting(
        &self,
        tasks: &TaskTracker,
        stores: Stores,
        called: Called,
        stirs: Stirs,
        cluster_calls: UnboundedSender<ObjectRef<DeserializeGuard<SkyCluster>>>,
        origin: &str,
    ) {
        let looks = self.start_namespaces(tasks, &stores, origin);
        let (client, stop, fleet) = (&self.caller.client, &self.stop, &self.fleet);
        let Stores {
            clusters,
            jobs,
            deployments,
            rules,
            ..
        } = stores;
        let defaults = LiveDefaults::new(self.configured.clone(), self.settings.default_image.clone());
        let followed = reconfigure(self.configured.clone(), self.board.clone(), stop.clone());
        spawn(tasks, stop, followed);
        let sources = Arc::new(Sources::new(
            jobs.clone(),
            deployments.clone(),
            rules.clone(),
            fleet.clone(),
            defaults.clone(),
        ));
        let sources = self.sources.get_or_init(|| sources).clone();
        let calls = self.calls.clone();
        let listened = stirs::forward(
            stirs.members,
            calls.clone(),
            cluster_calls,
            looks.clone(),
            self.board.clone(),
            stop.clone(),
        );
        spawn(tasks, stop, listened);
        spawn(tasks, stop, stirs::forward_host(stirs.host, looks, stop.clone()));
        spawn(
            tasks,
            stop,
            scheduler::run(self.board.clone(), sources, calls, stop.clone()),
        );
        spawn(
            tasks,
            stop,
            leftovers::run(
                fleet.clone(),
                jobs.clone(),
                deployments.clone(),
                defaults.clone(),
                stop.clone(),
            ),
        );
        self.start_workloads(tasks, called, &rules, &defaults, origin);
        let context = policy::Context {
            client: client.clone(),
            clusters,
            workloads: Workloads { jobs, deployments },
        };
        spawn(tasks, stop, controllers::policies(client, context, stop.clone()));
    }

    /// Starts the reconcilers of both kinds of workload.
    fn start_workloads(
        &self,
        tasks: &TaskTracker,
        called: Called,
        rules: &Arc<Rules>,
        defaults: &LiveDefaults,
        origin: &str,
    ) {
        let (client, stop) = (&self.caller.client, &self.stop);
        let follow = Arc::new(Follow::new(
            client.clone(),
            self.settings.namespace.clone(),
            origin.to_owned(),
            self.fleet.clone(),
        ));
        let context = deployment::Context::new(
            client.clone(),
            self.fleet.clone(),
            self.board.clone(),
            rules.clone(),
            follow.clone(),
            origin.to_owned(),
            defaults.clone(),
        );
        spawn(
            tasks,
            stop,
            controllers::deployments(client, called.deployments, context, stop.clone()),
        );
        let context = job::Context::new(
            client.clone(),
            self.fleet.clone(),
            self.board.clone(),
            rules.clone(),
            follow,
            origin.to_owned(),
            defaults.clone(),
        );
        spawn(
            tasks,
            stop,
            controllers::jobs(client, called.jobs, context, stop.clone()),
        );
    }

    /// Starts what sees to namespaces; answers how it is called.
    fn start_namespaces(&self, tasks: &TaskTracker, stores: &Stores, origin: &str) -> namespace::Calls {
        let (client, stop) = (&self.caller.client, &self.stop);
        let (calls, called) = unbounded_channel();
        let looks = namespace::Calls::new(stores.namespaces.clone(), calls);
        let workloads = Workloads {
            jobs: stores.jobs.clone(),
            deployments: stores.deployments.clone(),
        };
        let idle = namespace::idle::Idle {
            fleets: [self.fleet.clone(), self.host.clone()],
            origin: origin.to_owned(),
            namespaces: stores.namespaces.clone(),
            workloads: workloads.clone(),
            grace: self.settings.namespace_grace_seconds,
        };
        spawn(tasks, stop, idle.run(stop.clone()));
        let context = namespace::Context::new(
            client.clone(),
            origin.to_owned(),
            self.fleet.clone(),
            self.host.clone(),
            stores.rules.clone(),
            workloads,
            self.settings.namespace_grace_seconds,
        );
        spawn(
            tasks,
            stop,
            controllers::namespaces(client, called, context, stop.clone()),
        );
        looks
    }
}

/// Has the scheduler go by the configuration, whenever it changes.
async fn reconfigure(mut configured: Configured, board: Arc<Board>, stop: CancellationToken) {
    loop {
        let plugins = configured.current.borrow_and_update().plugins.clone();
        board.configure(plugins);
        tokio::select! {
            changed = configured.current.changed() => if changed.is_err() { stop.cancelled().await },
            () = stop.cancelled() => return,
        }
    }
}

async fn listeners_end(fleet: Arc<Fleet>, stop: CancellationToken) {
    stop.cancelled().await;
    fleet.ended().await;
}

/// Runs `work`. It ends by itself only by a fault, a panic among them: then everything stops, and the process with it,
/// rather than going on without a part.
fn spawn(tasks: &TaskTracker, stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let guard = stop.clone().drop_guard();
    let stop = stop.clone();
    tasks.spawn(async move {
        work.await;
        if !stop.is_cancelled() {
            tracing::error!("a part of the operator ended; stopping");
        }
        drop(guard);
    });
}
