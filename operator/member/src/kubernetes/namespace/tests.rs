//! Exact calls of a removal and of what others do at the same time: what no real member can be brought to.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use kube::client::Body;
use serde_json::Value;

use super::*;
use crate::kubernetes::dispatch::tests::refusal;

/// A client that gets these answers in turn, and the calls it has made, bodies of deletions and patches included.
fn client(answers: Vec<(u16, Value)>) -> (Client, Arc<Mutex<Vec<String>>>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (journal, answers) = (calls.clone(), Arc::new(Mutex::new(answers.into_iter())));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (journal, answers) = (journal.clone(), answers.clone());
        async move {
            let call = format!("{} {}", request.method(), request.uri().path());
            let read = request.method() == http::Method::GET;
            let body = request.into_body().collect_bytes().await.expect("a body");
            let body = String::from_utf8_lossy(&body).into_owned();
            let call = if read { call } else { format!("{call} {body}") };
            journal.lock().expect("calls").push(call);
            let (code, body) = answers.lock().expect("answers").next().expect("no further call");
            Response::builder()
                .status(code)
                .body(Body::from(body.to_string().into_bytes()))
        }
    });
    (Client::new(service, "default"), calls)
}

/// The namespace as the member has it.
fn stored(version: &str) -> (u16, Value) {
    let annotations = json!({marks::CREATED_BY: "o", marks::IDLE_SINCE: "7"});
    let metadata = json!({"name": "n", "uid": "u", "resourceVersion": version, "labels": {marks::ORIGIN: "o"},
        "annotations": annotations});
    (
        200,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
    )
}

/// An empty list, of pods, of Jobs, of what the member serves.
fn nothing(kind: &str) -> (u16, Value) {
    (
        200,
        json!({"apiVersion": "v1", "kind": kind, "metadata": {}, "items": []}),
    )
}

fn empty() -> Vec<(u16, Value)> {
    let counted = json!({"metadata": {"name": "sky-contents"}, "spec": {"hard": {}}, "status": {"hard": {}, "used": {}}});
    vec![
        nothing("PartialObjectMetadataList"),
        nothing("PartialObjectMetadataList"),
        nothing("APIGroupDiscoveryList"),
        nothing("APIGroupDiscoveryList"),
        (200, counted),
    ]
}

async fn remove(answers: Vec<(u16, Value)>) -> (Result<Ensured, Class>, Vec<String>) {
    let (client, calls) = client(answers);
    let namespace = Namespace {
        name: "n".into(),
        origin: "o".into(),
        wanted: Wanted::Gone {
            instance: "u".into(),
            version: "3".into(),
        },
    };
    let answer = ensure(&client, &namespace).await.map_err(|error| error.class);
    let calls = calls.lock().expect("calls").clone();
    (answer, calls)
}

#[tokio::test]
async fn what_is_deleted_is_what_was_looked_at_and_nothing_newer() {
    let answers = [vec![stored("3")], empty(), vec![stored("3")]].concat();
    let (answer, calls) = remove(answers).await;
    assert_eq!(answer, Ok(Ensured::Updated));
    let last = calls.last().expect("a call");
    assert!(last.starts_with("DELETE /api/v1/namespaces/n "), "{last}");
    assert!(
        last.contains(r#""preconditions":{"resourceVersion":"3","uid":"u"}"#),
        "{last}"
    );
}

#[tokio::test]
async fn a_mark_taken_off_at_the_last_moment_refuses_the_deletion() {
    let refused = refusal(409, "the resourceVersion in the precondition does not match");
    let (answer, _) = remove([vec![stored("3")], empty(), vec![refused]].concat()).await;
    assert_eq!(answer, Err(Class::Throttled));
}

#[tokio::test]
async fn another_version_is_not_even_looked_into() {
    let (answer, calls) = remove(vec![stored("4")]).await;
    assert_eq!((answer, calls.len()), (Err(Class::Throttled), 1));
}

#[tokio::test]
async fn a_failed_look_at_its_contents_deletes_nothing() {
    for at in 0..5 {
        let mut answers = empty();
        answers.truncate(at);
        answers.push(refusal(403, "forbidden"));
        let (answer, calls) = remove([vec![stored("3")], answers].concat()).await;
        assert_eq!(answer, Err(Class::Unauthorized), "{at}");
        assert!(!calls.iter().any(|call| call.starts_with("DELETE")), "{calls:?}");
    }
}

#[tokio::test]
async fn a_namespace_that_somebody_makes_first_is_adopted() {
    let theirs = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n", "uid": "t"}});
    let answers = vec![
        refusal(404, "not found"),
        refusal(409, "already exists"),
        (200, theirs.clone()),
        (200, theirs),
    ];
    let (client, calls) = client(answers);
    let namespace = Namespace {
        name: "n".into(),
        origin: "o".into(),
        wanted: Wanted::Held {
            labels: Labels::new(),
            annotations: Labels::new(),
        },
    };
    assert_eq!(
        ensure(&client, &namespace).await.expect("an answer"),
        Ensured::Updated
    );
    let last = calls.lock().expect("calls").last().cloned().expect("a call");
    assert!(
        last.starts_with("PATCH") && last.contains(r#""uid":"t""#),
        "{last}"
    );
    assert!(!last.contains(marks::CREATED_BY), "{last}");
}
