//! What is written of a copy, what counts as the same, and who owns it; the calls, answered by hand.

use std::sync::Arc;

use http::{Method, Request, Response};
use kube::client::Body;
use sky_core::config::ConfigName;

use super::*;

fn content() -> Content {
    Content {
        source: "host-uid".into(),
        labels: [("team".to_owned(), "red".to_owned())].into(),
        texts: [("key".to_owned(), "text".to_owned())].into(),
        ..Content::default()
    }
}

fn key(object: &str) -> ShareKey {
    ShareKey {
        kind: Kind::SkyJob,
        namespace: "shop".into(),
        object: object.into(),
    }
}

fn user(object: &str, uid: Option<&str>) -> User {
    User {
        key: key(object),
        instance: uid.map(str::to_owned),
    }
}

fn config(kind: ConfigKind, wanted: Wanted) -> Config {
    Config {
        origin: "origin".into(),
        namespace: "shop".into(),
        name: ConfigName {
            kind,
            name: "conf".into(),
        },
        wanted,
    }
}

fn held(content: Content) -> Config {
    config(
        ConfigKind::ConfigMap,
        Wanted::Held {
            content: Arc::new(content),
            user: user("a-1-0", Some("job-uid")),
        },
    )
}

fn uids(owners: &[OwnerReference]) -> Vec<&str> {
    owners.iter().map(|owner| owner.uid.as_str()).collect()
}

#[test]
fn an_owner_is_added_once_and_one_that_is_gone_is_replaced() {
    let first = owners(&[], Some(&user("a", Some("1"))));
    assert_eq!(uids(&first), ["1"]);
    assert_eq!(
        (first[0].api_version.as_str(), first[0].kind.as_str()),
        ("batch/v1", "Job")
    );
    assert_eq!(owners(&first, Some(&user("a", Some("1")))), first);
    let both = owners(&first, Some(&user("b", Some("2"))));
    assert_eq!(uids(&both), ["1", "2"]);
    assert_eq!(uids(&owners(&both, Some(&user("a", Some("3"))))), ["2", "3"]);
    assert_eq!(
        uids(&owners(&both, Some(&user("a", None)))),
        ["2"],
        "not created yet"
    );
    assert_eq!(uids(&owners(&both, None)), ["1", "2"]);
    let deployment = User {
        key: ShareKey {
            kind: Kind::SkyDeployment,
            ..key("a")
        },
        instance: Some("4".into()),
    };
    assert_eq!(uids(&owners(&first, Some(&deployment))), ["1", "4"]);
}

#[test]
fn absent_and_empty_are_the_same_and_a_value_is_not() {
    let none = json!({});
    let fields = ["data", "immutable"];
    assert!(!differs(&json!({"data": {}, "immutable": false}), &none, &fields));
    assert!(!differs(&json!({"data": null}), &none, &fields));
    assert!(differs(&json!({"data": {"a": "b"}}), &none, &fields));
    assert!(differs(
        &json!({"data": {"a": "b"}}),
        &json!({"data": {"a": "c"}}),
        &fields
    ));
}

#[test]
fn what_is_immutable_is_made_anew_and_what_becomes_so_is_changed() {
    let body = |text: &str, immutable: bool| {
        body(&Content {
            immutable,
            texts: [("key".to_owned(), text.to_owned())].into(),
            ..Content::default()
        })
    };
    assert!(is_fixed(&body("a", true), &body("b", true)));
    assert!(is_fixed(&body("a", true), &body("a", false)));
    assert!(!is_fixed(&body("a", true), &body("a", true)));
    assert!(!is_fixed(&body("a", false), &body("b", true)));
    assert!(is_fixed(
        &json!({"type": "Opaque"}),
        &json!({"type": "kubernetes.io/tls"})
    ));
}

#[test]
fn a_secret_is_written_with_its_type_and_bytes() {
    let secret = Content {
        bytes: [("key".to_owned(), vec![0, 255])].into(),
        secret_type: Some("Opaque".into()),
        immutable: true,
        ..Content::default()
    };
    let wanted = json!({"type": "Opaque", "data": {"key": "AP8="}, "immutable": true});
    assert_eq!(body(&secret), wanted);
    let map = Content {
        bytes: [("raw".to_owned(), vec![0, 255])].into(),
        ..content()
    };
    assert_eq!(
        body(&map),
        json!({"data": {"key": "text"}, "binaryData": {"raw": "AP8="}})
    );
}

type Server = tower_test::mock::Handle<Request<Body>, Response<Body>>;

/// Answers the calls in order, each by method, path and code; returns their bodies.
async fn answer(server: &mut Server, calls: Vec<(Method, u16, Value)>) -> Vec<Value> {
    let mut bodies = Vec::new();
    for (method, code, answer) in calls {
        let (request, send) = server.next_request().await.expect("a call");
        assert_eq!(request.method(), method);
        let path = "/api/v1/namespaces/shop/configmaps";
        assert!(request.uri().path().starts_with(path), "{}", request.uri());
        let bytes = request.into_body().collect_bytes().await.expect("a body");
        bodies.push(serde_json::from_slice(&bytes).unwrap_or_default());
        let body = Body::from(answer.to_string().into_bytes());
        send.send_response(Response::builder().status(code).body(body).expect("an answer"));
    }
    bodies
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
           "message": "in the member's words", "metadata": {}})
}

