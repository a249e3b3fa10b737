//! Wires the operator and runs it until a signal: the only place, besides the fleet, that spawns.
//!
//! Nothing is decided or dispatched before the host's objects are all known: with cold caches, what is there would look
//! like what is gone.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, ResourceExt};
use sky_core::plugin::Enabled;
use sky_core::plugins;
use sky_crds::{SkyCluster, SkyJob, names};
use sky_member::kubernetes::Kubernetes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::calls::{Called, Calls};
use crate::configuration::{Configured, LiveDefaults};
use crate::fleet::{Fleet, Stir};
use crate::health::{self, Readiness};
use crate::rules::Rules;
use crate::scheduler::{self, Board, Sources};
use crate::settings::Settings;
use crate::stores::{Concerned, Stores};
use crate::workloads::Workloads;
use crate::{
    cluster, configuration, controllers, deployment, host, job, leftovers, namespace, origin, policy,
};

/// Changes of a member's nodes are gathered for this long before its SkyCluster is looked at.
const GATHER: Duration = Duration::from_millis(500);

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
    let client = host::client(&settings)
        .await
        .context("failed to connect to the host")?;
    check_crds(&client).await?;
    let origin = origin::ensure(&client, &settings.namespace)
        .await
        .map_err(|e| anyhow::anyhow!("failed to {e}"))?;
    tracing::info!(%origin, namespace = %settings.namespace, "starting");
    let stop = CancellationToken::new();
    let ready = Readiness::default();
    let health = health::serve(settings.health_addr, ready.clone(), stop.clone());
    let (parts, called, stirs) = Parts::new(client, settings.clone(), origin, configured, stop.clone());
    let tasks = TaskTracker::new();
    spawn(&tasks, &stop, follower.run(stop.clone()));
    let working = parts.start(&tasks, called, stirs, ready);
    let outcome = tokio::select! {
        biased;
        () = stop.cancelled() => Err(anyhow::anyhow!("a part of the operator ended; see the log above")),
        served = health => served.with_context(|| format!("failed to serve health on {}", settings.health_addr)),
        started = async { working.await?; future::pending().await } => started,
        signal = terminated() => signal.context("failed to listen for signals"),
    };
    tracing::info!("stopping");
    stop.cancel();
    tasks.close();
    // Reconciles under way end with their calls' deadlines.
    let _ = tokio::time::timeout(Duration::from_secs(20), tasks.wait()).await;
    outcome
}

async fn terminated() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}

/// A host without the CRDs is said at once, not after a minute of failing watches.
async fn check_crds(client: &Client) -> anyhow::Result<()> {
    let api: Api<SkyJob> = Api::all(client.clone());
    match api.list(&kube::api::ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => anyhow::bail!(
            "the host has no {} kinds: run `kubectl apply -f crds/manifests` against it first",
            names::GROUP
        ),
        Err(error) => Err(error).context("failed to list SkyJobs on the host"),
    }
}

/// Everything that is running.
struct Parts {
    client: Client,
    settings: Settings,
    origin: String,
    configured: Configured,
    stop: CancellationToken,
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    calls: Calls,
    /// The host as one more place where namespaces are.
    host: Arc<Fleet>,
}

/// What members and the host stir.
struct Stirs {
    members: UnboundedReceiver<Stir>,
    host: UnboundedReceiver<Stir>,
}

impl Parts {
    fn new(
        client: Client,
        settings: Settings,
        origin: String,
        configured: Configured,
        stop: CancellationToken,
    ) -> (Self, Called, Stirs) {
        let (stir, stirs) = unbounded_channel();
        let fleet = Fleet::new(stir, stop.clone());
        let (stir, host_stirs) = unbounded_channel();
        let host = Fleet::new(stir, stop.clone());
        let (calls, called) = Calls::new();
        let parts = Self {
            client,
            settings,
            origin,
            configured,
            stop,
            fleet,
            board: Arc::new(Board::default()),
            calls,
            host,
        };
        let stirs = Stirs {
            members: stirs,
            host: host_stirs,
        };
        (parts, called, stirs)
    }

    /// Starts everything on `tasks`: the host's objects are known before anything acts on them.
    async fn start(
        self,
        tasks: &TaskTracker,
        called: Called,
        stirs: Stirs,
        ready: Readiness,
    ) -> anyhow::Result<()> {
        let concerned = Concerned {
            board: self.board.clone(),
            fleet: self.fleet.clone(),
            calls: self.calls.clone(),
        };
        let (stores, watches) = Stores::open(&self.client, &concerned, &self.stop);
        for watch in watches {
            spawn(tasks, &self.stop, watch);
        }
        stores.filled().await?;
        for cluster in stores.clusters.state() {
            self.fleet.register(&cluster.name_any());
        }
        self.start_controllers(tasks, stores, called, stirs);
        ready.set();
        tracing::info!("the host's objects are known");
        Ok(())
    }

