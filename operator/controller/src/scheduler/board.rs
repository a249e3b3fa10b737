//! The board: workloads that wait, the last answer to each, and placements that are decided but not yet seen bound.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use sky_core::decision::{Decision, Outcome};
use sky_core::plugin::{Enabled, Refusal};
use sky_core::queue;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Workload, WorkloadRef};
use tokio::sync::Notify;

use super::round::Sources;
use crate::metrics;

/// A workload that waits, and the last answer to it.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// What waits.
    pub workload: Arc<Workload>,
    /// What was last decided.
    pub answer: Option<Arc<Decision>>,
}

/// Placements that are decided but not yet seen in the host's cache, by uid and the revision they were decided on. A
/// workload that is placed in parts may have several.
pub(super) type Assumed = BTreeMap<(String, i64), (Arc<Workload>, Arc<Decision>)>;

#[derive(Default)]
struct Slots {
    waiting: BTreeMap<String, Waiting>,
    assumed: Assumed,
}

/// The board.
#[derive(Default)]
pub struct Board {
    slots: Mutex<Slots>,
    wake: Notify,
    scheduler: RwLock<Arc<Scheduler>>,
}

impl Board {
    /// Something that a decision reads has changed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether a share of `workload` that is on `cluster` may stay there by these rules.
    ///
    /// # Errors
    /// The plugin that forbids it, and why.
    pub fn retain(
        &self,
        workload: &Workload,
        rules: &Snapshot,
        cluster: &str,
    ) -> Result<(), (Arc<str>, Refusal)> {
        self.scheduler().retain(workload, rules, cluster)
    }

    /// Decides with these plugins from now on, also what has an answer already.
    pub fn configure(&self, plugins: Vec<Enabled>) {
        let mut scheduler = self.scheduler.write().unwrap_or_else(PoisonError::into_inner);
        *scheduler = Arc::new(Scheduler::new(plugins));
        drop(scheduler);
        self.wake();
    }

    fn scheduler(&self) -> Arc<Scheduler> {
        self.scheduler
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Puts a workload on the board, or finds it there. Wakes when it is new or changed.
    pub fn submit(&self, workload: Workload) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let uid = workload.uid.clone();
        let waiting = slots.waiting.get(&uid).map(|waiting| &waiting.workload);
        let assumed = slots.assumed.get(&(uid.clone(), workload.revision));
        let assumed = assumed.map(|(workload, _)| workload);
        if waiting.or(assumed).is_some_and(|known| same(known, &workload)) {
            return;
        }
        // What was decided about an earlier spec is not bound to this one. What was bound before keeps its room.
        drop_from(&mut slots.assumed, &uid, workload.revision);
        slots.waiting.insert(
            uid,
            Waiting {
                workload: Arc::new(workload),
                answer: None,
            },
        );
        drop(slots);
        self.wake();
    }

