//! What is asked of the host, and what is told.

use serde_json::Value;

use super::*;
use crate::client::mock;
use crate::mock::{Call, failure, lines, serve};

fn args() -> Args {
    Args {
        allowed: "shop".into(),
        remove: false,
        operator_namespace: "sky-system".into(),
        service_account: "sky-operator".into(),
    }
}

fn binding(accounts: &[&str]) -> Value {
    let subject = |name: &&str| json!({"kind": "ServiceAccount", "name": name, "namespace": "sky-system"});
    json!({
        "metadata": {"name": NAME, "namespace": "shop", "uid": "u", "resourceVersion": "7"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": NAME},
        "subjects": accounts.iter().map(subject).collect::<Vec<_>>(),
    })
}

/// Runs a command against a host with this role and binding; `None`: there is none.
async fn run_on(
    role: bool,
    present: Option<Value>,
    remove: bool,
) -> (anyhow::Result<Vec<String>>, Vec<Call>) {
    let (host, server) = mock("host");
    let served = tokio::spawn(serve(server, move |call| {
        let there = match call.line.contains("/clusterroles") {
            true => role.then(|| json!({"metadata": {"name": NAME}, "rules": []})),
            false => present.clone(),
        };
        match (call.line.split(' ').next(), there) {
            (Some("GET"), None) => failure(404, "NotFound", "not found"),
            (Some("GET" | "DELETE"), Some(object)) => (200, object),
            _ => (201, call.body.clone()),
        }
    }));
    let done = match remove {
        true => forbid(&host, &args()).await,
        false => allow(&host, &args()).await,
    };
    drop(host);
    (done, served.await.expect("calls"))
}

const ROLE: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDING: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings";

#[tokio::test]
async fn role_and_binding_are_made_when_they_are_missing() {
    let (done, calls) = run_on(false, None, false).await;
    assert_eq!(
        lines(&calls),
        [
            format!("GET {ROLE}/{NAME}"),
            format!("POST {ROLE}"),
            format!("GET {BINDING}/{NAME}"),
            format!("POST {BINDING}"),
        ]
    );
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get"]}]);
    assert_eq!(calls[1].body["rules"], rules, "by name alone");
    assert_eq!(calls[3].body["roleRef"]["name"], NAME);
    assert_eq!(calls[3].body["subjects"][0]["name"], "sky-operator");
    let done = done.expect("done");
    assert!(
        done[0].ends_with("created") && done[1].contains("created"),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_second_time_writes_nothing() {
    let (done, calls) = run_on(true, Some(binding(&["sky-operator"])), false).await;
    assert!(lines(&calls).iter().all(|line| line.starts_with("GET")));
    let done = done.expect("done");
    assert!(
        done[0].ends_with("unchanged") && done[1].contains("unchanged"),
        "{done:?}"
    );
}

#[tokio::test]
async fn another_operators_account_keeps_its_right() {
    let (_, calls) = run_on(true, Some(binding(&["other"])), false).await;
    let last = calls.last().expect("a call");
    assert_eq!(last.line, format!("PUT {BINDING}/{NAME}"));
    assert_eq!(last.body["subjects"].as_array().map(Vec::len), Some(2));
    let (_, calls) = run_on(true, Some(binding(&["other", "sky-operator"])), true).await;
    let last = calls.last().expect("a call");
    assert_eq!(last.line, format!("PUT {BINDING}/{NAME}"));
    assert_eq!(last.body["subjects"][0]["name"], "other");
}

#[tokio::test]
async fn it_is_taken_back_just_as_it_was_looked_at() {
    let (done, calls) = run_on(true, Some(binding(&["sky-operator"])), true).await;
    let last = calls.last().expect("a call");
    assert_eq!(last.line, format!("DELETE {BINDING}/{NAME}"));
    assert_eq!(
        last.body["preconditions"],
        json!({"uid": "u", "resourceVersion": "7"})
    );
    assert!(done.expect("done")[0].contains("deleted"));
    let (done, calls) = run_on(true, None, true).await;
    assert_eq!(lines(&calls), [format!("GET {BINDING}/{NAME}")]);
    assert!(done.expect("done")[0].contains("nothing was changed"));
}

#[tokio::test]
async fn a_binding_of_another_role_is_named() {
    let mut other = binding(&[]);
    other["roleRef"]["name"] = json!("view");
    let (done, _) = run_on(true, Some(other), false).await;
    let words = done.expect_err("an error").to_string();
    assert!(words.contains("of ClusterRole view"), "{words}");
}
