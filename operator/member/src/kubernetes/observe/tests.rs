//! What is read out of Jobs and pods, by examples.

use super::*;
use serde_json::{Value, json};
use sky_core::resources::Resources;

fn job(status: Value) -> JobRow {
    job_of(json!({"completions": 2}), 1, status)
}

fn job_of(spec: Value, generation: i64, status: Value) -> JobRow {
    let annotations = json!({
        "skymanager.io/kind": "SkyJob", "skymanager.io/namespace": "n", "skymanager.io/name": "j",
        "skymanager.io/run": "", "skymanager.io/share-id": "1-0", "skymanager.io/attempt": "1",
        "skymanager.io/spec-hash": "h",
    });
    let labels = json!({"skymanager.io/origin": "o", "skymanager.io/uid": "u"});
    let metadata = json!({"name": "j-1", "uid": "x", "generation": generation, "labels": labels, "annotations": annotations});
    let mut spec = spec;
    spec["template"] = json!({});
    let job = json!({"metadata": metadata, "spec": spec, "status": status});
    trim(&serde_json::from_value(job).expect("a Job")).expect("our stamp")
}

fn pod(index: i64, phase: Phase, node: bool) -> Pod {
    Pod {
        node: node.then(|| "n".to_owned()),
        requests: Resources::default(),
        phase,
        started: phase != Phase::Pending,
        ended_by_node: false,
        turned_away: false,
        trouble: None,
        index: Some(index),
        deleting: false,
    }
}

fn see(job: &JobRow, pods: &[Pod]) -> Observation {
    observe(
        &ShareKey {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "n".into(),
            object: "j-1".into(),
        },
        job,
        pods.iter(),
        Memory {
            past: &Past::default(),
            heard_to: 0,
        },
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
    assert_eq!(seen.started, Started::Yes);
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
fn a_replica_that_was_stopped_for_another_is_not_named_for_it() {
    let ended = |index, code: &str| {
        let mut pod = pod(index, Phase::Failed, true);
        pod.trouble = Some(Trouble {
            reason: "Error".into(),
            message: code.into(),
        });
        pod
    };
    let mut stopped = ended(0, "exit code 1");
    stopped.deleting = true;
    let condition =
        json!({"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "Job failed"});
    let seen = see(
        &job(json!({"failedIndexes": "0-1", "conditions": [condition]})),
        &[stopped, ended(1, "exit code 3")],
    );
    let Some(End::Failed(trouble)) = seen.end else {
        panic!("not failed")
    };
    assert!(
        trouble
            .message
            .starts_with("replica with index 1: Error (exit code 3)")
    );
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

#[test]
fn a_pod_that_its_node_turned_away_is_a_failure_but_no_start() {
    let mut rejected = pod(0, Phase::Failed, true);
    (rejected.started, rejected.turned_away) = (false, true);
    let waiting = pod(0, Phase::Pending, false);
    let once = job(json!({"failed": 1}));
    assert_eq!(
        see(&once, &[rejected.clone(), waiting.clone()]).started,
        Started::No
    );
    // One more failure than nodes explain is a start; so is one that nobody was there to see.
    let twice = job(json!({"failed": 2}));
    assert_eq!(
        see(&twice, &[rejected.clone(), waiting.clone()]).started,
        Started::Yes
    );
    assert_eq!(see(&once, &[waiting]).started, Started::Yes);
    let mut past = Past::default();
    past.gone(&rejected);
    let memory = Memory {
        past: &past,
        heard_to: 0,
    };
    let key = ShareKey {
        kind: sky_core::workload::Kind::SkyJob,
        namespace: "n".into(),
        object: "j-1".into(),
    };
    assert_eq!(observe(&key, &once, [].iter(), memory, None).started, Started::No);
}

#[test]
fn what_the_job_counts_and_what_pods_show_is_done_together() {
    let status = json!({"completedIndexes": "0,2-3", "succeeded": 3});
    let job = job_of(json!({"completions": 6}), 1, status);
    let pods = [pod(2, Phase::Succeeded, true), pod(4, Phase::Succeeded, true)];
    let seen = see(&job, &pods);
    assert_eq!(seen.done.to_string(), "0,2-4");
    assert_eq!(seen.counts.succeeded, 4);
    assert_eq!(see(&job, &[]).done.to_string(), "0,2-3");
}

#[test]
fn pods_on_their_way_out_are_active() {
    let mut leaving = pod(0, Phase::Running, true);
    leaving.deleting = true;
    let held = json!({"conditions": [{"type": "Suspended", "status": "True"}]});
    let job = job_of(json!({"completions": 2, "suspend": true}), 2, held);
    assert_eq!(see(&job, &[leaving, pod(1, Phase::Failed, true)]).active, 1);
    assert_eq!(see(&job, &[pod(1, Phase::Failed, true)]).active, 0);
}

#[test]
fn a_tombstone_has_no_trouble() {
    let condition = json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded"});
    let mut job = job_of(
        json!({"completions": 2, "suspend": true}),
        2,
        json!({"conditions": [condition]}),
    );
    assert!(see(&job, &[]).trouble.is_some());
    job.tombstone = Some(1000);
    let seen = see(&job, &[]);
    assert_eq!((seen.tombstone, seen.trouble), (Some(1000), None));
    assert!(matches!(seen.end, Some(End::Failed(_))));
}

#[test]
fn failures_of_replicas_count_as_started() {
    assert_eq!(see(&job(json!({"failed": 1})), &[]).started, Started::Yes);
    assert_eq!(see(&job(json!({})), &[]).started, Started::No);
}