    /// The last answer to just this workload; one to an earlier spec of it does not count.
    #[must_use]
    pub fn answer(&self, workload: &Workload) -> Option<Arc<Decision>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (workload.uid.clone(), workload.revision);
        if let Some((known, decision)) = slots.assumed.get(&key) {
            return same(known, workload).then(|| decision.clone());
        }
        let waiting = slots.waiting.get(&workload.uid)?;
        waiting
            .answer
            .clone()
            .filter(|_| same(&waiting.workload, workload))
    }

    /// Takes the workload off the board, and all room that is kept for it: it has ended, is gone or cannot be read.
    pub fn forget(&self, uid: &str) {
        self.settle(uid, 0);
    }

    /// The workload does not wait any more, and its record says this revision: an answer that was given on just that
    /// record is not going to be bound; one that was bound keeps its room until the host's cache shows it.
    pub fn settle(&self, uid: &str, revision: i64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = slots.waiting.remove(uid).is_some();
        let released = drop_from(&mut slots.assumed, uid, revision);
        drop(slots);
        if waited || released {
            self.wake();
        }
    }

    /// What waits, and the last answers.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.waiting.values().cloned().collect()
    }

    /// Replicas by cluster for which room is kept: bound, or about to be, and on no node yet.
    #[must_use]
    pub fn promised(&self, sources: &Sources) -> BTreeMap<String, i64> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        sources.drop_bound(&mut slots.assumed);
        sources.promised(&slots.assumed)
    }

    /// One round: decides everything that waits, in order. Answers the workloads whose answer changed.
    pub(super) fn decide(&self, sources: &Sources) -> Vec<WorkloadRef> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = &mut *slots;
        if slots.waiting.is_empty() {
            // Nothing to decide; what is bound is dropped so that it is not kept for ever.
            sources.drop_bound(&mut slots.assumed);
            return Vec::new();
        }
        let mut snapshot = sources.snapshot(&mut slots.assumed);
        let mut order: Vec<(String, Arc<Workload>)> = slots
            .waiting
            .iter()
            .map(|(uid, waiting)| (uid.clone(), waiting.workload.clone()))
            .collect();
        order.sort_by_cached_key(|(_, workload)| queue::key(workload));
        let scheduler = self.scheduler();
        let mut answered = Vec::new();
        let mut refused = Refused::default();
        for (uid, workload) in order {
            let decision = refused.find(&workload).unwrap_or_else(|| {
                let begun = Instant::now();
                let decision = Arc::new(scheduler.decide(&workload, &snapshot));
                metrics::attempted(&decision.outcome, begun.elapsed());
                refused.keep(&workload, &decision);
                decision
            });
            let Some(waiting) = slots.waiting.get_mut(&uid) else {
                continue;
            };
            if waiting.answer.as_ref() == Some(&decision) {
                continue;
            }
            waiting.answer = Some(decision.clone());
            answered.push(workload.reference());
            if let Outcome::Placed(parts) = &decision.outcome {
                for (cluster, count) in parts {
                    snapshot.reserve_for(cluster, &workload, *count);
                }
                slots.waiting.remove(&uid);
                slots
                    .assumed
                    .insert((uid, workload.revision), (workload, decision));
            }
        }
        answered
    }
}

/// Drops what was decided about this workload on a record of this revision or a later one; whether there was any.
fn drop_from(assumed: &mut Assumed, uid: &str, revision: i64) -> bool {
    let before = assumed.len();
    assumed.retain(|(id, of), _| id != uid || *of < revision);
    assumed.len() < before
}

/// Refusals of this round. Room only shrinks while it goes on, so that what had no place has none for its like either:
/// of a thousand jobs of one shape that wait, one is decided.
#[derive(Default)]
struct Refused(Vec<(Arc<Workload>, Arc<Decision>)>);

impl Refused {
    /// Shapes that are kept in mind at most: more would cost more than deciding anew.
    const MOST: usize = 32;

    fn find(&self, workload: &Workload) -> Option<Arc<Decision>> {
        let alike = |known: &Workload| known.namespace == workload.namespace && same(known, workload);
        let (_, decision) = self.0.iter().find(|(known, _)| alike(known))?;
        Some(decision.clone())
    }

    fn keep(&mut self, workload: &Arc<Workload>, decision: &Arc<Decision>) {
        if !matches!(decision.outcome, Outcome::Placed(_)) && self.0.len() < Self::MOST {
            self.0.push((workload.clone(), decision.clone()));
        }
    }
}

/// Whether a decision about one is a decision about the other.
fn same(a: &Workload, b: &Workload) -> bool {
    a.replicas == b.replicas
        && a.revision == b.revision
        && a.placed == b.placed
        && a.cooling.keys().eq(b.cooling.keys())
        && a.spread == b.spread
        && a.gang == b.gang
        && a.priority == b.priority
        && a.labels == b.labels
        && a.needs == b.needs
        && fingerprint(a) == fingerprint(b)
        && a.filters == b.filters
        && a.preferences == b.preferences
        && a.tolerations == b.tolerations
}

fn fingerprint(workload: &Workload) -> Option<&str> {
    let overrides = workload.overrides.as_deref();
    overrides.map(|overrides| overrides.fingerprint())
}

#[cfg(test)]
mod tests;
