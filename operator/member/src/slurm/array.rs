//! Arrays as slurmctld lists them, put together from the records of their tasks. Pure; read by `observe` and `dispatch`.

use std::collections::BTreeMap;

use sky_core::Seconds;
use sky_core::share::ShareKey;

use super::comment::Comment;
use super::dialect::{Exit, JobRecord};

/// What a task, or all that wait together, is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Not started, or sent back to the queue.
    Waiting,
    /// Started, or coming to its end.
    Running,
    Succeeded,
    /// Ended otherwise: Slurm's state, its reason, how the script ended.
    Failed(String, String, Exit),
    Cancelled,
}

impl Doing {
    /// What a record of this state says. A state may come with flags; while one of them is COMPLETING, it is not over.
    pub(super) fn of(state: &[String], reason: &str, exit: Exit) -> Self {
        let has = |names: &[&str]| state.iter().any(|word| names.contains(&word.as_str()));
        let first = state.first().cloned().unwrap_or_default();
        if has(&["COMPLETING", "STAGE_OUT", "SIGNALING"]) {
            Self::Running
        } else if has(&[
            "REQUEUED",
            "REQUEUE_HOLD",
            "SPECIAL_EXIT",
            "CONFIGURING",
            "PENDING",
        ]) {
            Self::Waiting
        } else if has(&["RUNNING", "SUSPENDED", "STOPPED", "RESIZING"]) {
            Self::Running
        } else if has(&["COMPLETED"]) {
            Self::Succeeded
        } else if has(&["CANCELLED"]) {
            Self::Cancelled
        } else {
            Self::Failed(first, reason.to_owned(), exit)
        }
    }

    pub(super) fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// One task that has a record of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) doing: Doing,
    /// Whether it was ever on a node.
    pub(super) started: bool,
    /// When it was last started, by Slurm's clock.
    pub(super) start: Option<Seconds>,
    /// For how many seconds it ran then, once it is over.
    pub(super) ran: Option<Seconds>,
}

/// Tasks without records of their own: they wait, or were ended while they did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) doing: Doing,
    /// Held by its user: priority 0, and not by an administrator.
    pub(super) held: bool,
    /// Why it waits, as Slurm says.
    pub(super) reason: String,
    pub(super) description: String,
}

/// An array of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Array {
    pub(super) id: i64,
    pub(super) key: ShareKey,
    pub(super) comment: Comment,
    pub(super) tasks: BTreeMap<u32, Replica>,
    pub(super) rest: Option<Rest>,
}

impl Array {
    /// What tells it from any other, also from one that is given its id later.
    pub(super) fn instance(&self) -> String {
        format!("{}/{}", self.id, self.comment.nonce)
    }

    /// Whether nothing of it runs or waits any more.
    pub(super) fn is_over(&self) -> bool {
        let tasks = self.tasks.values().all(|task| task.doing.is_over());
        tasks && self.rest.as_ref().is_none_or(|rest| rest.doing.is_over())
    }

    pub(super) fn has_started(&self) -> bool {
        self.tasks.values().any(|task| task.started)
    }

    /// Its only task, where it has one that has started.
    pub(super) fn sole(&self) -> Option<&Replica> {
        self.tasks.values().next()
    }

    /// What its only task is doing.
    pub(super) fn doing(&self) -> Option<&Doing> {
        let rest = self.rest.as_ref().map(|rest| &rest.doing);
        self.sole().map(|task| &task.doing).or(rest)
    }

    /// Whether what of it has not started is held back.
    pub(super) fn is_held(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.held)
    }

    /// Cancelled by somebody else before anything of it had started: as if it had been deleted.
    pub(super) fn was_deleted(&self) -> bool {
        let rest = self
            .rest
            .as_ref()
            .is_some_and(|rest| rest.doing == Doing::Cancelled);
        let tasks = |task: &Replica| task.doing == Doing::Cancelled && !task.started;
        (rest || !self.tasks.is_empty()) && self.tasks.values().all(tasks) && self.rest_is(rest)
    }

    fn rest_is(&self, cancelled: bool) -> bool {
        cancelled || self.rest.is_none()
    }
}

/// What one list says about the jobs of our user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Arrays with a comment of ours, whichever host wrote it.
    pub(super) arrays: Vec<Array>,
    /// Names of jobs without, which are not over.
    pub(super) foreign: Vec<String>,
    /// ClusterName, when there is any job to tell it.
    pub(super) cluster: Option<String>,
}

/// Sorts `records` into arrays of `user`.
pub(super) fn sort(records: &[JobRecord], user: &str) -> Listed {
    let mut arrays: BTreeMap<(i64, String), Array> = BTreeMap::new();
    let mut foreign = Vec::new();
    for record in records.iter().filter(|record| record.user_name == user) {
        let doing = Doing::of(&record.job_state, &record.state_reason, record.exit_code);
        let Some(comment) = Comment::read(&record.comment) else {
            if !doing.is_over() {
                foreign.push(record.name.clone());
            }
            continue;
        };
        let own = record.job_id.unwrap_or(0);
        let id = record.array_job_id.filter(|id| *id > 0).unwrap_or(own);
        let array = arrays
            .entry((id, comment.nonce.clone()))
            .or_insert_with(|| Array {
                id,
                key: comment.key(&record.name),
                comment: comment.clone(),
                tasks: BTreeMap::new(),
                rest: None,
            });
        let index = record.array_task_id.and_then(|index| u32::try_from(index).ok());
        // What is over keeps the comment that it had: the latest meaning is that of what is not.
        if !doing.is_over() {
            array.comment = comment;
        }
        match index {
            Some(index) => {
                let ran = !record.batch_host.is_empty() && doing != Doing::Waiting;
                let started = ran || record.restart_cnt.unwrap_or(0) > 0;
                let start = record.start_time.filter(|_| started);
                let end = record.end_time.filter(|_| doing.is_over());
                let replica = Replica {
                    doing,
                    started,
                    start,
                    ran: start.zip(end).map(|(start, end)| end.saturating_sub(start)),
                };
                array.tasks.insert(index, replica);
            }
            None => {
                let held = record.priority == Some(0) && record.state_reason == "JobHeldUser";
                array.rest = Some(Rest {
                    held: held && doing == Doing::Waiting,
                    doing,
                    reason: record.state_reason.clone(),
                    description: record.state_description.clone(),
                });
            }
        }
    }
    let named = records.iter().map(|record| &record.cluster);
    Listed {
        arrays: arrays.into_values().collect(),
        foreign,
        cluster: named.filter(|name| !name.is_empty()).min().cloned(),
    }
}

#[cfg(test)]
mod tests;
