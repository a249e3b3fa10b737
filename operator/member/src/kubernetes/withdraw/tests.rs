//! Exact calls of withdraw when others get in the way, and what it answers of Jobs in every state.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::Value;
use sky_core::share::Stamp;

use super::super::dispatch::tests::{buried, client, refusal, share, stored};
use super::*;

fn stamp() -> Stamp {
    share(false).stamp
}

fn always() -> Withdraw {
    Withdraw::Always(Tombstone {
        stamp: stamp(),
        since: 2000,
    })
}

async fn check(how: Withdraw, answers: Vec<(u16, Value)>, wanted: Result<Withdrawn, Class>, calls: &[&str]) {
    let (client, made) = client(answers);
    let found = withdraw(&client, "o", &share(false).key, how.clone()).await;
    assert_eq!(found.map_err(|error| error.class), wanted, "{how:?}");
    assert_eq!(*made.lock().expect("calls"), calls, "{how:?}");
}

/// A Job with this status.
fn stored_with(status: Value) -> (u16, Value) {
    let (code, mut job) = stored(false, "1");
    job["status"] = status;
    (code, job)
}

/// Pods of the share: whose Job has this uid, and what their container does.
fn pods(of: &[(&str, Value)]) -> (u16, Value) {
    let pod = |(owner, state): &(&str, Value)| {
        let owner =
            json!({"apiVersion": "batch/v1", "kind": "Job", "name": "j-1", "uid": owner, "controller": true});
        json!({
            "metadata": {"name": "p", "namespace": "n", "ownerReferences": [owner]},
            "spec": {"containers": []},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]},
        })
    };
    let items: Vec<Value> = of.iter().map(pod).collect();
    (
        200,
        json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}),
    )
}

const LOOK: [&str; 2] = ["GET jobs/j-1", "GET pods"];

#[tokio::test]
async fn what_has_not_started_is_suspended_on_what_there_is_then() {
    let waiting = || pods(&[("x", json!({"waiting": {"reason": "ImagePullBackOff"}}))]);
    let answers = vec![
        stored(false, "1"),
        waiting(),
        refusal(409, "has been modified"),
        stored(false, "2"),
        waiting(),
        stored(true, "3"),
    ];
    let calls = [
        LOOK[0],
        LOOK[1],
        "PATCH jobs/j-1",
        LOOK[0],
        LOOK[1],
        "PATCH jobs/j-1",
    ];
    check(Withdraw::IfNotStarted, answers, Ok(Withdrawn::Going), &calls).await;
}

#[tokio::test]
async fn a_started_replica_is_found_on_the_api_server() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let answers = vec![stored(false, "1"), pods(&[("x", running)])];
    check(Withdraw::IfNotStarted, answers, Ok(Withdrawn::Started), &LOOK).await;
}

#[tokio::test]
async fn a_pod_that_belongs_to_another_job_says_nothing() {
    let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    let answers = vec![stored(false, "1"), pods(&[("other", running)]), stored(true, "2")];
    let calls = [LOOK[0], LOOK[1], "PATCH jobs/j-1"];
    check(Withdraw::IfNotStarted, answers, Ok(Withdrawn::Going), &calls).await;
}

#[tokio::test]
async fn replicas_that_ended_have_started() {
    let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    for status in [json!({"succeeded": 1}), complete] {
        let answers = vec![stored_with(status)];
        check(
            Withdraw::IfNotStarted,
            answers,
            Ok(Withdrawn::Started),
            &LOOK[..1],
        )
        .await;
    }
}

#[tokio::test]
async fn a_failure_is_a_start_unless_its_node_turned_the_pod_away() {
    let failed = || stored_with(json!({"failed": 1}));
    let answers = vec![failed(), pods(&[])];
    check(Withdraw::IfNotStarted, answers, Ok(Withdrawn::Started), &LOOK).await;

    let (code, mut rejected) = pods(&[("x", json!({}))]);
    rejected["items"][0]["status"] =
        json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Pod was rejected: no cpu"});
    let answers = vec![failed(), (code, rejected), stored(true, "2")];
    let calls = [LOOK[0], LOOK[1], "PATCH jobs/j-1"];
    check(Withdraw::IfNotStarted, answers, Ok(Withdrawn::Going), &calls).await;
}

