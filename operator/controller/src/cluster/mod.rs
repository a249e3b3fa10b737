//! Reconciles SkyClusters: dereference the Secret → vet → connect → status. Each step in its own file.
//!
//! A SkyCluster that cannot be connected says why and what to do; the others go on.

mod connect;
mod credential;
mod leave;
mod namespaces;
mod slurm;
mod status;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt};
use sky_crds::{SkyCluster, SkyDeployment, SkyJob, names};
use sky_member::gate::Gate;
use thiserror::Error;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::host::{self, Caller};
use crate::scheduler::Board;

/// Every object is looked at again after this long, whatever happens.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// What failed on the host is tried again after this long.
const SOON: Duration = Duration::from_secs(5);

/// Why a SkyCluster could not be reconciled this time.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The host did not take a write.
    #[error("write the {what} of SkyCluster {name}: {source}")]
    Host {
        /// finalizer, status or Secret.
        what: &'static str,
        /// SkyCluster name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The object is not of this version's schema.
    #[error("read SkyCluster {name}: {error}")]
    Unreadable {
        /// SkyCluster name.
        name: String,
        /// Why.
        error: String,
    },
}

/// What reconciling SkyClusters reads and writes.
pub struct Context {
    pub(crate) client: Client,
    pub(crate) agent: HeaderValue,
    pub(crate) gate: Gate,
    pub(crate) namespace: String,
    pub(crate) origin: String,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) board: Arc<Board>,
    pub(crate) jobs: Store<DeserializeGuard<SkyJob>>,
    pub(crate) deployments: Store<DeserializeGuard<SkyDeployment>>,
    memories: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of one SkyCluster.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// Hash of the kubeconfig and context that the present connection was made from.
    fingerprint: Option<String>,
    /// The Slurm member that is seated.
    slurm: Option<slurm::Seated>,
    /// Version that the member told.
    version: Option<String>,
    /// What else it told of itself.
    about: Option<String>,
    /// Why nothing runs there as it is set up.
    unusable: Option<String>,
    /// Last write of the status.
    written: Option<Instant>,
    /// Last renewal of the credential, successful or not.
    renewed: Option<Instant>,
    /// Namespaces that stay there when it goes: others have put something into them.
    kept: BTreeSet<String>,
    /// Whether jobs were told that it is lost.
    told_lost: bool,
}

impl Context {
    /// A context with an empty memory.
    #[must_use]
    pub fn new(
        caller: Caller,
        namespace: String,
        origin: String,
        fleet: Arc<Fleet>,
        board: Arc<Board>,
        jobs: Store<DeserializeGuard<SkyJob>>,
        deployments: Store<DeserializeGuard<SkyDeployment>>,
    ) -> Self {
        Self {
            client: caller.client,
            agent: caller.agent,
            gate: caller.gate,
            namespace,
            origin,
            fleet,
            board,
            jobs,
            deployments,
            memories: Mutex::default(),
        }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn clusters(&self) -> Api<SkyCluster> {
        Api::all(self.client.clone())
    }

    fn take(&self, name: &str) -> Memory {
        self.memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name)
            .unwrap_or_default()
    }

    fn put(&self, name: &str, memory: Memory) {
        self.memories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned(), memory);
    }
}

/// Reconciles one SkyCluster. Never runs twice at once for one object.
///
/// # Errors
/// When the host refuses a write; tried again with backoff.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<SkyCluster>>,
    context: Arc<Context>,
) -> Result<Action, ClusterError> {
    let cluster = match &guard.0 {
        Ok(cluster) => cluster,
        Err(bad) => {
            return Err(ClusterError::Unreadable {
                name: guard.name_any(),
                error: bad.error.clone(),
            });
        }
    };
    let name = cluster.name_any();
    let mut memory = context.take(&name);
    let outcome = settle(&context, cluster, &name, &mut memory).await;
    context.put(&name, memory);
    // Labels, taints, a cordon: what the scheduler reads may have changed.
    context.board.wake();
    outcome
}

async fn settle(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    memory: &mut Memory,
) -> Result<Action, ClusterError> {
    if !context.gate.is_open() {
        // Who stands by listens to members, so as to know what they hold when it leads, and writes nothing.
        let connected = connect::connect(context, cluster, name, memory).await;
        let again = connected.is_err().then_some(SOON);
        return Ok(Action::requeue(again.unwrap_or(LOOK_AGAIN)));
    }
    if cluster.metadata.deletion_timestamp.is_some() {
        return leave::leave(context, cluster, name, memory).await;
    }
    if !cluster
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == names::FINALIZER)
    {
        let mut finalizers = cluster.finalizers().to_vec();
        finalizers.push(names::FINALIZER.to_owned());
        let version = cluster.resource_version();
        let written = host::set_finalizers(&context.clusters(), name, version.as_deref(), &finalizers).await;
        return match written {
            Ok(_) => Ok(Action::await_change()),
            Err(error) if host::is_stale(&error) => Ok(Action::await_change()),
            Err(source) => Err(ClusterError::Host {
                what: "finalizer",
                name: name.into(),
                source,
            }),
        };
    }
    let connected = connect::connect(context, cluster, name, memory).await;
    let host_failed = connected
        .as_ref()
        .is_err_and(|unlinked| unlinked.reason == connect::SECRET_UNREADABLE);
    if host_failed && memory.fingerprint.is_some() {
        // The member is used all the time: what was said of it stays true.
        return Ok(Action::requeue(SOON));
    }
    let renewal = match &connected {
        Ok(link) => credential::keep(context, link, name, Timestamp::now(), memory).await,
        Err(_) => None,
    };
    let wait = status::write(context, cluster, name, connected.as_ref(), memory).await?;
    let again = host_failed.then_some(SOON);
    let soonest = [wait, renewal, again]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(LOOK_AGAIN);
    Ok(Action::requeue(soonest.min(LOOK_AGAIN)))
}

/// What happens after an error: again, soon but not at once.
#[must_use]
pub fn retry(guard: Arc<DeserializeGuard<SkyCluster>>, error: &ClusterError, _: Arc<Context>) -> Action {
    tracing::warn!(cluster = %guard.name_any(), "failed to {error}");
    Action::requeue(Duration::from_secs(5))
}

#[cfg(test)]
mod tests;
