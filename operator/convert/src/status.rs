//! The status of a SkyJob between core and the API: worded by core, stored with times of transitions.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition as ApiCondition, Time};
use sky_core::Seconds;
use sky_core::job::{ClusterStatus, Condition, Phase, Run, Status, Totals};
use sky_core::observation::{Counts, Trouble};
use sky_crds::SkyJobStatus;
use sky_crds::bounds::MAX_SUMMARY;
use sky_crds::job::Run as ApiRun;
use sky_crds::status::{ClusterCounts, ClusterDiagnosis, Totals as ApiTotals};

use crate::{eviction, placement};

/// Longest message of a condition that is written, in characters.
pub(crate) const LONGEST_MESSAGE: usize = 1024;

/// The API's status for `wanted`: what `stored` has and we do not decide here is kept, conditions keep the time of
/// their last transition.
#[must_use]
pub fn to_api(wanted: &Status, stored: &SkyJobStatus, now: Timestamp) -> SkyJobStatus {
    SkyJobStatus {
        observed_generation: Some(wanted.generation),
        phase: Some(wanted.phase.as_str().into()),
        conditions: wanted
            .conditions
            .iter()
            .map(|c| condition(c, wanted.generation, &stored.conditions, now))
            .collect(),
        placement: wanted.placement.as_ref().map(placement::to_api),
        clusters: wanted.clusters.iter().map(cluster_to_api).collect(),
        totals: Some(totals_to_api(wanted)),
        summary: wanted
            .placement
            .as_ref()
            .map(|placement| cut(&placement.summary(), MAX_SUMMARY))
            .filter(|s| !s.is_empty()),
        diagnosis: diagnosis_to_api(&wanted.diagnosis),
        cool_downs: wanted
            .cool_downs
            .iter()
            .filter_map(eviction::cool_down_to_api)
            .collect(),
        evictions: wanted.evictions.iter().filter_map(eviction::to_api).collect(),
        runs: wanted.runs.iter().map(run_to_api).collect(),
        retry: wanted.retry.clone(),
        start_time: wanted.start.and_then(time),
        completion_time: wanted.completion.and_then(time),
    }
}

/// What is stored, in core's words; `None` when nothing was written yet.
#[must_use]
pub fn from_api(stored: &SkyJobStatus) -> Option<Status> {
    let generation = stored.observed_generation.filter(|generation| *generation >= 0)?;
    let totals = stored.totals.clone().unwrap_or_default();
    Some(Status {
        generation,
        phase: phase(stored.phase.as_deref().unwrap_or_default()),
        conditions: stored.conditions.iter().filter_map(condition_from_api).collect(),
        placement: stored.placement.as_ref().map(placement::from_api),
        clusters: stored.clusters.iter().map(cluster_from_api).collect(),
        totals: Totals {
            replicas: totals.replicas,
            counts: Counts {
                pending: totals.pending,
                running: totals.running,
                succeeded: totals.succeeded,
                failed: totals.failed,
            },
            unknown: totals.unknown,
        },
        diagnosis: stored.diagnosis.iter().map(diagnosis_from_api).collect(),
        evictions: stored.evictions.iter().map(eviction::from_api).collect(),
        cool_downs: stored
            .cool_downs
            .iter()
            .map(eviction::cool_down_from_api)
            .collect(),
        runs: stored.runs.iter().map(run).collect(),
        retry: stored.retry.clone(),
        start: stored.start_time.as_ref().map(|time| time.0.as_second()),
        completion: stored.completion_time.as_ref().map(|time| time.0.as_second()),
    })
}

/// A condition of the API that keeps its transition time while its status stays.
#[must_use]
pub fn transition(
    kind: &str,
    status: bool,
    words: (&str, &str),
    generation: i64,
    stored: &[ApiCondition],
    now: Timestamp,
) -> ApiCondition {
    let status = if status { "True" } else { "False" };
    let before = stored
        .iter()
        .find(|known| known.type_ == kind && known.status == status);
    ApiCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: code(words.0),
        message: cut(words.1, LONGEST_MESSAGE),
        observed_generation: Some(generation),
        last_transition_time: before.map_or(Time(now), |known| known.last_transition_time.clone()),
    }
}

/// A reason as the API takes it: letters and digits, a letter first. A member's own reason may be anything, and one
/// that is refused would cost the whole status.
pub(crate) fn code(reason: &str) -> String {
    let kept: String = reason
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(128)
        .collect();
    if kept.starts_with(|first: char| first.is_ascii_alphabetic()) {
        kept
    } else {
        format!("Reason{kept}")
    }
}

pub(crate) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn condition(wanted: &Condition, generation: i64, stored: &[ApiCondition], now: Timestamp) -> ApiCondition {
    transition(
        wanted.kind,
        wanted.status,
        (&wanted.reason, &wanted.message),
        generation,
        stored,
        now,
    )
}

fn condition_from_api(api: &ApiCondition) -> Option<Condition> {
    let kinds = [
        "Scheduled",
        "Reconciling",
        "Complete",
        "Failed",
        "Suspended",
        "Stalled",
    ];
    let kind = kinds.into_iter().find(|kind| *kind == api.type_)?;
    Some(Condition {
        kind,
        status: api.status == "True",
        reason: api.reason.clone(),
        message: api.message.clone(),
    })
}

fn phase(text: &str) -> Phase {
    let all = [
        Phase::Pending,
        Phase::Running,
        Phase::Suspended,
        Phase::Complete,
        Phase::Failed,
        Phase::Unknown,
        Phase::Invalid,
        Phase::Deleting,
    ];
    all.into_iter()
        .find(|phase| phase.as_str() == text)
        .unwrap_or_default()
}

