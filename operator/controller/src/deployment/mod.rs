//! Reconciles SkyDeployments: dereference → validate → plan → apply → status, one file per step that does I/O.
//!
//! The order of writes is the SkyJobs': the finalizer before anything exists, the placement before its shares are
//! created, the shares gone before the finalizer is removed.

mod apply;
mod dereference;
mod event;
mod follow;
mod memory;
mod revisions;
mod write;

use std::sync::Arc;
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Client, ResourceExt};
use sky_convert::deployment;
use sky_core::deployment::{Plan, ask, plan};
use sky_core::job::Finalizer;
use sky_core::workload::Workload;
use sky_crds::SkyDeployment;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::clock;
use crate::configuration::LiveDefaults;
use crate::fleet::Fleet;
use crate::follow::{Follow, RELEASE_AGAIN};
use crate::requeue::{LOOK_AGAIN, jittered, seconds_until};
use crate::rules::Rules;
use crate::scheduler::Board;
use apply::Wanted;
use memory::{Memories, Memory};
use write::Written;

/// Writes of SkyDeployments to the host that may be under way at once.
const HOST_WRITES: usize = 64;

/// Why a SkyDeployment could not be reconciled this time.
#[derive(Debug, Error)]
pub enum DeploymentError {
    /// The host did not take a write.
    #[error("write the {what} of SkyDeployment {name}: {source}")]
    Host {
        /// finalizer, revision or status.
        what: &'static str,
        /// Namespace and name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The object is not of this version's schema.
    #[error("read SkyDeployment {name}: {error}")]
    Unreadable {
        /// Namespace and name.
        name: String,
        /// Why.
        error: String,
    },
}

impl DeploymentError {
    fn host(what: &'static str, object: &SkyDeployment, source: kube::Error) -> Self {
        let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        Self::Host { what, name, source }
    }
}

/// What reconciling SkyDeployments reads and writes.
pub struct Context {
    client: Client,
    fleet: Arc<Fleet>,
    board: Arc<Board>,
    rules: Arc<Rules>,
    follow: Arc<Follow>,
    origin: String,
    defaults: LiveDefaults,
    memories: Memories,
    events: Recorder,
    writes: Semaphore,
    started: Instant,
}

impl Context {
    /// A context with an empty memory.
    #[must_use]
    pub fn new(
        client: Client,
        fleet: Arc<Fleet>,
        board: Arc<Board>,
        rules: Arc<Rules>,
        follow: Arc<Follow>,
        origin: String,
        defaults: LiveDefaults,
    ) -> Self {
        Self {
            events: crate::event::recorder(client.clone()),
            client,
            fleet,
            board,
            rules,
            follow,
            origin,
            defaults,
            memories: Memories::default(),
            writes: Semaphore::new(HOST_WRITES),
            started: Instant::now(),
        }
    }

