//! Reconciles SkyJobs: dereference → validate → plan → apply → status, one file per step that does I/O.
//!
//! The order of writes is what keeps work from being lost or run twice: the finalizer before anything exists, the
//! placement before its shares are created, the shares gone before the finalizer is removed.

mod apply;
mod dereference;
mod event;
mod follow;
mod memory;
mod write;

use std::sync::Arc;
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Client, ResourceExt};
use sky_convert::job;
use sky_core::job::{Facts, Finalizer, Plan, ask, plan};
use sky_crds::SkyJob;
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::clock;
use crate::configuration::LiveDefaults;
use crate::fleet::Fleet;
use crate::follow::{Follow, RELEASE_AGAIN};
use crate::requeue::{LOOK_AGAIN, jittered, seconds_until};
use crate::rules::Rules;
use crate::scheduler::Board;
pub(crate) use dereference::reach_of;
use memory::Memories;
use tokio::time::Instant;

/// Writes of SkyJobs to the host that may be under way at once.
const HOST_WRITES: usize = 64;

/// Why a SkyJob could not be reconciled this time.
#[derive(Debug, Error)]
pub enum JobError {
    /// The host did not take a write.
    #[error("write the {what} of SkyJob {name}: {source}")]
    Host {
        /// finalizer or status.
        what: &'static str,
        /// Namespace and name.
        name: String,
        /// Why.
        source: kube::Error,
    },
    /// The object is not of this version's schema.
    #[error("read SkyJob {name}: {error}")]
    Unreadable {
        /// Namespace and name.
        name: String,
        /// Why.
        error: String,
    },
}

/// What reconciling SkyJobs reads and writes.
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
        let events = crate::event::recorder(client.clone());
        Self {
            client,
            fleet,
            board,
            rules,
            follow,
            origin,
            defaults,
            memories: Memories::default(),
            events,
            writes: Semaphore::new(HOST_WRITES),
            started: Instant::now(),
        }
    }

    /// Milliseconds since the start: paces writes.
    fn millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Reconciles one SkyJob. Never runs twice at once for one object.
///
/// # Errors
/// When the host refuses a write; tried again with backoff.
pub async fn reconcile(
    guard: Arc<DeserializeGuard<SkyJob>>,
    context: Arc<Context>,
) -> Result<Action, JobError> {
    let cached = match &guard.0 {
        Ok(job) => job,
        Err(bad) => {
            if let Some(uid) = guard.uid() {
                context.board.forget(&uid);
            }
            let name = format!("{}/{}", guard.namespace().unwrap_or_default(), guard.name_any());
            return Err(JobError::Unreadable {
                name,
                error: bad.error.clone(),
            });
        }
    };
    let Some(uid) = cached.uid() else {
        return Ok(Action::await_change());
    };
    let Some(mut memory) = context.memories.take(&uid) else {
        return Ok(Action::await_change());
    };
    let outcome = settle(&context, cached, &uid, &mut memory).await;
    // What is gone needs no memory.
    if memory.keep {
        context.memories.put(uid, memory);
    }
    outcome
}

