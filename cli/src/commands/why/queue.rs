//! The place of a workload among those that wait, as the operator orders them. Pure.

use serde::Serialize;
use sky_core::{Seconds, queue};

use crate::subject::Subject;

/// Workloads ahead that are named at most.
const MOST_AHEAD: usize = 5;

/// A place in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// 1 is decided first.
    pub(super) position: usize,
    /// Workloads that wait, this one included.
    pub(super) of: usize,
    /// Those ahead, the first ones.
    pub(super) ahead: Vec<Ahead>,
}

/// A workload that is decided earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ahead {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) priority: i32,
    /// Replicas that wait.
    pub(super) replicas: i64,
}

/// The place of `subject` among `workloads` at `now`; `None` when it does not wait. What the operator has given up, or
/// cannot carry out, does not wait.
pub(super) fn place(subject: &Subject, workloads: &[Subject], now: Seconds) -> Option<Place> {
    let own = queue::key(&subject.asked(now)?);
    let others = workloads.iter().filter(|other| {
        let same =
            (other.kind, &other.namespace, &other.name) == (subject.kind, &subject.namespace, &subject.name);
        !same && !other.is_stalled()
    });
    let waiting: Vec<_> = others.filter_map(|other| other.asked(now)).collect();
    let mut ahead: Vec<_> = waiting
        .iter()
        .filter(|workload| queue::key(workload) < own)
        .collect();
    ahead.sort_by_cached_key(|workload| queue::key(workload));
    let named = ahead.iter().take(MOST_AHEAD).map(|workload| Ahead {
        kind: workload.kind.as_str(),
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        priority: workload.priority,
        replicas: workload.replicas,
    });
    Some(Place {
        position: ahead.len() + 1,
        of: waiting.len() + 1,
        ahead: named.collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::Kind;

    fn job(name: &str, priority: i32, created: &str, status: Value) -> Subject {
        let object = json!({"metadata": {"name": name, "creationTimestamp": created}, "spec": {"priority": priority},
            "status": status});
        Subject::read(Kind::Job, &object, "default").unwrap()
    }

    #[test]
    fn priority_goes_first_then_age_and_what_does_not_wait_is_not_counted() {
        let old = "2026-01-01T00:00:00Z";
        let new = "2026-01-02T00:00:00Z";
        let condition = |kind: &str, reason: &str| {
            json!({"conditions": [{"type": kind, "status": "True", "reason": reason, "message": "",
                "lastTransitionTime": old}]})
        };
        let own = job("own", 0, new, json!({}));
        let all = [
            job("young", 0, "2026-01-03T00:00:00Z", json!({})),
            own.clone(),
            job("old", 0, old, json!({})),
            job("large", 0, old, condition("Stalled", "TooLarge")),
            job("refused", 9, old, condition("Stalled", "NotSupported")),
            job("done", 9, old, condition("Complete", "Succeeded")),
            job("urgent", 9, new, json!({})),
        ];
        let place = place(&own, &all, 0).unwrap();
        let names: Vec<&str> = place.ahead.iter().map(|ahead| ahead.name.as_str()).collect();
        assert_eq!(names, ["urgent", "large", "old"]);
        assert_eq!((place.position, place.of), (4, 5));
    }

    #[test]
    fn at_most_five_are_named() {
        let own = job("z", 0, "2026-01-01T00:00:00Z", json!({}));
        let all: Vec<Subject> = (0..9)
            .map(|n| job(&format!("a{n}"), 1, "2026-01-01T00:00:00Z", json!({})))
            .collect();
        let place = place(&own, &all, 0).unwrap();
        assert_eq!((place.position, place.of, place.ahead.len()), (10, 10, 5));
    }
}
