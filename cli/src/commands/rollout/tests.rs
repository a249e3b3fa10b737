//! What the commands of a rollout read and write, and how its state is told.

use jiff::Timestamp;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::status::{Found, judge};
use super::*;
use crate::client::mock;
use crate::mock::{Call, failure, lines, serve};

const PATH: &str = "/apis/skymanager.io/v1alpha1/namespaces/shop/skydeployments/web";
const REVISIONS: &str = "GET /apis/apps/v1/namespaces/shop/controllerrevisions";

fn web(spec: Value) -> Value {
    json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment",
           "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2},
           "spec": spec})
}

fn revision(number: i64, template: Value) -> Value {
    let owner = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment", "name": "web", "uid": "u",
                       "controller": true});
    json!({"metadata": {"name": format!("web-{number}"), "ownerReferences": [owner],
                        "creationTimestamp": "2026-01-01T00:00:00Z"},
           "revision": number, "data": template})
}

/// The deployment on a host that has these revisions and takes every write; the calls, once it is dropped.
fn target(stored: Value, revisions: Vec<Value>) -> (Target, JoinHandle<Vec<Call>>) {
    let (connection, server) = mock("host");
    let answer = move |call: &Call| match call.line.as_str() {
        REVISIONS => (200, json!({"metadata": {}, "items": revisions})),
        line if line.starts_with("GET") => (200, stored.clone()),
        line if line.starts_with("PUT") => (200, call.body.clone()),
        _ => (200, stored.clone()),
    };
    let host = Host {
        connection,
        namespace: "shop".to_owned(),
        namespace_named: true,
        kubeconfig: Kubeconfig::default(),
    };
    let target = Target {
        host,
        name: "web".to_owned(),
    };
    (target, tokio::spawn(serve(server, answer)))
}

