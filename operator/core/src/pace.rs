//! When a changed status is worth a write. What users act on is written at once; counts that are still moving wait
//! until they have settled; a queue message changes at most once a minute. The last state is always written.

use crate::job::{Phase, Status};

/// Milliseconds on some monotonic clock.
pub type Millis = u64;

/// At most one write per object in this time.
const LEAST_APART: Millis = 1_000;
/// Trouble that holds this long is worth showing; most of what a starting pod says does not.
const SETTLED: Millis = 3_000;
/// A running state that holds this long is worth showing; a shorter one gives way to the result.
const RUNNING: Millis = 5_000;
/// While some replicas are still to start, or all have ended and the result is due, it is shown after this long.
const TURNING: Millis = 10_000;
/// Between two writes that only move counts.
const COUNTS_APART: Millis = 30_000;
/// Between two writes that only change why a workload waits.
const WAITING_APART: Millis = 60_000;

/// What is remembered about an object's writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Last write, if there was one.
    pub written: Option<Millis>,
    /// When the wanted status last changed.
    pub changed: Millis,
    /// When the wanted status first differed from the stored one.
    pub differs_since: Millis,
}

/// How urgent a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Placed, ended, refused, suspended, being deleted, a new generation.
    News,
    /// Something keeps replicas from running.
    Trouble,
    /// Replicas started running.
    Running,
    /// Counts within a phase.
    Counts,
    /// Why it waits.
    Waiting,
}

/// Whether the replicas are between two states: some are still to start, or all have ended and the result is due.
#[must_use]
pub fn turning(wanted: &Status) -> bool {
    wanted.totals.counts.pending > 0 || wanted.totals.counts.running == 0
}

/// When to write, `None` at once: milliseconds from `now`. `turning` as above.
#[must_use]
pub fn delay(urgency: Urgency, turning: bool, times: Times, now: Millis) -> Option<Millis> {
    let after = |from: Millis, wait: Millis| from.saturating_add(wait);
    let apart = |wait: Millis| times.written.map_or(0, |written| after(written, wait));
    let settled = after(times.changed, SETTLED);
    let due = match urgency {
        Urgency::News => 0,
        Urgency::Trouble => settled.min(after(times.differs_since, TURNING)),
        Urgency::Running if turning => after(times.differs_since, TURNING),
        Urgency::Running => after(times.changed, RUNNING).min(after(times.differs_since, TURNING)),
        Urgency::Counts => settled
            .max(apart(COUNTS_APART))
            .min(after(times.differs_since, 2 * COUNTS_APART)),
        Urgency::Waiting => apart(WAITING_APART),
    };
    let due = due.max(apart(LEAST_APART));
    (due > now).then(|| due - now)
}

/// How urgent it is to replace `stored` by `wanted`; `None` when they are equal in all that is shown.
#[must_use]
pub fn urgency(stored: &Status, wanted: &Status) -> Option<Urgency> {
    if stored == wanted {
        return None;
    }
    let settled = |status: &Status| {
        let facts = status
            .conditions
            .iter()
            .filter(|condition| condition.kind != "Reconciling");
        facts
            .map(|condition| (condition.kind, condition.status, condition.reason.clone()))
            .collect::<Vec<_>>()
    };
    let moving = |phase: Phase| matches!(phase, Phase::Pending | Phase::Running | Phase::Unknown);
    let troubles = |status: &Status| {
        let reasons = status.clusters.iter().filter_map(|cluster| {
            cluster
                .trouble
                .as_ref()
                .map(|trouble| (cluster.cluster.clone(), trouble.reason.clone()))
        });
        reasons.collect::<Vec<_>>()
    };
    let turned = stored.phase != wanted.phase && !(moving(stored.phase) && moving(wanted.phase));
    let respecified = stored.generation != wanted.generation;
    let answered = stored
        .conditions
        .iter()
        .any(|condition| condition.kind == "Scheduled");
    let waits = stored.phase == Phase::Queued && wanted.phase == Phase::Queued;
    let moved = match (&stored.placement, &wanted.placement) {
        (Some(stored), Some(wanted)) => !stored.is_like(wanted),
        (stored, wanted) => stored.is_some() != wanted.is_some(),
    };
    let moved = moved || stored.evictions != wanted.evictions || stored.cool_downs != wanted.cool_downs;
    if !respecified && answered && waits && !moved {
        let changed = settled(stored) != settled(wanted) || reasons(stored) != reasons(wanted);
        return changed.then_some(Urgency::Waiting);
    }
    if respecified || settled(stored) != settled(wanted) || moved || turned {
        Some(Urgency::News)
    } else if troubles(stored) != troubles(wanted) {
        Some(Urgency::Trouble)
    } else if wanted.phase == Phase::Queued {
        (reasons(stored) != reasons(wanted)).then_some(Urgency::Waiting)
    } else if stored.phase != wanted.phase {
        Some(Urgency::Running)
    } else if stored.totals != wanted.totals || stored.clusters != wanted.clusters {
        Some(Urgency::Counts)
    } else if stored.runs != wanted.runs || stored.completion != wanted.completion {
        Some(Urgency::News)
    } else {
        // Some replicas wait while others run.
        (reasons(stored) != reasons(wanted)).then_some(Urgency::Waiting)
    }
}

/// The set of reasons of a diagnosis, without amounts.
fn reasons(status: &Status) -> Vec<(&str, &str)> {
    status
        .diagnosis
        .iter()
        .map(|(cluster, reason, _)| (cluster.as_str(), reason.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_written_at_once_but_a_second_after_the_last_write() {
        let times = Times::default();
        assert_eq!(delay(Urgency::News, false, times, 5_000), None);
        let just = Times {
            written: Some(4_800),
            ..times
        };
        assert_eq!(delay(Urgency::News, false, just, 5_000), Some(800));
    }

    #[test]
    fn a_short_running_state_is_not_worth_a_write() {
        let times = Times {
            written: Some(0),
            changed: 5_000,
            differs_since: 5_000,
        };
        assert_eq!(delay(Urgency::Running, false, times, 6_000), Some(4_000));
        assert_eq!(delay(Urgency::Running, false, times, 10_000), None);
        assert_eq!(delay(Urgency::Running, true, times, 10_000), Some(5_000));
    }

    #[test]
    fn a_flapping_count_is_written_in_the_end() {
        let times = Times {
            written: Some(0),
            changed: 99_999,
            differs_since: 40_000,
        };
        assert_eq!(delay(Urgency::Counts, false, times, 100_000), None);
    }

    #[test]
    fn a_queue_message_changes_once_a_minute() {
        let times = Times {
            written: Some(0),
            changed: 1_000,
            differs_since: 1_000,
        };
        assert_eq!(delay(Urgency::Waiting, false, times, 2_000), Some(58_000));
    }
}
