//! Reconciles SkyNamespaces: dereference → validate → plan → apply → status, one file per step that does I/O. The host is
//! one place more where the namespace is to be, and is asked in the same way as a member.
//!
//! The finalizer is there before anything is made, and goes when nothing of ours is left. `idle` sees to the namespaces
//! that have no SkyNamespace; `claim` is asked before a share is sent to a namespace that is about to go.

mod apply;
mod calls;
mod claim;
mod dereference;
pub mod idle;
mod write;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Client, ResourceExt};
use sky_core::Seconds;
use sky_core::job::Finalizer;
use sky_core::namespace::{Place, Wanted, plan};
use sky_core::observation::Trouble;
use sky_crds::SkyNamespace;
use thiserror::Error;
use tokio::time::Instant;

use crate::clock;
use crate::fleet::Fleet;
use crate::rules::Rules;
use crate::workloads::Workloads;

pub use calls::Calls;
pub use claim::claim;

/// Name under which the host sits in a fleet of its own.
pub const HOST: &str = "host";

/// Every object is looked at again after this long, whatever happens: watches miss things.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// One that waits for workloads to end, which nobody tells it, is looked at this often.
const WAITING: Duration = Duration::from_secs(5);

/// Why a SkyNamespace could not be reconciled this time.
#[derive(Debug, Error)]
pub enum NamespaceError {
    /// The host did not take a write.
    #[error("write the {what} of SkyNamespace {name}: {source}")]
    Host {
        /// finalizer or status.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The object is not of this version's schema.
    #[error("read SkyNamespace {0}: {1}")]
    Unreadable(String, String),
}

/// What reconciling SkyNamespaces reads and writes.
pub struct Context {
    client: Client,
    origin: String,
    fleet: Arc<Fleet>,
    host: Arc<Fleet>,
    rules: Arc<Rules>,
    workloads: Workloads,
    /// Seconds that a namespace is marked idle before it goes.
    grace: Seconds,
    memories: Mutex<HashMap<String, Memory>>,
}

/// What is remembered of a SkyNamespace between two looks. Losing it costs a few requests, never correctness.
#[derive(Debug, Default)]
struct Memory {
    /// The versions that our last writes were made from: a cache that shows one of them is behind.
    behind: Vec<String>,
    /// Since when the status wanted is another than the one stored.
    differs_since: Option<Instant>,
    /// Calls whose effect is not seen yet, and until when they are not repeated.
    under_way: BTreeMap<Place, (Wanted, Instant)>,
    /// Calls that failed, why, and when to try again.
    refused: BTreeMap<Place, (Wanted, Trouble, Instant)>,
}

impl Memory {
    /// Remembers a write that was made from `namespace`.
    fn wrote(&mut self, namespace: &SkyNamespace) {
        self.behind.push(namespace.resource_version().unwrap_or_default());
        // A cache is behind by a few versions, not by many.
        let surplus = self.behind.len().saturating_sub(8);
        self.behind.drain(..surplus);
    }
}

impl Context {
    /// A context with an empty memory; `host` is a fleet of the host alone.
    #[must_use]
    pub fn new(
        client: Client,
        origin: String,
        fleet: Arc<Fleet>,
        host: Arc<Fleet>,
        rules: Arc<Rules>,
        workloads: Workloads,
        grace: Seconds,
    ) -> Self {
        Self {
            client,
            origin,
            fleet,
            host,
            rules,
            workloads,
            grace,
            memories: Mutex::default(),
        }
    }

    fn take(&self, uid: &str) -> Memory {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.remove(uid).unwrap_or_default()
    }

    fn put(&self, uid: String, memory: Memory) {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.insert(uid, memory);
    }
}

/// Reconciles one SkyNamespace. Never runs twice at once for one object.
///
/// # Errors
/// When the host refuses a write; tried again.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<SkyNamespace>>,
    context: Arc<Context>,
) -> Result<Action, NamespaceError> {
    let cached = match &guard.0 {
        Ok(namespace) => namespace,
        Err(bad) => return Err(NamespaceError::Unreadable(guard.name_any(), bad.error.clone())),
    };
    let Some(uid) = cached.uid() else {
        return Ok(Action::await_change());
    };
    let mut memory = context.take(&uid);
    let outcome = settle(&context, cached, &mut memory).await;
    // What is gone needs no memory.
    if !matches!(outcome, Ok(None)) {
        context.put(uid, memory);
    }
    Ok(outcome?.map_or_else(Action::await_change, Action::requeue))
}

/// Plans and applies until nothing more can be done now; answers when to look again, `None` when it is gone.
async fn settle(
    context: &Context,
    cached: &SkyNamespace,
    memory: &mut Memory,
) -> Result<Option<Duration>, NamespaceError> {
    let version = cached.resource_version().unwrap_or_default();
    if memory.behind.contains(&version) {
        return Ok(Some(Duration::from_millis(200)));
    }
    let mut namespace = cached.clone();
    for _ in 0..4 {
        let now = clock::now();
        let facts = dereference::facts(context, &namespace, memory);
        let planned = plan(&facts, now.as_second());
        match planned.finalizer {
            Finalizer::Keep => {}
            Finalizer::Add => match write::finalizer(context, &namespace, true, memory).await? {
                Some(written) => {
                    namespace = written;
                    continue;
                }
                None => return Ok(Some(Duration::from_secs(1))),
            },
            Finalizer::Remove => {
                let removed = write::finalizer(context, &namespace, false, memory).await?;
                return Ok(removed.is_none().then_some(Duration::from_secs(1)));
            }
        }
        let Some(status) = &planned.status else {
            return Ok(None);
        };
        if apply::forget_other(&planned.steps, memory) {
            continue;
        }
        let retry = apply::steps(context, &namespace, &planned.steps, memory).await;
        let waits = status
            .conditions
            .iter()
            .any(|c| c.kind == "Reconciling" && c.status);
        match write::status(context, &namespace, status, now, memory).await? {
            write::Written::Now(written) => namespace = *written,
            write::Written::Stale => return Ok(Some(Duration::from_secs(1))),
            write::Written::Not(wait) => {
                let wake = planned.wake.map(|at| seconds(at.saturating_sub(now.as_second())));
                let waits = waits.then_some(WAITING);
                let soonest = [wait, retry, wake, waits].into_iter().flatten().min();
                return Ok(Some(soonest.unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)));
            }
        }
    }
    Ok(Some(Duration::from_secs(1)))
}

fn seconds(wait: i64) -> Duration {
    Duration::from_secs(u64::try_from(wait).unwrap_or(0).max(1))
}

/// What happens after an error: again, soon but not at once.
#[must_use]
pub fn retry(guard: Arc<DeserializeGuard<SkyNamespace>>, error: &NamespaceError, _: Arc<Context>) -> Action {
    tracing::warn!(namespace = %guard.name_any(), "failed to {error}");
    Action::requeue(Duration::from_secs(match error {
        NamespaceError::Unreadable(..) => 60,
        NamespaceError::Host { .. } => 3,
    }))
}

#[cfg(test)]
mod tests;
