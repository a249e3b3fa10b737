//! Exact calls of dispatch when others get in the way: what the conformance suite cannot bring about on a real member.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use sky_core::marks;
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Container, Program, Retry, ShareKey, Stamp};
use sky_core::workload::Kind;

use super::*;

pub(in crate::kubernetes) fn share(suspended: bool) -> Share {
    Share {
        key: ShareKey {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "n".into(),
            object: "j-1".into(),
        },
        stamp: Stamp {
            origin: "o".into(),
            kind: Kind::SkyJob,
            namespace: "n".into(),
            name: "j".into(),
            uid: "u".into(),
            run: String::new(),
            share: "1-0".into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        cluster: "c".into(),
        replicas: 1,
        total_replicas: 1,
        ranks: Ranks::consecutive(0, 1),
        suspended,
        known: false,
        instance: None,
        labels: Default::default(),
        annotations: Default::default(),
        program: Program::Container(Container::default()),
        requests: Resources::new(1, 1),
        patches: vec![],
        accelerator: None,
        retry: Retry::Replace(0),
        progress_deadline: None,
    }
}

/// The Job as the member has it, at this version.
pub(in crate::kubernetes) fn stored(suspended: bool, version: &str) -> (u16, Value) {
    let mut job = object::job(&share(suspended)).expect("a Job");
    job["metadata"]["uid"] = json!("x");
    job["metadata"]["resourceVersion"] = json!(version);
    (200, job)
}

pub(in crate::kubernetes) fn refusal(code: u16, message: &str) -> (u16, Value) {
    let reason = if message == "not found" { "NotFound" } else { "" };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    (code, body)
}

/// A client that gets these answers in turn, and the calls it has made.
pub(in crate::kubernetes) fn client(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let journal = calls.clone();
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let service = tower::service_fn(move |request: Request<Body>| {
        let call = format!("{} {}", request.method(), request.uri().path());
        journal.lock().expect("calls").push(
            call.replace("/apis/batch/v1/namespaces/n/", "")
                .replace("/api/v1/namespaces/n/", ""),
        );
        let answer = answers.lock().expect("answers").next();
        async move {
            let (code, body) = answer.expect("no further call");
            let body = Body::from(body.to_string().into_bytes());
            Response::builder().status(code).body(body)
        }
    });
    (Client::new(service, "default"), calls)
}

async fn check(answers: Vec<(u16, Value)>, wanted: Result<Ensured, Class>, calls: &[&str]) {
    let (client, made) = client(answers);
    let found = ensure_share(&client, &share(true)).await;
    assert_eq!(found.map_err(|error| error.class), wanted);
    assert_eq!(*made.lock().expect("calls"), calls);
}

#[tokio::test]
async fn a_change_that_others_get_in_the_way_of_is_made_on_what_there_is_then() {
    let answers = vec![
        refusal(409, "already exists"),
        stored(false, "1"),
        refusal(409, "has been modified"),
        stored(false, "2"),
        stored(true, "3"),
    ];
    let calls = [
        "POST jobs",
        "GET jobs/j-1",
        "PATCH jobs/j-1",
        "GET jobs/j-1",
        "PATCH jobs/j-1",
    ];
    check(answers, Ok(Ensured::Updated), &calls).await;
}

#[tokio::test]
async fn an_object_that_goes_meanwhile_is_tried_again_and_nobodys_fault() {
    let answers = vec![refusal(409, "already exists"), refusal(404, "not found")];
    check(answers, Err(Class::Throttled), &["POST jobs", "GET jobs/j-1"]).await;
}

#[tokio::test]
async fn a_server_that_knows_no_jobs_is_not_believed() {
    let answers = vec![refusal(404, "the page is not here")];
    check(answers, Err(Class::Unreachable), &["POST jobs"]).await;
}

#[tokio::test]
async fn a_namespace_that_is_being_terminated_is_waited_for() {
    let words = "unable to create new content in namespace n because it is being terminated";
    check(vec![refusal(403, words)], Err(Class::Throttled), &["POST jobs"]).await;
}

#[tokio::test]
async fn what_the_member_refuses_is_rejected() {
    let answers = vec![refusal(422, "spec.template is invalid")];
    check(answers, Err(Class::Rejected), &["POST jobs"]).await;
}

/// As `stored`, made a tombstone.
pub(in crate::kubernetes) fn buried(version: &str) -> (u16, Value) {
    let (code, mut job) = stored(true, version);
    job["metadata"]["annotations"][marks::TOMBSTONE] = json!("1000");
    (code, job)
}

#[tokio::test]
async fn a_tombstone_is_a_conflict_and_never_changed() {
    let answers = vec![refusal(409, "already exists"), buried("1")];
    let calls = ["POST jobs", "GET jobs/j-1"];
    check(answers, Err(Class::Conflict), &calls).await;
}

#[tokio::test]
async fn a_late_change_that_meets_a_new_tombstone_is_refused_and_not_made_again() {
    let answers = vec![
        refusal(409, "already exists"),
        stored(false, "1"),
        refusal(409, "has been modified"),
        buried("2"),
    ];
    let calls = ["POST jobs", "GET jobs/j-1", "PATCH jobs/j-1", "GET jobs/j-1"];
    check(answers, Err(Class::Conflict), &calls).await;
}

#[tokio::test]
async fn a_name_that_is_taken_while_its_namespace_is_made_is_looked_at() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let answers = vec![
        refusal(404, "namespaces \"n\" not found"),
        (200, namespace),
        refusal(409, "already exists"),
        stored(true, "1"),
    ];
    let calls = [
        "POST jobs",
        "POST /api/v1/namespaces",
        "POST jobs",
        "GET jobs/j-1",
    ];
    check(answers, Ok(Ensured::Present), &calls).await;
}
