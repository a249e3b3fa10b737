//! Reconciles FilterPolicies: says that they are in force, and which of their clusters nobody knows. The rule itself is
//! applied by the scheduler.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt};
use sky_convert::status::transition;
use sky_crds::{FilterPolicy, SkyCluster};
use thiserror::Error;

use crate::host;

/// Why a FilterPolicy could not be reconciled this time.
#[derive(Debug, Error)]
pub enum PolicyError {
    /// The host did not take a write.
    #[error("write the status of FilterPolicy {0}: {1}")]
    Host(String, kube::Error),
    /// The object is not of this version's schema.
    #[error("read FilterPolicy {0}: {1}")]
    Unreadable(String, String),
}

/// What reconciling FilterPolicies reads and writes.
pub struct Context {
    /// The host.
    pub client: Client,
    /// SkyClusters of the host.
    pub clusters: Store<DeserializeGuard<SkyCluster>>,
}

/// Reconciles one FilterPolicy.
///
/// # Errors
/// When the host refuses the write.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<FilterPolicy>>,
    context: Arc<Context>,
) -> Result<Action, PolicyError> {
    let policy = match &guard.0 {
        Ok(policy) => policy,
        Err(bad) => return Err(PolicyError::Unreadable(guard.name_any(), bad.error.clone())),
    };
    let known: BTreeSet<String> = context
        .clusters
        .state()
        .iter()
        .map(|cluster| cluster.name_any())
        .collect();
    let mut next = policy.clone();
    let stored = policy.status.clone().unwrap_or_default();
    let mut wanted = stored.clone();
    wanted.unknown_clusters = unknown(policy, &known);
    wanted.observed_generation = policy.metadata.generation;
    let generation = policy.metadata.generation.unwrap_or(0);
    let message = if wanted.unknown_clusters.is_empty() {
        "applied to every new placement in this namespace".to_owned()
    } else {
        let names = wanted.unknown_clusters.join(", ");
        format!("applied to every new placement in this namespace; no SkyCluster is named {names}")
    };
    let ready = transition(
        "Ready",
        true,
        ("InForce", &message),
        generation,
        &stored.conditions,
        Timestamp::now(),
    );
    wanted.conditions = vec![ready];
    if wanted == stored {
        return Ok(Action::await_change());
    }
    next.status = Some(wanted);
    next.metadata.managed_fields = None;
    let api: Api<FilterPolicy> =
        Api::namespaced(context.client.clone(), &policy.namespace().unwrap_or_default());
    match host::replace_status(&api, &next).await {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if host::is_stale(&error) => Ok(Action::requeue(Duration::from_secs(1))),
        Err(error) => Err(PolicyError::Host(policy.name_any(), error)),
    }
}

/// Names of the policy that no SkyCluster has, each once, in order.
fn unknown(policy: &FilterPolicy, known: &BTreeSet<String>) -> Vec<String> {
    let filter = &policy.spec.cluster_filter;
    let named: BTreeSet<&String> = filter.include.iter().chain(&filter.exclude).collect();
    named
        .into_iter()
        .filter(|name| !known.contains(*name))
        .cloned()
        .collect()
}

/// What happens after an error: again, soon but not at once.
#[must_use]
pub fn retry(guard: Arc<DeserializeGuard<FilterPolicy>>, error: &PolicyError, _: Arc<Context>) -> Action {
    tracing::warn!(policy = %guard.name_any(), namespace = ?guard.namespace(), "failed to {error}");
    Action::requeue(Duration::from_secs(10))
}
