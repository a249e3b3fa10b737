//! Reconciles FilterPolicies: says that they are in force, how many workloads they govern, what they have driven out, and
//! which of their clusters nobody knows. The rule itself is applied by the scheduler and the job reconciler.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt};
use sky_convert::status::transition;
use sky_crds::{FilterPolicy, SkyCluster};
use thiserror::Error;

use crate::host;
use crate::workloads::Workloads;

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
    /// Workloads of the host.
    pub workloads: Workloads,
}

/// What a policy governs is counted this often: it changes with every workload that comes and goes.
const COUNT: Duration = Duration::from_secs(10);

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
    let (matched, evicted) = effects(policy, &context.workloads);
    wanted.matched_workloads = Some(matched);
    wanted.evicted_shares = Some(evicted);
    wanted.conditions = conditions(policy, &wanted.unknown_clusters, &stored.conditions);
    if wanted == stored {
        return Ok(Action::requeue(COUNT));
    }
    next.status = Some(wanted);
    next.metadata.managed_fields = None;
    let api: Api<FilterPolicy> =
        Api::namespaced(context.client.clone(), &policy.namespace().unwrap_or_default());
    match host::replace_status(&api, &next).await {
        Ok(_) => Ok(Action::requeue(COUNT)),
        Err(error) if host::is_stale(&error) => Ok(Action::requeue(Duration::from_secs(1))),
        Err(error) => Err(PolicyError::Host(policy.name_any(), error)),
    }
}

/// In force; and a warning when the spec says what can hardly be meant.
fn conditions(policy: &FilterPolicy, unknown: &[String], stored: &[Condition]) -> Vec<Condition> {
    let generation = policy.metadata.generation.unwrap_or(0);
    let now = Timestamp::now();
    let words = "applied to what is placed in this namespace and to what runs there";
    let mut conditions = vec![transition(
        "Ready",
        true,
        ("InForce", words),
        generation,
        stored,
        now,
    )];
    let filter = &policy.spec.cluster_filter;
    let both: Vec<&str> = filter
        .include
        .iter()
        .filter(|name| filter.exclude.contains(name))
        .map(String::as_str)
        .collect();
    let mut warnings = Vec::new();
    if !both.is_empty() {
        let names = both.join(", ");
        warnings.push((
            "IncludedAndExcluded",
            format!("clusterFilter includes and excludes {names}: exclude wins; name it in one list"),
        ));
    }
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        warnings.push((
            "UnknownClusters",
            format!("no SkyCluster is named {names}: correct the name, or register the cluster"),
        ));
    }
    if let Some((reason, _)) = warnings.first() {
        let words: Vec<&str> = warnings.iter().map(|(_, words)| words.as_str()).collect();
        let words = words.join("; ");
        conditions.push(transition(
            "Warning",
            true,
            (reason, &words),
            generation,
            stored,
            now,
        ));
    }
    conditions
}

/// Unfinished workloads that the policy governs, and shares evicted because of it as workloads still record them.
fn effects(api: &FilterPolicy, workloads: &Workloads) -> (i64, i64) {
    let policy = sky_convert::policy::policy(api);
    let by_this = format!("FilterPolicy {}", policy.name);
    let (mut matched, mut evicted) = (0, 0);
    workloads.each(|_, object| {
        let metadata = object.metadata();
        if metadata.namespace.as_deref().unwrap_or_default() != policy.namespace {
            return;
        }
        let labels = metadata.labels.clone().unwrap_or_default();
        matched += i64::from(policy.selector.matches(&labels) && object.goes_on());
        let of_this = object.evictions().iter().filter(|eviction| {
            let words = eviction.message.as_deref().unwrap_or_default();
            eviction.reason == "FilterPolicy" && words.ends_with(&by_this)
        });
        evicted += i64::try_from(of_this.count()).unwrap_or(0);
    });
    (matched, evicted)
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
