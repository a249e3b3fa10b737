//! Reads what a share is doing out of its Job and pods. Pure; fed by `cache`.

use k8s_openapi::api::batch::v1::Job;
use sky_core::observation::{Counts, End, Observation, Trouble};
use sky_core::ranks::Ranks;
use sky_core::share::{ShareKey, Stamp};

use super::pod::{Phase, Pod};
use super::stamp;

/// What is kept of a Job of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobRow {
    stamp: Stamp,
    instance: String,
    replicas: i64,
    succeeded: i64,
    failed_indexes: i64,
    suspended: bool,
    deleting: bool,
    end: Option<End>,
}

/// Keeps what we need of `job`; `None` when its stamp is not readable.
pub(super) fn trim(job: &Job) -> Option<JobRow> {
    let stamp = stamp::read(job)?;
    let spec = job.spec.as_ref()?;
    let status = job.status.clone().unwrap_or_default();
    let failed_indexes = status
        .failed_indexes
        .as_deref()
        .and_then(|text| text.parse::<Ranks>().ok());
    let holds = |kind: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == kind && condition.status == "True")
    };
    let end = if holds("Complete").is_some() {
        Some(End::Complete)
    } else {
        holds("Failed").map(|condition| {
            End::Failed(Trouble {
                reason: condition.reason.clone().unwrap_or_else(|| "Failed".into()),
                message: condition.message.clone().unwrap_or_default(),
            })
        })
    };
    Some(JobRow {
        stamp,
        instance: job.metadata.uid.clone().unwrap_or_default(),
        replicas: i64::from(spec.completions.unwrap_or(1)),
        succeeded: i64::from(status.succeeded.unwrap_or(0)),
        failed_indexes: failed_indexes.map_or(0, |indexes| indexes.count()),
        suspended: spec.suspend.unwrap_or(false),
        deleting: job.metadata.deletion_timestamp.is_some(),
        end,
    })
}

/// What the share of `job` is doing, by its Job, its pods and the last failure to create one.
pub(super) fn observe<'p>(
    key: &ShareKey,
    job: &JobRow,
    pods: impl Iterator<Item = &'p Pod> + Clone,
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
        i64::try_from(indexes.len()).unwrap_or(i64::MAX)
    };
    let succeeded = job.succeeded.max(in_phase(Phase::Succeeded)).min(job.replicas);
    let left = job.replicas - succeeded;
    let failed = if matches!(job.end, Some(End::Failed(_))) {
        left
    } else {
        job.failed_indexes.min(left)
    };
    let running = in_phase(Phase::Running).min(left - failed);
    let pending = left - failed - running;
    let on_node = pods
        .clone()
        .filter(|pod| pod.takes_room() && pod.node.is_some())
        .count();
    let on_node = i64::try_from(on_node).unwrap_or(i64::MAX);
    let needs_no_room = job.end.is_some() || job.deleting || job.suspended;
    let settled = if needs_no_room {
        job.replicas
    } else {
        (succeeded + failed + on_node).min(job.replicas)
    };
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
        started: succeeded + job.failed_indexes > 0 || pods.clone().any(|pod| pod.started),
        suspended: job.suspended,
        deleting: job.deleting,
        end: ended(job, pods),
        trouble,
    }
}

/// The Job's end, a failure with the words of the replica that failed.
fn ended<'p>(job: &JobRow, pods: impl Iterator<Item = &'p Pod>) -> Option<End> {
    match job.end.as_ref()? {
        End::Complete => Some(End::Complete),
        End::Failed(trouble) => {
            let mut trouble = trouble.clone();
            let failed = pods.into_iter().filter(|pod| pod.phase == Phase::Failed);
            if let Some((pod, cause)) = failed.filter_map(|pod| Some((pod, pod.trouble.as_ref()?))).next() {
                let which = pod.index.map_or_else(String::new, |index| format!(" {index}"));
                let words = format!("replica with index{which}: {} ({})", cause.reason, cause.message);
                trouble.message = format!("{words}; {}", trouble.message);
            }
            Some(End::Failed(trouble))
        }
    }
}

