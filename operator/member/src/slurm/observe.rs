//! What is said of an array: its tasks counted, how it ended, what keeps it waiting. Pure; fed by `look`.

use sky_core::Seconds;
use sky_core::observation::{Counts, End, Observation, Started, Trouble};
use sky_core::ranks::Ranks;

use super::accounting::UNCLEAR;
use super::array::{Array, Doing};
use super::past::Past;

/// What the wrapper ends with when Slurm starts a replica again that has no try left.
const NO_TRY_LEFT: i64 = 190;

/// The tasks of an array, each counted once.
#[derive(Default)]
struct Tally {
    waiting: i64,
    running: i64,
    succeeded: Vec<u32>,
    failed: i64,
    cancelled: i64,
    /// Ended and purged before anybody saw how.
    unaccounted: i64,
    started: bool,
    trouble: Option<Trouble>,
}

/// What is said of `array`; `None`: it counts as gone.
pub(super) fn observe(array: &Array, past: &Past, due: Seconds) -> Option<Observation> {
    let instance = array.instance();
    let comment = &array.comment;
    let tombstone = comment.tombstone.or(past.tombstone(&instance));
    let removed = comment.removed || past.is_removed(&instance);
    let over = array.is_over();
    if (removed && over) || (tombstone.is_none() && array.was_deleted()) {
        return None;
    }
    let tally = tally(array, past);
    let suspended = comment.suspended || tombstone.is_some();
    let kept = tombstone.is_some() || suspended || array.is_held();
    // Ends that are remembered do not count here: slurmctld that forgot them forgot the release as well. Only tasks that it
    // shows as started say that somebody else holds the rest.
    let waits_for_confirmation = array.is_held() && !suspended && !removed && !array.has_started();
    let end = end(&tally, comment.replicas, over).filter(|_| tombstone.is_none());
    let ended = count(&tally.succeeded) + tally.failed + tally.cancelled + tally.unaccounted;
    let needs_no_room = end.is_some() || removed || suspended;
    let settled = if needs_no_room {
        comment.replicas
    } else {
        tally.running + ended
    };
    Some(Observation {
        key: array.key.clone(),
        stamp: comment.stamp(),
        instance,
        replicas: comment.replicas,
        counts: Counts {
            pending: tally.waiting,
            running: tally.running,
            succeeded: count(&tally.succeeded),
            failed: tally.failed + tally.cancelled,
        },
        settled,
        started: match (tally.started, tally.unaccounted) {
            (true, _) => Started::Yes,
            (false, 0) => Started::No,
            (false, _) => Started::Unknown,
        },
        active: tally.running + if kept { 0 } else { tally.waiting },
        suspended,
        confirm: waits_for_confirmation.then_some(due),
        tombstone,
        deleting: removed,
        trouble: trouble(array, &tally, &end).filter(|_| tombstone.is_none()),
        done: tally.succeeded.into_iter().collect::<Ranks>(),
        end,
        rollout: None,
    })
}

/// Whether a replica has failed for good while others have not ended: they are to be stopped.
pub(super) fn is_lost(array: &Array, past: &Past) -> bool {
    let tally = tally(array, past);
    let ours = array.comment.tombstone.is_some() || array.comment.removed;
    !ours && tally.failed > 0 && !array.is_over()
}

fn tally(array: &Array, past: &Past) -> Tally {
    let mut tally = Tally::default();
    let mut known = 0;
    for (index, task) in &array.tasks {
        known += 1;
        add(&mut tally, *index, &task.doing);
        tally.started |= task.started;
    }
    for (index, doing) in past.ends(&array.instance()) {
        if !array.tasks.contains_key(index) {
            known += 1;
            add(&mut tally, *index, doing);
            tally.started = true;
        }
    }
    let rest = array.comment.replicas.saturating_sub(known).max(0);
    match array.rest.as_ref().map(|rest| &rest.doing) {
        Some(Doing::Waiting) => tally.waiting += rest,
        Some(Doing::Cancelled) => tally.cancelled += rest,
        Some(doing @ Doing::Failed(..)) => {
            tally.failed += rest;
            tally.trouble = tally.trouble.take().or_else(|| failure(None, doing));
        }
        _ => tally.unaccounted += rest,
    }
    tally
}

