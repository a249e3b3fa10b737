//! Reads what a share is doing out of its Job and pods. Pure; fed by `cache`.

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use sky_core::Seconds;
use sky_core::observation::{Counts, End, Observation, Started, Trouble};
use sky_core::ranks::Ranks;
use sky_core::share::{ShareKey, Stamp};

use super::past::Past;
use super::pod::{Phase, Pod};
use super::stamp;

/// What is kept of a Job of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow {
    stamp: Stamp,
    /// Its uid.
    pub(super) instance: String,
    /// Its resourceVersion, which grows with every change of anything on the member.
    pub(super) version: u64,
    /// Counts the changes of its spec, from 1.
    pub(super) generation: i64,
    replicas: i64,
    succeeded: i64,
    done: Ranks,
    failed: i64,
    failed_indexes: i64,
    /// Pods that run or are on their way out, as the Job controller counted them last.
    pub(super) counted: i64,
    suspended: bool,
    /// The Job controller has seen that it is suspended, and deleted what there was.
    held: bool,
    tombstone: Option<Seconds>,
    deleting: bool,
    end: Option<End>,
}

impl JobRow {
    /// Whether each pod that is gone is counted in its status: it was never suspended after it could run.
    ///
    /// A suspended Job of generation 1 was created so. One of generation 2 that is not suspended was either created
    /// suspended and resumed, or never suspended.
    pub(super) fn counts_all_its_pods(&self) -> bool {
        if self.suspended {
            self.generation == 1
        } else {
            (1..=2).contains(&self.generation)
        }
    }

    /// Whether the Job controller may not know yet that it must create no pods: it may be creating some.
    fn may_create_pods(&self) -> bool {
        !self.held && self.generation != 1
    }
}

/// Keeps what we need of `job`; `None` when its stamp is not readable.
pub(super) fn trim(job: &Job) -> Option<JobRow> {
    let stamp = stamp::read(job)?;
    let spec = job.spec.as_ref()?;
    let status = job.status.clone().unwrap_or_default();
    let indexes = |text: &Option<String>| -> Ranks {
        let read = text.as_deref().and_then(|text| text.parse().ok());
        read.unwrap_or_default()
    };
    let count = |count: Option<i32>| i64::from(count.unwrap_or(0));
    Some(JobRow {
        stamp,
        instance: job.metadata.uid.clone().unwrap_or_default(),
        version: version(job.metadata.resource_version.as_deref()),
        generation: job.metadata.generation.unwrap_or(0),
        replicas: i64::from(spec.completions.unwrap_or(1)),
        succeeded: count(status.succeeded),
        done: indexes(&status.completed_indexes),
        failed: count(status.failed),
        failed_indexes: indexes(&status.failed_indexes).count(),
        counted: count(status.active) + count(status.terminating),
        suspended: spec.suspend.unwrap_or(false),
        held: holds(&status, "Suspended").is_some(),
        tombstone: stamp::tombstone(job),
        deleting: job.metadata.deletion_timestamp.is_some(),
        end: end(&status),
    })
}

/// A resourceVersion as a number, by which changes of pods and of Jobs can be put in order: both are kept in one store.
/// What is no number comes before everything.
pub(super) fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Reason and message of the condition, when it is True.
pub(super) fn holds(status: &JobStatus, kind: &str) -> Option<Trouble> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| condition.type_ == kind && condition.status == "True")?;
    Some(Trouble {
        reason: condition.reason.clone().unwrap_or_else(|| kind.into()),
        message: condition.message.clone().unwrap_or_default(),
    })
}

/// How the Job ended, if it did.
pub(super) fn end(status: &JobStatus) -> Option<End> {
    match holds(status, "Complete") {
        Some(_) => Some(End::Complete),
        None => holds(status, "Failed").map(End::Failed),
    }
}

/// What is remembered of the pods of a Job, and up to which version pods were heard of at all.
#[derive(Clone, Copy)]
pub(super) struct Memory<'p> {
    pub(super) past: &'p Past,
    pub(super) heard_to: u64,
}

impl Memory<'_> {
    /// Whether pods of `job` are still to be heard of that it shows as gone.
    fn is_behind(self, job: &JobRow) -> bool {
        job.suspended && self.past.unheard() > 0 && self.heard_to < job.version
    }

    fn started(self, job: &JobRow) -> Started {
        let missed = job.suspended && self.past.unheard() > 0 && !self.is_behind(job);
        self.past
            .started
            .or(if missed { Started::Unknown } else { Started::No })
    }
}

/// How it is with the rest of a Job that is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// Something of it runs, or may.
    No,
    /// As `No`, until pods are heard of up to the Job's version: it is not told again by itself.
    Behind,
    /// Nothing of it runs, nor will before it is changed.
    Yes,
}

/// Whether nothing of `job` is left that runs or may run.
pub(super) fn rest<'p>(job: &JobRow, pods: impl Iterator<Item = &'p Pod>, memory: Memory<'_>) -> Rest {
    match (memory.is_behind(job), active(job, pods, memory)) {
        (true, _) => Rest::Behind,
        (false, 0) if job.suspended => Rest::Yes,
        (false, _) => Rest::No,
    }
}

/// Pods that take room, also those on their way out. Of a Job that is held back, those too that we have not heard of: as
/// its controller counts them, or while it may still create some, every replica that has not ended.
fn active<'p>(job: &JobRow, pods: impl Iterator<Item = &'p Pod>, memory: Memory<'_>) -> i64 {
    let present = number(pods.filter(|pod| pod.takes_room()));
    if !job.suspended || job.deleting || job.end.is_some() {
        return present;
    }
    if job.may_create_pods() {
        return present.max(job.replicas - job.succeeded);
    }
    let unheard = if memory.is_behind(job) {
        memory.past.unheard()
    } else {
        0
    };
    job.counted.max(present + unheard)
}