fn undo(line: &[&str]) -> undo::Args {
    use clap::Parser as _;
    let line = ["sky", "rollout", "undo", "skyd/web"].iter().chain(line);
    match crate::commands::Cli::try_parse_from(line).unwrap().command {
        crate::commands::Command::Rollout(Args {
            command: Command::Undo(args),
        }) => args,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_undo_replaces_the_template_alone_at_the_version_that_was_read() {
    let stored =
        web(json!({"image": "a:2", "env": [{"name": "A", "value": "1"}], "replicas": 3, "fromTomorrow": 1}));
    let revisions = vec![
        revision(2, json!({"image": "a:2", "env": [{"name": "A", "value": "1"}]})),
        revision(1, json!({"image": "a:1"})),
    ];
    let (target, served) = target(stored, revisions);
    undo::run(&target, &undo(&[])).await.unwrap();
    drop(target);
    let calls = served.await.unwrap();
    assert_eq!(
        lines(&calls),
        [
            format!("GET {PATH}").as_str(),
            REVISIONS,
            format!("PUT {PATH}").as_str()
        ]
    );
    assert!(
        calls[1].query.contains("skymanager.io%2Fuid%3Du"),
        "{}",
        calls[1].query
    );
    let written = &calls[2].body;
    assert_eq!(written["metadata"]["resourceVersion"], "7");
    assert_eq!(written["spec"]["image"], "a:1");
    assert_eq!(written["spec"]["replicas"], 3);
    assert_eq!(written["spec"].get("env"), None);
}

#[tokio::test]
async fn an_undo_that_cannot_be_done_says_why_and_writes_nothing() {
    let words = async |spec: Value, revisions: Vec<Value>, line: &[&str]| {
        let (target, served) = target(web(spec), revisions);
        let error = undo::run(&target, &undo(line)).await.unwrap_err().to_string();
        drop(target);
        assert!(
            served
                .await
                .unwrap()
                .iter()
                .all(|call| call.line.starts_with("GET"))
        );
        error
    };
    let both = || {
        vec![
            revision(1, json!({"image": "a"})),
            revision(2, json!({"image": "b"})),
        ]
    };
    let present = json!({"image": "b"});
    assert!(
        words(present.clone(), vec![], &[])
            .await
            .contains("no revision before the present one")
    );
    assert!(
        words(present.clone(), both(), &["--to-revision", "5"])
            .await
            .contains("revision 5 of skydeployment.skymanager.io/web is not kept; there are 1, 2")
    );
    assert!(
        words(present, both(), &["--to-revision", "2"])
            .await
            .contains("has the template of revision 2 already")
    );
    let paused = json!({"image": "b", "paused": true});
    assert!(words(paused, both(), &[]).await.contains("is paused"));
}

#[tokio::test]
async fn a_template_that_no_revision_has_yet_goes_back_to_the_newest() {
    let stored = web(json!({"image": "c"}));
    let revisions = vec![
        revision(1, json!({"image": "a"})),
        revision(2, json!({"image": "b"})),
    ];
    let (target, served) = target(stored, revisions);
    undo::run(&target, &undo(&[])).await.unwrap();
    drop(target);
    let calls = served.await.unwrap();
    assert_eq!(calls[2].body["spec"]["image"], "b");
}

#[tokio::test]
async fn restart_pause_and_resume_are_one_fenced_patch_each() {
    let body = async |spec: Value, what: &str| {
        let (target, served) = target(web(spec), vec![]);
        match what {
            "restart" => change::restart(&target, Timestamp::UNIX_EPOCH).await.unwrap(),
            what => change::pause(&target, what == "pause").await.unwrap(),
        }
        drop(target);
        let mut calls = served.await.unwrap();
        assert_eq!(lines(&calls), [format!("GET {PATH}"), format!("PATCH {PATH}")]);
        calls.remove(1).body
    };
    let annotations = json!({"skymanager.io/restarted-at": "1970-01-01T00:00:00Z"});
    assert_eq!(
        body(json!({}), "restart").await,
        json!({"metadata": {"annotations": annotations, "resourceVersion": "7"}})
    );
    let paused = |paused: bool| json!({"metadata": {"resourceVersion": "7"}, "spec": {"paused": paused}});
    assert_eq!(body(json!({}), "pause").await, paused(true));
    assert_eq!(body(json!({"paused": true}), "resume").await, paused(false));
}

#[tokio::test]
async fn what_would_change_nothing_is_an_error() {
    let (running, _calls) = target(web(json!({})), vec![]);
    let error = change::pause(&running, false).await.unwrap_err().to_string();
    assert_eq!(error, "skydeployment.skymanager.io/web is not paused");
    let (paused, _calls) = target(web(json!({"paused": true})), vec![]);
    let error = change::pause(&paused, true).await.unwrap_err().to_string();
    assert_eq!(error, "skydeployment.skymanager.io/web is paused already");
    let error = change::restart(&paused, Timestamp::UNIX_EPOCH).await.unwrap_err();
    assert!(error.to_string().contains("resume skyd/web first"), "{error}");
}

#[tokio::test]
async fn what_the_host_refuses_is_told() {
    let (connection, server) = mock("host");
    tokio::spawn(serve(server, |call| match call.line.as_str() {
        line if line.starts_with("GET") => (200, web(json!({}))),
        _ => failure(409, "Conflict", "the object has been modified"),
    }));
    let host = Host {
        connection,
        namespace: "shop".to_owned(),
        namespace_named: true,
        kubeconfig: Kubeconfig::default(),
    };
    let target = Target {
        host,
        name: "web".to_owned(),
    };
    let error = change::pause(&target, true).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to pause skydeployment.skymanager.io/web: the object has been modified"
    );
}

#[test]
fn history_tells_number_age_and_images() {
    let api: Vec<ControllerRevision> = [
        revision(1, json!({"image": "a"})),
        revision(
            2,
            json!({"template": {"spec": {"containers": [{"image": "b"}, {"image": "c"}]}}}),
        ),
    ]
    .into_iter()
    .map(|api| serde_json::from_value(api).unwrap())
    .collect();
    let kept: Vec<Kept> = api
        .iter()
        .filter_map(|api| sky_convert::revision::from_api(api, "u"))
        .collect();
    let text = history::table(&kept, "2026-01-01T01:00:00Z".parse().unwrap()).render();
    assert_eq!(
        text,
        "REVISION   AGE   CHANGE\n1          60m   a\n2          60m   b c\n"
    );
}

fn found(generation: i64, spec: Value, status: Value) -> Found {
    let mut object = web(spec);
    object["metadata"]["generation"] = json!(generation);
    object["status"] = status;
    judge(&serde_json::from_value(object).unwrap())
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

#[test]
fn only_a_whole_rollout_of_this_generation_is_done() {
    let ready = condition("Ready", "True", "Available", "");
    let status = |seen: i64, updated: i32, replicas: i32| {
        json!({"observedGeneration": seen, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": 2,
               "conditions": [ready]})
    };
    let spec = json!({"replicas": 2});
    assert_eq!(found(2, spec.clone(), status(2, 2, 2)), Found::Done);
    let not_looked = Found::Waiting("the operator has not looked at the change yet".into());
    assert_eq!(found(3, spec.clone(), status(2, 2, 2)), not_looked);
    assert_eq!(
        found(2, spec.clone(), json!({"observedGeneration": -1})),
        not_looked
    );
    let part = Found::Waiting("1 of 2 updated, 2 available".into());
    assert_eq!(found(2, spec.clone(), status(2, 1, 2)), part);
    assert!(
        matches!(found(2, spec, status(2, 2, 3)), Found::Waiting(_)),
        "an old replica is there yet"
    );
    let none = json!({"observedGeneration": 2, "conditions": [ready]});
    assert_eq!(found(2, json!({"replicas": 0}), none), Found::Done);
}

#[test]
fn a_stop_and_what_is_waited_for_are_told_in_words() {
    let stalled = condition(
        "Stalled",
        "True",
        "ProgressDeadlineExceeded",
        "c1 is not ready after 60 s",
    );
    let status = json!({"observedGeneration": 2, "conditions": [stalled]});
    assert_eq!(
        found(2, json!({}), status),
        Found::Stopped("ProgressDeadlineExceeded: c1 is not ready after 60 s".into())
    );
    let clusters = json!([{"cluster": "c1", "replicas": 3, "running": 2},
                          {"cluster": "c2", "replicas": 2, "pending": 2, "reason": "ImagePullBackOff"}]);
    let progressing = condition("Progressing", "True", "RollingOut", "c1 is in turn");
    let status = json!({"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 4, "replicas": 5,
                        "clusters": clusters, "conditions": [progressing]});
    assert_eq!(
        found(2, json!({"replicas": 5, "paused": true}), status),
        Found::Waiting(
            "2 of 5 updated, 4 available (c1: 2 of 3 running; c2: 0 of 2 running, ImagePullBackOff); it is paused; c1 is \
             in turn"
                .into()
        )
    );
}
