//! Wires the operator and runs it until a signal: the only place, besides the fleet, that spawns.
//!
//! Nothing is decided or dispatched before the host's objects are all known: with cold caches, what is there would look
//! like what is gone.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use sky_core::plugin::Enabled;
use sky_core::plugins;
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace, names};
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
use crate::{cluster, configuration, deployment, host, job, leftovers, origin, policy, unsupported};

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
}

/// What members stir.
type Stirs = UnboundedReceiver<Stir>;

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
        let forwarded = forward(stirs, calls.clone(), cluster_calls, self.board.clone());
        spawn(tasks, stop, forwarded);
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
            run_clusters(client, namespace, cluster_called, context, stop.clone()),
        );
        self.start_workloads(tasks, called, &rules, &defaults);
        let context = policy::Context {
            client: client.clone(),
            clusters,
            jobs,
            deployments,
        };
        spawn(tasks, stop, run_policies(client, context, stop.clone()));
        spawn(tasks, stop, run_unsupported::<SkyNamespace>(client, stop.clone()));
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
            run_deployments(client, called.deployments, context, stop.clone()),
        );
        let context = job::Context::new(
            client.clone(),
            self.fleet.clone(),
            self.board.clone(),
            rules.clone(),
            self.origin.clone(),
            defaults.clone(),
        );
        spawn(tasks, stop, run_jobs(client, called.jobs, context, stop.clone()));
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

fn calls<K: 'static>(called: UnboundedReceiver<K>) -> impl Stream<Item = K> {
    futures::stream::unfold(called, |mut called| async move {
        called.recv().await.map(|call| (call, called))
    })
}

/// Any number of SkyJobs at once: those of a member that hangs would else use up the places of the others. Writes to
/// the host are bounded by the job context, calls to a member by the member.
fn run_jobs(
    client: &Client,
    called: UnboundedReceiver<ObjectRef<SkyJob>>,
    context: job::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyJob>> = Api::all(client.clone());
    let called = calls(called)
        .map(|job| ObjectRef::new(&job.name).within(job.namespace.as_deref().unwrap_or_default()));
    Controller::new(api, watcher::Config::default())
        .reconcile_on(called)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(job::reconcile, job::retry, Arc::new(context))
        .for_each(|_| future::ready(()))
}

/// Any number at once, as SkyJobs.
fn run_deployments(
    client: &Client,
    called: UnboundedReceiver<ObjectRef<SkyDeployment>>,
    context: deployment::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyDeployment>> = Api::all(client.clone());
    let called = calls(called)
        .map(|one| ObjectRef::new(&one.name).within(one.namespace.as_deref().unwrap_or_default()));
    Controller::new(api, watcher::Config::default())
        .reconcile_on(called)
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(deployment::reconcile, deployment::retry, Arc::new(context))
        .for_each(|_| future::ready(()))
}

fn run_clusters(
    client: &Client,
    namespace: &str,
    called: UnboundedReceiver<ObjectRef<DeserializeGuard<SkyCluster>>>,
    context: cluster::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<SkyCluster>> = Api::all(client.clone());
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let labelled = watcher::Config::default().labels(names::SECRET_MEMBER_LABEL);
    Controller::new(api, watcher::Config::default())
        .watches(secrets, labelled, |secret: Secret| {
            let member = secret.labels().get(names::SECRET_MEMBER_LABEL).cloned();
            member.map(|name| ObjectRef::new(&name))
        })
        .with_config(Config::default().concurrency(16))
        .reconcile_on(calls(called))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(cluster::reconcile, cluster::retry, Arc::new(context))
        .for_each(|_| future::ready(()))
}

fn run_policies(
    client: &Client,
    context: policy::Context,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let api: Api<DeserializeGuard<FilterPolicy>> = Api::all(client.clone());
    let every: Api<SkyCluster> = Api::all(client.clone());
    let controller = Controller::new(api, watcher::Config::default());
    let policies = controller.store();
    // A cluster that comes or goes changes which names are unknown.
    let all = move |_: SkyCluster| -> Vec<ObjectRef<DeserializeGuard<FilterPolicy>>> {
        policies
            .state()
            .iter()
            .map(|policy| ObjectRef::from_obj(policy.as_ref()))
            .collect()
    };
    controller
        .watches(every, watcher::Config::default(), all)
        .with_config(Config::default().concurrency(4))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(policy::reconcile, policy::retry, Arc::new(context))
        .for_each(|_| future::ready(()))
}

fn run_unsupported<K: unsupported::NotYet + 'static>(
    client: &Client,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<K> {
    Controller::new(Api::<K>::all(client.clone()), watcher::Config::default())
        .with_config(Config::default().concurrency(4))
        .graceful_shutdown_on(stop.cancelled_owned())
        .run(
            unsupported::reconcile,
            unsupported::retry,
            Arc::new(client.clone()),
        )
        .for_each(|_| future::ready(()))
}
