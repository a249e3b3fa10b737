//! Documents over a live host: what is listed, what counts, and what the user may not see.

use clap::Parser as _;

use super::*;
use crate::documents;
use crate::stage::Stage;

const HOST: &str = r#"
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c1}
spec: {manager: kubernetes}
status: {allocatable: {cpu: "4", memory: 8Gi}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c2}
spec: {manager: kubernetes}
status: {allocatable: {cpu: "2", memory: 8Gi}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyJob
metadata: {name: bound, namespace: other}
spec: {replicas: 3}
status: {clusters: [{cluster: c1, replicas: 3, pending: 3}]}
"#;

const JOB: &str = "
apiVersion: skymanager.io/v1alpha1
kind: SkyJob
metadata: {name: a}
spec: {replicas: 2}
";

fn args(line: &str) -> Args {
    let words = ["sky", "simulate", "-f", "x"]
        .into_iter()
        .chain(line.split_whitespace());
    match crate::commands::Cli::try_parse_from(words).unwrap().command {
        crate::commands::Command::Simulate(args) => args,
        other => panic!("{other:?}"),
    }
}

async fn answer(stage: Stage, documents: &str, line: &str) -> anyhow::Result<(Value, Vec<String>)> {
    let (host, served) = stage.open();
    let (args, documents) = (args(line), documents::convert("x", documents).unwrap());
    let trial = Trial::read(&args, &documents, "default")?;
    let answers = live(&host, &args, trial).await?;
    drop(host);
    Ok((serde_json::to_value(answers)?, served.await?))
}

#[tokio::test]
async fn what_is_promised_on_the_host_is_not_given_again() {
    let (answers, calls) = answer(Stage::of(HOST), JOB, "").await.unwrap();
    assert_eq!(answers[0]["placement"], json!([{"cluster": "c2", "replicas": 2}]));
    assert_eq!(
        calls,
        [
            "GET skyclusters",
            "GET namespaces/default/filterpolicies",
            "GET skynamespaces/default",
            "GET skyjobs",
            "GET skydeployments",
        ]
    );
}

#[tokio::test]
async fn documents_replace_what_the_host_has() {
    let cordoned = "
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: c2, labels: {new: label}}
spec: {manager: kubernetes, unschedulable: true}
---";
    let (answers, _) = answer(Stage::of(HOST), &format!("{cordoned}{JOB}"), "--replicas 1")
        .await
        .unwrap();
    assert_eq!(answers[0]["placement"], json!([{"cluster": "c1", "replicas": 1}]));
    assert_eq!(
        answers[0]["clusters"][1]["reasons"],
        json!(["Cordoned: cordoned"])
    );
}

#[tokio::test]
async fn a_bad_rule_is_an_error_with_its_place() {
    let policy = "{apiVersion: skymanager.io/v1alpha1, kind: FilterPolicy, metadata: {name: p}, spec: {clusterFiltre: {}}}";
    let error = answer(Stage::of(HOST), &format!("{policy}\n---{JOB}"), "")
        .await
        .unwrap_err();
    let error = format!("{error:#}");
    assert!(error.starts_with("failed to read x, document 1: spec"), "{error}");
}

#[tokio::test]
async fn who_may_not_list_clusters_or_policies_is_told_what_to_ask_for() {
    for path in ["skyclusters", "namespaces/default/filterpolicies"] {
        let error = answer(Stage::of(HOST).forbid(path), JOB, "")
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("you may not list ") && error.contains("--offline"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn jobs_that_may_not_be_listed_hold_no_room() {
    let stage = Stage::of(HOST).forbid("skyjobs").forbid("skydeployments");
    let (answers, calls) = answer(stage, JOB, "").await.unwrap();
    assert_eq!(answers[0]["placement"], json!([{"cluster": "c1", "replicas": 2}]));
    assert!(
        calls.contains(&"GET namespaces/default/skyjobs".to_owned()),
        "{calls:?}"
    );
}