/// Plans and applies until nothing more can be done now: a write to the host is followed by the next step at once,
/// without waiting for the watch to show it.
async fn settle(
    context: &Context,
    cached: &SkyJob,
    uid: &str,
    memory: &mut memory::Memory,
) -> Result<Action, JobError> {
    let mut job = memory.latest(cached);
    if is_refused_still(context, &job, uid, memory) {
        return Ok(Action::requeue(Duration::from_secs(1)));
    }
    for _ in 0..4 {
        let now = clock::now();
        let parsed = job::parse(&job, &context.defaults.now());
        let facts = job::facts(&job, parsed.as_ref());
        let workload = parsed.as_ref().ok().map(|parsed| &parsed.workload);
        let members = dereference::members(context, &job, &facts, workload, memory);
        let asked = workload.and_then(|workload| ask(workload, &facts, now.as_second()));
        let answer = asked.as_ref().and_then(|asked| context.board.answer(asked));
        let planned = plan(&facts, &members, answer.as_deref(), now.as_second());
        match planned.finalizer {
            Finalizer::Keep => {}
            Finalizer::Add => match write::finalizer(context, &job, true, memory).await? {
                Some(written) => {
                    job = written;
                    continue;
                }
                None => return Ok(Action::await_change()),
            },
            Finalizer::Remove => {
                context.board.forget(uid);
                let released = follow::let_go(context, parsed.as_ref().ok(), &facts, memory).await;
                return let_go(context, &job, uid, released, memory).await;
            }
        }
        let binds = binds(&planned, &facts);
        match asked.filter(|_| planned.queue) {
            Some(asked) => context.board.submit(asked),
            None if binds => {}
            None if facts.finished.is_some() => context.board.forget(uid),
            None => context.board.settle(uid, facts.revision),
        }
        let written = write::status(context, &job, planned.status.as_ref(), now, memory).await;
        if binds {
            match &written {
                Ok(write::Written::Now(_)) => context.board.settle(uid, facts.revision.saturating_add(1)),
                Ok(write::Written::Stale) => memory.refused = job.resource_version(),
                // Not to be written yet, or perhaps written: the answer stays, and its room with it.
                Ok(write::Written::Not(_) | write::Written::Gone) | Err(_) => {}
            }
        }
        let retry = match &parsed {
            Ok(parsed) if !binds => apply::steps(context, parsed, &planned.steps, memory).await,
            _ => apply::withdrawals(context, &planned.steps, memory).await,
        };
        match written? {
            write::Written::Now(written) => job = *written,
            write::Written::Stale => return Ok(Action::requeue(Duration::from_secs(1))),
            write::Written::Gone => {
                context.board.forget(uid);
                memory.keep = false;
                return Ok(Action::await_change());
            }
            write::Written::Not(wait) => {
                let parsed = parsed.as_ref().ok();
                let kept = follow::keep(context, &job, parsed, &facts, &members, memory).await;
                if kept.news {
                    continue;
                }
                let wake = planned.wake.map(|at| seconds_until(at, now));
                return Ok(next_look([wait, retry, wake, kept.again], uid));
            }
        }
    }
    Ok(Action::requeue(Duration::from_secs(1)))
}

fn next_look(waits: [Option<Duration>; 4], uid: &str) -> Action {
    let soonest = waits.into_iter().flatten().min();
    Action::requeue(soonest.unwrap_or(LOOK_AGAIN).min(jittered(LOOK_AGAIN, uid)))
}

/// Nothing of the job is left on members: its object may go, once the copies made for it are `released`.
async fn let_go(
    context: &Context,
    job: &SkyJob,
    uid: &str,
    released: bool,
    memory: &mut memory::Memory,
) -> Result<Action, JobError> {
    if !released {
        return Ok(Action::requeue(RELEASE_AGAIN));
    }
    if write::finalizer(context, job, false, memory).await?.is_some() {
        context.memories.let_go(uid, Instant::now());
    }
    memory.keep = false;
    Ok(Action::await_change())
}

/// Whether the cache still shows the version from which a placement could not be written. Until it shows a newer one
/// the room is kept: the write that came in between may have been our own, its answer lost. Then the job is decided
/// anew, unless it turns out to be bound.
fn is_refused_still(context: &Context, job: &SkyJob, uid: &str, memory: &mut memory::Memory) -> bool {
    let Some(refused) = memory.refused.take() else {
        return false;
    };
    if job.resource_version().as_ref() == Some(&refused) {
        memory.refused = Some(refused);
        return true;
    }
    let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
    context
        .board
        .settle(uid, placement.map_or(0, |placement| placement.revision));
    false
}

/// Whether the status wanted has a placement that the record does not have.
fn binds(planned: &Plan, facts: &Facts) -> bool {
    let placement = planned
        .status
        .as_ref()
        .and_then(|status| status.placement.as_ref());
    placement.is_some_and(|placement| placement.revision > facts.revision)
}

/// What happens after an error: again, soon but not at once.
#[must_use]
pub fn retry(guard: Arc<DeserializeGuard<SkyJob>>, error: &JobError, _: Arc<Context>) -> Action {
    tracing::warn!(job = %guard.name_any(), namespace = ?guard.namespace(), "failed to {error}");
    let seconds = if matches!(error, JobError::Unreadable { .. }) {
        60
    } else {
        3
    };
    Action::requeue(jittered(
        Duration::from_secs(seconds),
        &guard.uid().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests;