/// In this order: the Job's end, a failure to create pods, not schedulable, a container's reason.
fn trouble<'p>(
    job: &JobRow,
    pods: impl Iterator<Item = &'p Pod>,
    create_failure: Option<&Trouble>,
) -> Option<Trouble> {
    match (&job.end, create_failure) {
        (Some(End::Complete), _) => return None,
        (Some(End::Failed(trouble)), _) | (None, Some(trouble)) => return Some(trouble.clone()),
        (None, None) => {}
    }
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
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use sky_core::resources::Resources;

    fn job(status: Value) -> JobRow {
        let annotations = json!({
            "skymanager.io/kind": "SkyJob", "skymanager.io/namespace": "n", "skymanager.io/name": "j",
            "skymanager.io/run": "", "skymanager.io/share-id": "1-0", "skymanager.io/attempt": "1",
            "skymanager.io/spec-hash": "h",
        });
        let labels = json!({"skymanager.io/origin": "o", "skymanager.io/uid": "u"});
        let metadata = json!({"name": "j-1", "uid": "x", "labels": labels, "annotations": annotations});
        let spec = json!({"completions": 2, "parallelism": 2, "template": {}});
        let job = json!({"metadata": metadata, "spec": spec, "status": status});
        trim(&serde_json::from_value(job).expect("a Job")).expect("our stamp")
    }

    fn pod(index: i64, phase: Phase, node: bool) -> Pod {
        Pod {
            node: node.then(|| "n".to_owned()),
            requests: Resources::default(),
            phase,
            started: phase != Phase::Pending,
            trouble: None,
            index: Some(index),
            deleting: false,
        }
    }

    fn see(job: &JobRow, pods: &[Pod]) -> Observation {
        observe(
            &ShareKey {
                namespace: "n".into(),
                object: "j-1".into(),
            },
            job,
            pods.iter(),
            None,
        )
    }

    #[test]
    fn replicas_without_a_node_still_need_their_reservation() {
        let seen = see(
            &job(json!({})),
            &[pod(0, Phase::Running, true), pod(1, Phase::Pending, false)],
        );
        assert_eq!(
            seen.counts,
            Counts {
                pending: 1,
                running: 1,
                succeeded: 0,
                failed: 0
            }
        );
        assert_eq!(seen.settled, 1);
        assert!(seen.started);
    }

    #[test]
    fn a_share_is_complete_when_its_job_says_so_not_before() {
        let pods = [pod(0, Phase::Succeeded, true), pod(1, Phase::Succeeded, true)];
        let seen = see(&job(json!({})), &pods);
        assert_eq!((seen.counts.succeeded, seen.end), (2, None));
        let done = json!({"succeeded": 2, "conditions": [{"type": "Complete", "status": "True"}]});
        assert_eq!(see(&job(done), &pods).end, Some(End::Complete));
    }

    #[test]
    fn a_failed_share_speaks_of_the_replica_that_failed() {
        let mut failed = pod(1, Phase::Failed, true);
        failed.trouble = Some(Trouble {
            reason: "OOMKilled".into(),
            message: "exit code 137".into(),
        });
        let condition = json!({"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job has failed indexes"});
        let seen = see(
            &job(json!({"failedIndexes": "1", "conditions": [condition]})),
            &[failed],
        );
        let Some(End::Failed(trouble)) = seen.end else {
            panic!("not failed")
        };
        assert_eq!(
            trouble.message,
            "replica with index 1: OOMKilled (exit code 137); Job has failed indexes"
        );
        assert_eq!(seen.counts.failed, 2);
    }

    #[test]
    fn a_replica_that_is_tried_again_is_pending_and_needs_room() {
        let seen = see(
            &job(json!({"failed": 1})),
            &[pod(0, Phase::Failed, true), pod(1, Phase::Running, true)],
        );
        assert_eq!(
            seen.counts,
            Counts {
                pending: 1,
                running: 1,
                succeeded: 0,
                failed: 0
            }
        );
        assert_eq!(seen.settled, 1);
    }
}