/// What the member has: a copy of ours of this text.
fn copy(text: &str, owner: Option<&str>) -> Value {
    let mut content = content();
    content.texts.insert("key".into(), text.to_owned());
    let applied = Namespace::fingerprint(&content.labels, &content.annotations);
    let owners: Vec<Value> = owner
        .map(|uid| json!({"apiVersion": "batch/v1", "kind": "Job", "name": "a-1-0", "uid": uid}))
        .into_iter()
        .collect();
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": content.texts, "metadata": {
        "name": "conf", "namespace": "shop", "uid": "copy-uid", "resourceVersion": "7",
        "labels": {"team": "red", "skymanager.io/origin": "origin", "theirs": "stays"},
        "annotations": {"skymanager.io/copy-of": "host-uid", "skymanager.io/applied": applied},
        "ownerReferences": owners,
    }})
}

async fn run(config: Config, calls: Vec<(Method, u16, Value)>) -> (Result<Ensured, MemberError>, Vec<Value>) {
    let (service, mut server) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let call = async { ensure(&client, &config).await };
    let count = calls.len();
    let (result, bodies) = tokio::join!(call, answer(&mut server, calls));
    assert_eq!(bodies.len(), count);
    (result, bodies)
}

#[tokio::test]
async fn a_copy_that_is_as_wanted_costs_one_look() {
    let (done, _) = run(
        held(content()),
        vec![(Method::GET, 200, copy("text", Some("job-uid")))],
    )
    .await;
    assert_eq!(done, Ok(Ensured::Present));
}

#[tokio::test]
async fn a_change_is_fenced_by_uid_and_version() {
    let present = copy("old", Some("job-uid"));
    let calls = vec![
        (Method::GET, 200, present.clone()),
        (Method::PUT, 409, status(409, "Conflict")),
        (Method::GET, 200, present.clone()),
        (Method::PUT, 200, present),
    ];
    let (done, bodies) = run(held(content()), calls).await;
    assert_eq!(done, Ok(Ensured::Updated));
    let metadata = &bodies[3]["metadata"];
    assert_eq!(
        (&metadata["uid"], &metadata["resourceVersion"]),
        (&json!("copy-uid"), &json!("7"))
    );
    assert_eq!(bodies[3]["data"]["key"], "text");
}

#[tokio::test]
async fn a_foreign_object_is_looked_at_and_nothing_else() {
    let mut foreign = copy("text", None);
    foreign["metadata"]["annotations"] = json!({});
    let (done, _) = run(held(content()), vec![(Method::GET, 200, foreign.clone())]).await;
    assert_eq!(done.map_err(|error| error.class), Err(Class::Conflict));
    let release = config(ConfigKind::ConfigMap, Wanted::Released(None));
    let (done, _) = run(release, vec![(Method::GET, 200, foreign)]).await;
    assert_eq!(done, Ok(Ensured::Present));
}

#[tokio::test]
async fn on_the_host_itself_the_original_is_left_alone() {
    let mut original = copy("text", None);
    original["metadata"]["uid"] = json!("host-uid");
    original["metadata"]["labels"] = json!({});
    let (done, _) = run(held(content()), vec![(Method::GET, 200, original)]).await;
    assert_eq!(done, Ok(Ensured::Present));
}

#[tokio::test]
async fn the_last_user_takes_the_copy_along_just_as_it_was_looked_at() {
    let release = config(ConfigKind::ConfigMap, Wanted::Released(Some(key("a-1-0"))));
    let calls = vec![
        (Method::GET, 200, copy("text", Some("job-uid"))),
        (Method::DELETE, 200, copy("text", None)),
    ];
    let (done, bodies) = run(release.clone(), calls).await;
    assert_eq!(done, Ok(Ensured::Updated));
    assert_eq!(
        bodies[1]["preconditions"],
        json!({"uid": "copy-uid", "resourceVersion": "7"})
    );
    let mut used = copy("text", Some("job-uid"));
    used["metadata"]["ownerReferences"][0]["name"] = json!("b-1-0");
    let (done, _) = run(release, vec![(Method::GET, 200, used)]).await;
    assert_eq!(done, Ok(Ensured::Present), "another share uses it");
}

#[tokio::test]
async fn a_member_that_does_not_let_us_says_what_to_do() {
    let calls = vec![(Method::GET, 403, status(403, "Forbidden"))];
    let (done, _) = run(held(content()), calls).await;
    let error = done.expect_err("an error");
    assert_eq!(error.class, Class::Unauthorized);
    assert!(error.message.contains("kubectl sky join"), "{}", error.message);
}