    /// Starts what acts: scheduler, reconcilers, and what passes on between them.
    fn start_controllers(self, tasks: &TaskTracker, stores: Stores, called: Called, stirs: Stirs) {
        let looks = self.start_namespaces(tasks, &stores);
        let (client, stop, fleet) = (&self.client, &self.stop, &self.fleet);
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
        let (cluster_calls, cluster_called) = unbounded_channel();
        let sources = Sources::new(
            jobs.clone(),
            deployments.clone(),
            rules.clone(),
            fleet.clone(),
            defaults.clone(),
        );
        let calls = self.calls.clone();
        let listened = forward(
            stirs.members,
            calls.clone(),
            cluster_calls,
            looks.clone(),
            self.board.clone(),
        );
        spawn(tasks, stop, listened);
        spawn(tasks, stop, forward_host(stirs.host, looks));
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
        let context = cluster::Context::new(
            client.clone(),
            self.settings.namespace.clone(),
            self.origin.clone(),
            fleet.clone(),
            self.board.clone(),
            jobs.clone(),
            deployments.clone(),
        );
        let namespace = &self.settings.namespace;
        spawn(
            tasks,
            stop,
            controllers::clusters(client, namespace, cluster_called, context, stop.clone()),
        );
        self.start_workloads(tasks, called, &rules, &defaults);
        let context = policy::Context {
            client: client.clone(),
            clusters,
            workloads: Workloads { jobs, deployments },
        };
        spawn(tasks, stop, controllers::policies(client, context, stop.clone()));
        tasks.spawn(listeners_end(self.fleet, self.stop));
    }

    /// Starts the reconcilers of both kinds of workload.
    fn start_workloads(
        &self,
        tasks: &TaskTracker,
        called: Called,
        rules: &Arc<Rules>,
        defaults: &LiveDefaults,
    ) {
        let (client, stop) = (&self.client, &self.stop);
        let context = deployment::Context::new(
            client.clone(),
            self.fleet.clone(),
            self.board.clone(),
            rules.clone(),
            self.origin.clone(),
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
            self.origin.clone(),
            defaults.clone(),
        );
        spawn(
            tasks,
            stop,
            controllers::jobs(client, called.jobs, context, stop.clone()),
        );
    }

    /// Starts what sees to namespaces; answers how it is called.
    fn start_namespaces(&self, tasks: &TaskTracker, stores: &Stores) -> namespace::Calls {
        let (client, stop, origin) = (&self.client, &self.stop, &self.origin);
        let (calls, called) = unbounded_channel();
        let looks = namespace::Calls::new(stores.namespaces.clone(), calls);
        self.host.seat(Arc::new(Kubernetes::host(origin, client.clone())));
        let workloads = Workloads {
            jobs: stores.jobs.clone(),
            deployments: stores.deployments.clone(),
        };
        let idle = namespace::idle::Idle {
            fleets: [self.fleet.clone(), self.host.clone()],
            origin: origin.clone(),
            namespaces: stores.namespaces.clone(),
            workloads: workloads.clone(),
            grace: self.settings.namespace_grace_seconds,
        };
        spawn(tasks, stop, idle.run(stop.clone()));
        let context = namespace::Context::new(
            client.clone(),
            origin.clone(),
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

/// Passes on what members say: to workloads at once, to clusters gathered, and to the scheduler.
async fn forward(
    mut stirs: UnboundedReceiver<Stir>,
    workloads: Calls,
    clusters: UnboundedSender<ObjectRef<DeserializeGuard<SkyCluster>>>,
    namespaces: namespace::Calls,
    board: Arc<Board>,
) {
    let mut gathered: BTreeSet<String> = BTreeSet::new();
    let mut flush = tokio::time::interval(GATHER);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            stir = stirs.recv() => match stir {
                Some(Stir::Workload(workload)) => workloads.call(&workload),
                Some(Stir::Cluster(name)) => {
                    board.wake();
                    gathered.insert(name);
                }
                Some(Stir::Namespace(name)) => namespaces.look_at(&name),
                Some(Stir::Namespaces) => namespaces.look_at_all(),
                None => return,
            },
            _ = flush.tick(), if !gathered.is_empty() => {
                for name in std::mem::take(&mut gathered) {
                    // The receiver only goes when the operator ends.
                    let _ = clusters.send(ObjectRef::new(&name));
                }
            }
        }
    }
}

/// Passes on what changes of namespaces on the host.
async fn forward_host(mut stirs: UnboundedReceiver<Stir>, namespaces: namespace::Calls) {
    while let Some(stir) = stirs.recv().await {
        match stir {
            Stir::Namespace(name) => namespaces.look_at(&name),
            Stir::Namespaces => namespaces.look_at_all(),
            Stir::Workload(_) | Stir::Cluster(_) => {}
        }
    }
}
