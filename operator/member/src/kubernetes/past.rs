//! What is remembered of a Job's pods when they are gone: whether one has started, which indexes succeeded, how many
//! there were. Pure; fed by `cache`, read by `observe`.
//!
//! While a Job runs, each pod that ends is counted in its status, by a finalizer. A Job that is suspended has its pods
//! deleted uncounted: what they have done shows in their last state alone, and only to who was watching then.

use std::collections::BTreeSet;

use sky_core::observation::Started;

use super::observe::JobRow;
use super::pod::{Phase, Pod};

/// What one Job's pods have been seen to do, whatever has become of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// Whether one has started.
    pub(super) started: Started,
    /// Indexes of those that succeeded.
    pub(super) done: BTreeSet<u32>,
    /// Pods that are gone and that their node had turned away: the Job counts them as failed.
    pub(super) turned_away: i64,
    /// Whether the Job itself has been seen.
    sighted: bool,
    /// The generation of the Job in which nothing of it was left to run.
    at_rest: Option<i64>,
    /// Pods heard of since it was last at rest.
    seen: i64,
    /// The most pods that the Job controller has counted at one time since then.
    counted: i64,
}

impl Past {
    /// A pod is heard of for the first time.
    pub(super) fn came(&mut self) {
        self.seen += 1;
    }

    /// The Job says so of itself.
    pub(super) fn told(&mut self, job: &JobRow) {
        self.counted = self.counted.max(job.counted);
    }

    /// Pods that the Job controller has counted and that were not heard of. The two are watched separately, and one watch
    /// may run ahead of the other: a Job can show that nothing is left of pods whose start is still to be told.
    pub(super) fn unheard(&self) -> i64 {
        (self.counted - self.seen).max(0)
    }

    /// A pod is as `pod`.
    pub(super) fn present(&mut self, pod: &Pod) {
        let started = if pod.started { Started::Yes } else { Started::No };
        self.learn(pod, started);
    }

    /// A pod is gone, and was last as `pod`.
    pub(super) fn gone(&mut self, pod: &Pod) {
        self.turned_away += i64::from(pod.turned_away);
        self.learn(pod, pod.had_started());
    }

    /// A pod is gone, and was once as `pod`.
    pub(super) fn vanished(&mut self, pod: &Pod) {
        self.turned_away += i64::from(pod.turned_away);
        self.learn(pod, pod.may_have_started());
    }

    fn learn(&mut self, pod: &Pod, started: Started) {
        self.started = self.started.or(started);
        if pod.phase == Phase::Succeeded {
            self.done
                .extend(pod.index.and_then(|index| u32::try_from(index).ok()));
        }
    }

    /// The Job is seen, as `job`, for the first time or after nothing was heard of pods for a while.
    ///
    /// If it may have been suspended meanwhile, pods may have come, started and gone unseen and uncounted. That is not so
    /// when it has been at rest since before. (Neither its start time nor a condition tells: the Job controller clears
    /// the one when it suspends, and sets the other on a Job that was created suspended too.)
    pub(super) fn sight(&mut self, job: &JobRow) {
        self.sighted = true;
        if !job.counts_all_its_pods() && self.at_rest != Some(job.generation) {
            self.started = self.started.or(Started::Unknown);
        }
    }

    /// As `sight`, for a Job that was not seen yet.
    pub(super) fn sight_first(&mut self, job: &JobRow) {
        if !self.sighted {
            self.sight(job);
        }
    }

    /// Nothing is heard of the Job for a while.
    pub(super) fn lose_sight(&mut self) {
        self.sighted = false;
    }

    /// Nothing is left of `job` that runs or may run: whatever happens next, it begins with a change of the Job. Who is
    /// unheard of by now never will be.
    pub(super) fn rest(&mut self, job: &JobRow) {
        if self.unheard() > 0 {
            self.started = self.started.or(Started::Unknown);
        }
        self.at_rest = Some(job.generation);
        (self.seen, self.counted) = (0, 0);
    }
}