#[tokio::test]
async fn what_is_gone_leaving_or_held_back_is_not_looked_at_further() {
    let mut leaving = stored(false, "1");
    leaving.1["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for (answer, wanted) in [
        (refusal(404, "not found"), Withdrawn::Gone),
        (leaving, Withdrawn::Going),
        (stored(true, "1"), Withdrawn::Going),
        (buried("1"), Withdrawn::Going),
    ] {
        check(Withdraw::IfNotStarted, vec![answer], Ok(wanted), &LOOK[..1]).await;
    }
}

#[tokio::test]
async fn a_job_whose_resumption_is_not_taken_in_yet_is_waited_for() {
    let answers = vec![
        stored_with(json!({"conditions": [{"type": "Suspended", "status": "True"}]})),
        pods(&[]),
    ];
    check(Withdraw::IfNotStarted, answers, Err(Class::Throttled), &LOOK).await;
}

#[tokio::test]
async fn a_failed_look_at_pods_changes_nothing() {
    let answers = vec![stored(false, "1"), refusal(403, "pods is forbidden")];
    check(Withdraw::IfNotStarted, answers, Err(Class::Unauthorized), &LOOK).await;
}

#[tokio::test]
async fn a_tombstone_is_made_of_what_is_there_by_then() {
    let answers = vec![
        refusal(404, "not found"),
        refusal(409, "already exists"),
        stored(false, "1"),
        refusal(409, "has been modified"),
        stored(false, "2"),
        buried("3"),
    ];
    let calls = [
        "GET jobs/j-1",
        "POST jobs",
        "GET jobs/j-1",
        "PATCH jobs/j-1",
        "GET jobs/j-1",
        "PATCH jobs/j-1",
    ];
    check(always(), answers, Ok(Withdrawn::Going), &calls).await;
}

#[tokio::test]
async fn a_tombstone_stays_as_it_is() {
    check(
        always(),
        vec![buried("1")],
        Ok(Withdrawn::Going),
        &["GET jobs/j-1"],
    )
    .await;
}

#[tokio::test]
async fn what_is_leaving_or_of_another_share_is_made_no_tombstone() {
    let mut leaving = stored(false, "1");
    leaving.1["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let mut other = stored(false, "1");
    other.1["metadata"]["annotations"][marks::RUN] = json!("another");
    for (answer, class) in [(leaving, Class::Throttled), (other, Class::Conflict)] {
        check(always(), vec![answer], Err(class), &["GET jobs/j-1"]).await;
    }
}

/// What is sent to make a tombstone of this Job.
async fn patch_of(job: (u16, Value)) -> Value {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let (body, stored) = (sent.clone(), job.1.to_string());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (body, stored) = (body.clone(), stored.clone());
        async move {
            let bytes = request.into_body().collect_bytes().await?;
            body.lock().expect("sent").extend_from_slice(&bytes);
            Ok::<_, kube::Error>(Response::new(Body::from(stored.into_bytes())))
        }
    });
    let client = Client::new(service, "default");
    let answer = withdraw(&client, "o", &share(false).key, always()).await;
    assert_eq!(answer, Ok(Withdrawn::Going));
    serde_json::from_slice(&sent.lock().expect("sent")).expect("one patch")
}

#[tokio::test]
async fn a_tombstone_is_suspended_marked_and_fenced() {
    let expect = json!({
        "metadata": {"uid": "x", "resourceVersion": "7", "annotations": {marks::TOMBSTONE: "2000"}},
        "spec": {"suspend": true, "parallelism": 0},
    });
    assert_eq!(patch_of(stored(false, "7")).await, expect);
}

#[tokio::test]
async fn of_what_is_over_only_the_mark_is_written() {
    let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    let expect =
        json!({"metadata": {"uid": "x", "resourceVersion": "1", "annotations": {marks::TOMBSTONE: "2000"}}});
    assert_eq!(patch_of(stored_with(complete)).await, expect);
}

#[tokio::test]
async fn a_tombstone_that_somebody_resumed_is_suspended_again_and_keeps_its_time() {
    let mut resumed = buried("1");
    resumed.1["spec"]["suspend"] = json!(false);
    let expect = json!({
        "metadata": {"uid": "x", "resourceVersion": "1"},
        "spec": {"suspend": true, "parallelism": 0},
    });
    assert_eq!(patch_of(resumed).await, expect);
}