fn add(tally: &mut Tally, index: u32, doing: &Doing) {
    match doing {
        Doing::Waiting => tally.waiting += 1,
        Doing::Running => tally.running += 1,
        Doing::Succeeded => tally.succeeded.push(index),
        Doing::Cancelled => tally.cancelled += 1,
        Doing::Failed(..) => {
            tally.failed += 1;
            tally.trouble = tally.trouble.take().or_else(|| failure(Some(index), doing));
        }
    }
}

fn count(list: &[u32]) -> i64 {
    i64::try_from(list.len()).unwrap_or(i64::MAX)
}

/// How it ended: when nothing of it runs or waits any more.
fn end(tally: &Tally, replicas: i64, over: bool) -> Option<End> {
    if count(&tally.succeeded) >= replicas {
        return Some(End::Complete);
    }
    if !over {
        return None;
    }
    let trouble = tally.trouble.clone().unwrap_or_else(|| {
        if tally.cancelled > 0 {
            Trouble {
                reason: "Cancelled".into(),
                message: format!("{} replicas were cancelled on the cluster", tally.cancelled),
            }
        } else {
            Trouble {
                reason: "OutcomeUnknown".into(),
                message: format!(
                    "slurmctld forgot {} replicas (MinJobAge) before their end was seen: they may have run",
                    tally.unaccounted
                ),
            }
        }
    });
    Some(End::Failed(trouble))
}

/// In which words a failure is told.
pub(super) fn failure(index: Option<u32>, doing: &Doing) -> Option<Trouble> {
    let Doing::Failed(state, reason, exit) = doing else {
        return None;
    };
    let who = index.map_or_else(String::new, |index| format!("replica {index}: "));
    let (code, words) = match state.as_str() {
        "FAILED" if exit.code == NO_TRY_LEFT => (
            "Requeued",
            "Slurm started it again, and no try is left: it was stopped before it ran".to_owned(),
        ),
        "FAILED" if exit.signal == 53 => (
            "OutputOrDirectory",
            "its working directory or output file could not be opened".to_owned(),
        ),
        "FAILED" if exit.signal > 0 => ("Signalled", format!("ended by signal {}", exit.signal)),
        "FAILED" if exit.code > 0 => ("NonZeroExitCode", format!("exit code {}", exit.code)),
        "FAILED" if reason.is_empty() => ("Failed", "accounting does not say how it ended".to_owned()),
        "FAILED" => (reason.as_str(), "it could not be run".to_owned()),
        "TIMEOUT" => ("TimeLimit", "its time limit was reached".to_owned()),
        "OUT_OF_MEMORY" => (
            "OutOfMemory",
            "it used more memory than it had asked for".to_owned(),
        ),
        "NODE_FAIL" => ("NodeFail", "its node failed".to_owned()),
        "BOOT_FAIL" => ("BootFail", "its node did not boot".to_owned()),
        "PREEMPTED" => ("Preempted", "another job took its place".to_owned()),
        "DEADLINE" => ("Deadline", "its deadline passed".to_owned()),
        other => (other, "it failed".to_owned()),
    };
    let told = if reason.is_empty() || reason == "None" || reason == code {
        state.clone()
    } else {
        format!("{state}, {reason}")
    };
    Some(Trouble {
        reason: code.to_owned(),
        message: format!("{who}{words} ({told})"),
    })
}

/// What keeps its replicas from running, or made them fail.
fn trouble(array: &Array, tally: &Tally, end: &Option<End>) -> Option<Trouble> {
    if let Some(End::Failed(trouble)) = end {
        return Some(trouble.clone());
    }
    if tally.trouble.is_some() {
        return tally.trouble.clone();
    }
    queued(array)
}

/// Why what of it waits does.
pub(super) fn queued(array: &Array) -> Option<Trouble> {
    let rest = array
        .rest
        .as_ref()
        .filter(|rest| (rest.doing == Doing::Waiting && !rest.held) || rest.reason == UNCLEAR)?;
    if matches!(rest.reason.as_str(), "" | "None") {
        return None;
    }
    let message = if rest.description.is_empty() {
        format!("waits in Slurm's queue: {}", rest.reason)
    } else {
        rest.description.clone()
    };
    Some(Trouble {
        reason: rest.reason.clone(),
        message,
    })
}

#[cfg(test)]
mod tests;
