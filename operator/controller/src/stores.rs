//! The host's objects, kept by watches, and what a change of one sets going: a round of decisions, and another look at
//! the SkyJobs that a changed rule may drive out. Run by `run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::{self, BoxFuture};
use futures::{FutureExt, StreamExt};
use kube::api::{ListParams, PartialObjectMeta};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use sky_convert::job::has_ended;
use sky_core::workload::{Kind, WorkloadRef};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::fleet::Fleet;
use crate::host;
use crate::rules::Rules;
use crate::scheduler::Board;

/// The host's objects.
pub struct Stores {
    /// SkyClusters.
    pub clusters: Store<DeserializeGuard<SkyCluster>>,
    /// SkyJobs.
    pub jobs: Store<DeserializeGuard<SkyJob>>,
    /// SkyDeployments.
    pub deployments: Store<DeserializeGuard<SkyDeployment>>,
    /// FilterPolicies.
    pub policies: Store<DeserializeGuard<FilterPolicy>>,
    /// SkyNamespaces.
    pub namespaces: Store<DeserializeGuard<SkyNamespace>>,
    /// What they say about where work may go.
    pub rules: Arc<Rules>,
    live: Arc<AtomicBool>,
}

/// Whom a change concerns.
#[derive(Clone)]
pub struct Concerned {
    /// Decides anew.
    pub board: Arc<Board>,
    /// Passes on that a cluster's shares are to be looked at.
    pub fleet: Arc<Fleet>,
    /// Workloads to look at.
    pub calls: Calls,
}

impl Stores {
    /// Empty stores, and the watches that fill them, each to be run until `stop`.
    #[must_use]
    pub fn open(
        client: &Client,
        concerned: &Concerned,
        stop: &CancellationToken,
    ) -> (Self, Vec<BoxFuture<'static, ()>>) {
        let (clusters, cluster_writer) = reflector::store::<DeserializeGuard<SkyCluster>>();
        let (jobs, job_writer) = reflector::store::<DeserializeGuard<SkyJob>>();
        let (deployments, deployment_writer) = reflector::store::<DeserializeGuard<SkyDeployment>>();
        let (policies, policy_writer) = reflector::store::<DeserializeGuard<FilterPolicy>>();
        let (namespaces, namespace_writer) = reflector::store::<DeserializeGuard<SkyNamespace>>();
        let stores = Self {
            rules: Rules::new(clusters.clone(), policies.clone(), namespaces.clone()),
            clusters,
            jobs,
            deployments,
            policies,
            namespaces,
            live: Arc::default(),
        };
        let at_job = {
            let board = concerned.board.clone();
            move |_: Option<&DeserializeGuard<SkyJob>>| board.wake()
        };
        let at_deployment = {
            let board = concerned.board.clone();
            move |_: Option<&DeserializeGuard<SkyDeployment>>| board.wake()
        };
        let watches = vec![
            keep(client, job_writer, at_job, stop),
            keep(client, deployment_writer, at_deployment, stop),
            keep(client, cluster_writer, stores.at_cluster(concerned), stop),
            keep(client, policy_writer, stores.at_policy(concerned), stop),
            keep(client, namespace_writer, stores.at_namespace(concerned), stop),
        ];
        (stores, watches)
    }

    /// Waits until each watch has listed everything.
    ///
    /// # Errors
    /// When a watch ended before.
    pub async fn filled(&self) -> anyhow::Result<()> {
        let ended = |kind: &'static str| format!("the watch on {kind} ended");
        self.clusters
            .wait_until_ready()
            .await
            .context(ended("SkyClusters"))?;
        self.jobs.wait_until_ready().await.context(ended("SkyJobs"))?;
        self.deployments
            .wait_until_ready()
            .await
            .context(ended("SkyDeployments"))?;
        self.policies
            .wait_until_ready()
            .await
            .context(ended("FilterPolicies"))?;
        self.namespaces
            .wait_until_ready()
            .await
            .context(ended("SkyNamespaces"))?;
        Ok(())
    }

    /// From now on, a changed rule has workloads looked at: what is known until now is looked at by the reconcilers that
    /// start anyway.
    pub fn go_live(&self) {
        self.live.store(true, Ordering::Relaxed);
    }

    /// Waits until the workloads here are at least as new as on the host now: who led before may just have bound some,
    /// and room that they were promised would look free.
    ///
    /// # Errors
    /// When the host does not list them.
    pub async fn caught_up(&self, client: &Client) -> anyhow::Result<()> {
        catch_up(client, &self.jobs).await.context("list SkyJobs")?;
        catch_up(client, &self.deployments)
            .await
            .context("list SkyDeployments")
    }