    /// Milliseconds since the start: paces writes.
    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Reconciles one SkyDeployment. Never runs twice at once for one object.
///
/// # Errors
/// When the host refuses a write; tried again with backoff.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<SkyDeployment>>,
    context: Arc<Context>,
) -> Result<Action, DeploymentError> {
    let uid = guard.uid().unwrap_or_default();
    let cached = match &guard.0 {
        Ok(deployment) => deployment,
        Err(bad) => {
            context.board.forget(&uid);
            let name = format!("{}/{}", guard.namespace().unwrap_or_default(), guard.name_any());
            let error = bad.error.clone();
            return Err(DeploymentError::Unreadable { name, error });
        }
    };
    let mut memory = context.memories.take(&uid);
    let settled = settle(&context, cached, &uid, &mut memory).await;
    // What is gone needs no memory.
    if !matches!(settled, Ok(None)) {
        context.memories.put(&uid, memory);
    }
    settled.map(|action| action.unwrap_or_else(Action::await_change))
}

/// Plans and applies until nothing more can be done now. `None`: the object is let go.
async fn settle(
    context: &Context,
    cached: &SkyDeployment,
    uid: &str,
    memory: &mut Memory,
) -> Result<Option<Action>, DeploymentError> {
    let again = |after: Duration| Ok(Some(Action::requeue(after)));
    let mut object = memory.latest(cached);
    for _ in 0..4 {
        let now = clock::now();
        let parsed = deployment::parse(&object, &context.defaults.now());
        let facts = deployment::facts(&object, parsed.as_ref(), &context.rules.read().clusters);
        let workload = parsed.as_ref().ok().map(|parsed| &parsed.workload);
        let members = dereference::members(context, &object, &facts, workload, memory);
        let asked = workload.and_then(|workload| ask(workload, &facts, &members, now.as_second()));
        let answer = asked.as_ref().and_then(|asked| context.board.answer(asked));
        let planned = plan(&facts, &members, answer.as_deref(), now.as_second());
        match planned.finalizer {
            Finalizer::Keep => {}
            Finalizer::Add => match write::finalizer(context, &object, true, memory).await? {
                Some(written) => {
                    object = written;
                    continue;
                }
                None => return again(Duration::from_secs(1)),
            },
            Finalizer::Remove => {
                context.board.forget(uid);
                if !follow::let_go(context, parsed.as_ref().ok(), &facts, memory).await {
                    return again(RELEASE_AGAIN);
                }
                write::finalizer(context, &object, false, memory).await?;
                return Ok(None);
            }
        }
        // What it came to is judged last: replicas do not wait for it.
        let revised = if facts.deleting {
            Ok(())
        } else {
            revisions::keep(context, &object, memory).await
        };
        queue(context, uid, &planned, asked, facts.placement.revision);
        let written = match &planned.status {
            Some(status) => write::status(context, &object, status, now, memory).await,
            None => Ok(Written::Not(None)),
        };
        if planned.binds && matches!(written, Ok(Written::Now(_))) {
            context
                .board
                .settle(uid, facts.placement.revision.saturating_add(1));
        }
        let before = revisions::before(context, &object, &planned.steps, &members).await;
        let wanted = Wanted {
            present: parsed.as_ref().ok(),
            before: before.as_ref().ok().and_then(Option::as_ref),
        };
        let retry = apply::steps(context, wanted, &planned.steps, memory).await;
        let written = written?;
        revised.and(before.map(drop))?;
        match written {
            Written::Now(written) => object = *written,
            Written::Stale => return again(Duration::from_secs(1)),
            Written::Not(wait) => {
                let parsed = parsed.as_ref().ok();
                let kept = follow::keep(context, &object, parsed, &facts, &members, memory).await;
                if !kept.news {
                    let soonest = [wait, retry, kept.again].into_iter().flatten().min();
                    return again(next_look(&planned, soonest, now, uid));
                }
            }
        }
    }
    again(Duration::from_secs(1))
}

/// Has the scheduler decide, or takes the workload out of its hands.
fn queue(context: &Context, uid: &str, planned: &Plan, asked: Option<Workload>, revision: i64) {
    match asked.filter(|_| planned.queue) {
        Some(asked) => context.board.submit(asked),
        None if planned.binds => {}
        None => context.board.settle(uid, revision),
    }
}

fn next_look(planned: &Plan, soonest: Option<Duration>, now: jiff::Timestamp, uid: &str) -> Duration {
    let wake = planned.wake.map(|at| seconds_until(at, now));
    let soonest = [soonest, wake].into_iter().flatten().min();
    soonest.unwrap_or(LOOK_AGAIN).min(jittered(LOOK_AGAIN, uid))
}

/// What happens after an error: again, soon but not at once.
#[must_use]
pub fn retry(
    guard: Arc<DeserializeGuard<SkyDeployment>>,
    error: &DeploymentError,
    _: Arc<Context>,
) -> Action {
    tracing::warn!(deployment = %guard.name_any(), namespace = ?guard.namespace(), "failed to {error}");
    let unreadable = matches!(error, DeploymentError::Unreadable { .. });
    let seconds = if unreadable { 60 } else { 3 };
    Action::requeue(jittered(
        Duration::from_secs(seconds),
        &guard.uid().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests;