fn number<T>(of: impl Iterator<Item = T>) -> i64 {
    i64::try_from(of.count()).unwrap_or(i64::MAX)
}

/// What the share of `job` is doing, by its Job, its pods, what is remembered of those that are gone, and the last
/// failure to create one.
pub(super) fn observe<'p>(
    key: &ShareKey,
    job: &JobRow,
    pods: impl Iterator<Item = &'p Pod> + Clone,
    memory: Memory<'_>,
    create_failure: Option<&Trouble>,
) -> Observation {
    let in_phase = |wanted: Phase| {
        let mut indexes: Vec<Option<i64>> = pods
            .clone()
            .filter(|pod| pod.phase == wanted)
            .map(|pod| pod.index)
            .collect();
        indexes.sort_unstable();
        indexes.dedup();
        number(indexes.iter())
    };
    let done = done(job, pods.clone(), memory.past);
    let succeeded = job.succeeded.max(done.count()).min(job.replicas);
    let left = job.replicas - succeeded;
    let failed = if matches!(job.end, Some(End::Failed(_))) {
        left
    } else {
        job.failed_indexes.min(left)
    };
    let running = in_phase(Phase::Running).min(left - failed);
    let pending = left - failed - running;
    let on_node = number(pods.clone().filter(|pod| pod.takes_room() && pod.node.is_some()));
    let needs_no_room = job.end.is_some() || job.deleting || job.suspended;
    let settled = if needs_no_room {
        job.replicas
    } else {
        (succeeded + failed + on_node).min(job.replicas)
    };
    // Failures that no node explains by having turned a pod away: something ran.
    let turned_away = memory.past.turned_away + number(pods.clone().filter(|pod| pod.turned_away));
    let started = job.succeeded > 0
        || job.failed.max(job.failed_indexes) > turned_away
        || pods.clone().any(|pod| pod.started);
    let missing = pods.clone().filter(|pod| pod.takes_room()).count() == 0 && pending > 0;
    let trouble = trouble(job, pods.clone(), create_failure.filter(|_| missing));
    Observation {
        key: key.clone(),
        stamp: job.stamp.clone(),
        instance: job.instance.clone(),
        replicas: job.replicas,
        counts: Counts {
            pending,
            running,
            succeeded,
            failed,
        },
        settled,
        started: memory
            .started(job)
            .or(if started { Started::Yes } else { Started::No }),
        done,
        active: active(job, pods.clone(), memory),
        confirm: None,
        suspended: job.suspended,
        tombstone: job.tombstone,
        deleting: job.deleting,
        end: ended(job, pods),
        trouble,
        rollout: None,
    }
}

/// Indexes that succeeded: as the Job counts them, and as pods show that it has not counted yet, or never will because
/// they succeeded while they were being deleted.
fn done<'p>(job: &JobRow, pods: impl Iterator<Item = &'p Pod>, past: &Past) -> Ranks {
    let succeeded = pods.filter(|pod| pod.phase == Phase::Succeeded);
    let seen = succeeded.filter_map(|pod| u32::try_from(pod.index?).ok());
    let mut more = seen.chain(past.done.iter().copied()).peekable();
    if more.peek().is_none() {
        return job.done.clone();
    }
    job.done.iter().chain(more).collect()
}

/// The Job's end, a failure with the words of the replica that failed.
fn ended<'p>(job: &JobRow, pods: impl Iterator<Item = &'p Pod>) -> Option<End> {
    match job.end.as_ref()? {
        End::Complete => Some(End::Complete),
        End::Failed(trouble) => {
            let mut trouble = trouble.clone();
            let failed = pods.into_iter().filter(|pod| pod.phase == Phase::Failed);
            let caused = failed.filter_map(|pod| Some((pod, pod.trouble.as_ref()?)));
            // Not one of those that were stopped because another had failed.
            if let Some((pod, cause)) = caused.min_by_key(|(pod, _)| (pod.deleting, pod.index)) {
                let which = pod.index.map_or_else(String::new, |index| format!(" {index}"));
                let words = format!("replica with index{which}: {} ({})", cause.reason, cause.message);
                trouble.message = format!("{words}; {}", trouble.message);
            }
            Some(End::Failed(trouble))
        }
    }
}

/// In this order: the Job's end, a failure to create pods, not schedulable, a container's reason. A tombstone wants
/// nothing, so nothing keeps it from it.
fn trouble<'p>(
    job: &JobRow,
    pods: impl Iterator<Item = &'p Pod>,
    create_failure: Option<&Trouble>,
) -> Option<Trouble> {
    if job.tombstone.is_some() {
        return None;
    }
    match (&job.end, create_failure) {
        (Some(End::Complete), _) => return None,
        (Some(End::Failed(trouble)), _) | (None, Some(trouble)) => return Some(trouble.clone()),
        (None, None) => {}
    }
    say(pods)
}

/// What keeps pods from running, one for all.
pub(super) fn say<'p>(pods: impl Iterator<Item = &'p Pod>) -> Option<Trouble> {
    let mut troubles: Vec<&Trouble> = pods
        .filter(|pod| pod.takes_room())
        .filter_map(|pod| pod.trouble.as_ref())
        .collect();
    // Equal words first, so that the order of pods does not show.
    troubles.sort_by_key(|trouble| {
        (
            trouble.reason != "Unschedulable",
            &trouble.reason,
            &trouble.message,
        )
    });
    troubles.first().map(|trouble| (*trouble).clone())
}

#[cfg(test)]
mod tests;