    fn at_cluster(
        &self,
        concerned: &Concerned,
    ) -> impl Fn(Option<&DeserializeGuard<SkyCluster>>) + Send + Sync + 'static {
        let (rules, concerned) = (self.rules.clone(), concerned.clone());
        move |guard| {
            rules.changed();
            concerned.board.wake();
            if let Some(Ok(api)) = guard.map(|guard| &guard.0)
                && rules.has_moved(api)
            {
                concerned.fleet.stir_workloads(&api.name_any());
                concerned.fleet.stir_namespaces();
            }
        }
    }

    fn at_policy(
        &self,
        concerned: &Concerned,
    ) -> impl Fn(Option<&DeserializeGuard<FilterPolicy>>) + Send + Sync + 'static {
        let look = self.look_at_placed(concerned);
        let rules = self.rules.clone();
        move |guard| {
            let news = guard.is_none_or(|guard| rules.has_spoken(guard));
            look(guard.and_then(|guard| guard.namespace()).filter(|_| news));
        }
    }

    fn at_namespace(
        &self,
        concerned: &Concerned,
    ) -> impl Fn(Option<&DeserializeGuard<SkyNamespace>>) + Send + Sync + 'static {
        let look = self.look_at_placed(concerned);
        let rules = self.rules.clone();
        move |guard| {
            let news = guard.is_none_or(|guard| rules.has_spoken(guard));
            look(guard.map(|guard| guard.name_any()).filter(|_| news));
        }
    }

    /// A rule of this namespace has changed: has every workload there looked at that has a place and has not ended.
    fn look_at_placed(&self, concerned: &Concerned) -> impl Fn(Option<String>) + Send + Sync + 'static {
        let (rules, live) = (self.rules.clone(), self.live.clone());
        let (jobs, deployments) = (self.jobs.clone(), self.deployments.clone());
        let concerned = concerned.clone();
        move |namespace| {
            rules.changed();
            concerned.board.wake();
            if namespace.is_none() || !live.load(Ordering::Relaxed) {
                return;
            }
            for guard in jobs.state() {
                let Ok(job) = &guard.0 else { continue };
                let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
                if job.namespace() == namespace && placement.is_some() && !has_ended(job) {
                    concerned.calls.call(&reference(Kind::SkyJob, job));
                }
            }
            for guard in deployments.state() {
                let Ok(deployment) = &guard.0 else { continue };
                let status = deployment.status.as_ref();
                let placement = status.and_then(|status| status.placement.as_ref());
                if deployment.namespace() == namespace && placement.is_some() {
                    concerned.calls.call(&reference(Kind::SkyDeployment, deployment));
                }
            }
        }
    }
}

/// The longest wait for a watch to show what a list has shown.
const BEHIND: Duration = Duration::from_secs(10);

async fn catch_up<K>(client: &Client, store: &Store<DeserializeGuard<K>>) -> Result<(), kube::Error>
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let listed = host::within(api.list_metadata(&ListParams::default())).await?;
    let is_behind = |one: &PartialObjectMeta<DeserializeGuard<K>>| {
        let reference = ObjectRef::new(&one.name_any()).within(&one.namespace().unwrap_or_default());
        let Some(known) = store.get(&reference) else {
            return true;
        };
        version(&*known) < version(one)
    };
    let caught_up = async {
        while listed.items.iter().any(is_behind) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // What was deleted meanwhile never shows.
    let _ = tokio::time::timeout(BEHIND, caught_up).await;
    Ok(())
}

fn version(object: &impl ResourceExt) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

/// The name of a workload of this kind.
#[must_use]
pub fn reference(kind: Kind, object: &impl ResourceExt) -> WorkloadRef {
    WorkloadRef {
        kind,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// Keeps all objects of a kind, and calls `at_change` for each change.
fn keep<K>(
    client: &Client,
    writer: Writer<DeserializeGuard<K>>,
    at_change: impl Fn(Option<&DeserializeGuard<K>>) + Send + Sync + 'static,
    stop: &CancellationToken,
) -> BoxFuture<'static, ()>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
    let events = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .touched_objects();
    let stopped = stop.clone();
    async move {
        let listen = events.for_each(|event| {
            match event {
                Ok(object) => at_change(Some(&object)),
                Err(error) => {
                    tracing::warn!(kind = %K::kind(&()), %error, "watch on the host interrupted");
                    at_change(None);
                }
            }
            future::ready(())
        });
        tokio::select! { () = listen => {}, () = stopped.cancelled() => {} }
    }
    .boxed()
}