pub(crate) fn time(seconds: Seconds) -> Option<Time> {
    Timestamp::from_second(seconds).ok().map(Time)
}

fn cluster_to_api(cluster: &ClusterStatus) -> ClusterCounts {
    ClusterCounts {
        cluster: cluster.cluster.clone(),
        replicas: cluster.replicas,
        pending: cluster.counts.pending,
        running: cluster.counts.running,
        succeeded: cluster.counts.succeeded,
        failed: cluster.counts.failed,
        unknown: cluster.unknown,
        ready: None,
        updated: None,
        available: None,
        reason: cluster.trouble.as_ref().map(|trouble| code(&trouble.reason)),
        message: cluster
            .trouble
            .as_ref()
            .map(|trouble| cut(&trouble.message, LONGEST_MESSAGE)),
    }
}

fn cluster_from_api(api: &ClusterCounts) -> ClusterStatus {
    let trouble = |reason: &String| Trouble {
        reason: reason.clone(),
        message: api.message.clone().unwrap_or_default(),
    };
    ClusterStatus {
        cluster: api.cluster.clone(),
        replicas: api.replicas,
        counts: Counts {
            pending: api.pending,
            running: api.running,
            succeeded: api.succeeded,
            failed: api.failed,
        },
        unknown: api.unknown,
        trouble: api.reason.as_ref().map(trouble),
    }
}

fn totals_to_api(wanted: &Status) -> ApiTotals {
    let totals = wanted.totals;
    ApiTotals {
        replicas: totals.replicas,
        pending: totals.counts.pending,
        running: totals.counts.running,
        succeeded: totals.counts.succeeded,
        failed: totals.counts.failed,
        unknown: totals.unknown,
    }
}

pub(crate) fn diagnosis_to_api(diagnosis: &[(String, String, String)]) -> Vec<ClusterDiagnosis> {
    let each = diagnosis
        .iter()
        .map(|(cluster, reason, message)| ClusterDiagnosis {
            cluster: cluster.clone(),
            reason: reason.clone(),
            message: Some(message.clone()),
        });
    each.collect()
}

pub(crate) fn diagnosis_from_api(api: &ClusterDiagnosis) -> (String, String, String) {
    (
        api.cluster.clone(),
        api.reason.clone(),
        api.message.clone().unwrap_or_default(),
    )
}

fn run_to_api(run: &Run) -> ApiRun {
    ApiRun {
        run_id: run.id.clone(),
        outcome: run.outcome.clone(),
        start_time: run.start.and_then(time),
        completion_time: run.completion.and_then(time),
    }
}

/// A stored run.
#[must_use]
pub fn run(api: &ApiRun) -> Run {
    Run {
        id: api.run_id.clone(),
        outcome: api.outcome.clone(),
        start: api.start_time.as_ref().map(|time| time.0.as_second()),
        completion: api.completion_time.as_ref().map(|time| time.0.as_second()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sky_core::eviction::{CoolDown, Eviction};

    fn sample() -> Status {
        Status {
            generation: 2,
            phase: Phase::Running,
            conditions: vec![Condition {
                kind: "Scheduled",
                status: true,
                reason: "Placed".into(),
                message: "placed on a:2".into(),
            }],
            placement: Some(sky_core::placement::Placement::of_all(1, &[("a".into(), 2)])),
            clusters: vec![ClusterStatus {
                cluster: "a".into(),
                replicas: 2,
                counts: Counts {
                    pending: 1,
                    running: 1,
                    succeeded: 0,
                    failed: 0,
                },
                unknown: 0,
                trouble: Some(Trouble {
                    reason: "Unschedulable".into(),
                    message: "0/1".into(),
                }),
            }],
            totals: Totals {
                replicas: 2,
                counts: Counts {
                    pending: 1,
                    running: 1,
                    succeeded: 0,
                    failed: 0,
                },
                unknown: 0,
            },
            diagnosis: vec![],
            evictions: vec![Eviction {
                cluster: "b".into(),
                replicas: 2,
                reason: "FilterPolicy".into(),
                message: "excluded by FilterPolicy p".into(),
                at: 5,
                attempt: 1,
            }],
            cool_downs: vec![CoolDown {
                cluster: "b".into(),
                until: 400,
                count: 1,
            }],
            runs: vec![Run {
                id: String::new(),
                outcome: "Running".into(),
                start: Some(7),
                completion: None,
            }],
            retry: Some("retry-1".into()),
            start: Some(7),
            completion: None,
        }
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let now = Timestamp::from_second(10).expect("a time");
        let api = to_api(&sample(), &SkyJobStatus::default(), now);
        assert_eq!(from_api(&api), Some(sample()));
        assert_eq!(api.summary.as_deref(), Some("a:2"));
    }

    #[test]
    fn a_condition_keeps_the_time_of_its_last_transition() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let first = to_api(&sample(), &SkyJobStatus::default(), at(10));
        let second = to_api(&sample(), &first, at(20));
        assert_eq!(second.conditions[0].last_transition_time, Time(at(10)));
        let mut turned = sample();
        turned.conditions[0].status = false;
        let third = to_api(&turned, &second, at(30));
        assert_eq!(third.conditions[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn a_members_own_reason_never_costs_the_status() {
        assert_eq!(code("ImagePullBackOff"), "ImagePullBackOff");
        assert_eq!(code("my reason: 7!"), "myreason7");
        assert_eq!(code("137"), "Reason137");
        assert_eq!(code(""), "Reason");
    }

    #[test]
    fn the_default_status_counts_as_nothing_written() {
        let default = SkyJobStatus {
            observed_generation: Some(-1),
            ..SkyJobStatus::default()
        };
        assert_eq!(from_api(&default), None);
    }
}
