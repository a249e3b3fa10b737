//! Documents of the original system: what is converted is an object of our kinds, is converted to itself, has lost
//! nothing that the user wrote, and can be read by everything that reads such objects.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sky_convert::workload::Defaults;
use sky_convert::{cluster, deployment, job, namespace, original, policy, template};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};

use crate::dice::{self, Dice};
use crate::rounds;

const WORDS: &[&str] = &[
    "kind",
    "apiVersion",
    "metadata",
    "spec",
    "name",
    "namespace",
    "labels",
    "annotations",
    "replicas",
    "resources",
    "cpu",
    "cpus",
    "memory",
    "gpu",
    "A100",
    "run",
    "command",
    "env",
    "ports",
    "containerPort",
    "placement",
    "filters",
    "preferences",
    "tolerations",
    "weight",
    "match_labels",
    "match_expressions",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "In",
    "Exists",
    "clusterFilter",
    "include",
    "exclude",
    "clusterSelector",
    "labelsSelector",
    "workloadSelector",
    "manager",
    "kubernetes",
    "k8",
    "slurm",
    "template",
    "containers",
    "spread",
    "strategy",
    "Even",
    "Weighted",
    "clusterWeights",
    "cluster",
    "minClusters",
    "gang",
    "suspend",
    "runId",
    "status",
    "500m",
    "128",
    "-1",
    "1e3",
    "",
    "a",
    "Job",
    "Deployment",
    "Cluster",
    "Namespace",
    "FilterPolicy",
    "SkyJob",
    "skymanager.io/v1alpha1",
    "backoffLimit",
    "restartPolicy",
    "OnFailure",
];

fn corpus() -> Vec<Value> {
    let pod = json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
                     "nodeSelector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}]});
    vec![
        json!({"kind": "Job", "metadata": {"name": "hello", "labels": {"testing": "hello", "tier": 1}},
               "spec": {"image": "gcr.io/sky/burst:latest", "resources": {"cpu": 1}, "run": "echo Sky!"}}),
        json!({"kind": "Job", "metadata": {"name": "my-job"}, "spec": {
            "replicas": "2", "resources": {"cpus": "1", "memory": "128"}, "run": "sleep 300", "env": {"A": "1", "B": 2},
            "placement": {
                "filters": [{"name": "f", "match_labels": {"purpose": "dev"},
                             "match_expressions": {"key": "location", "operator": "NotIn", "values": ["eu"]}}],
                "preferences": [{"name": "p", "match_labels": {"purpose": "dev"}, "weight": "100"}]}}}),
        json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "x"}, "spec": {
            "replicas": "3", "image": "nginx", "ports": [80, {"containerPort": 443}, "8080"]}}),
        json!({"kind": "Cluster", "metadata": {"name": "c1", "labels": {"sky-cluster-name": "c"}}, "spec": {"manager": "k8"}}),
        json!({"kind": "Namespace", "metadata": {"name": "n"}, "spec": {"clusterSelector": {"match_labels": {"a": "b"}},
               "clusterFilter": {"include": ["a"], "exclude": null}}}),
        json!({"kind": "FilterPolicy", "metadata": {"name": "p", "namespace": "default"}, "spec": {
            "clusterFilter": {"include": ["a", "b"], "exclude": ["b"]}, "labelsSelector": {"app": "testing", "tier": 2}}}),
        json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment", "metadata": {"name": "web"}, "spec": {"replicas": "3"}}),
        json!({"kind": "Job", "metadata": {"name": "t"}, "spec": {"replicas": 2, "template": {"spec": pod}, "gang": false}}),
        json!({"kind": "Job", "metadata": {"name": "s"}, "spec": {"replicas": 4, "runId": "r1", "placement": {"spread": {
            "strategy": "Weighted", "clusterWeights": [{"cluster": "a", "weight": 2}], "minClusters": 1, "maxClusters": 3}}}}),
    ]
}

fn read<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"))
}

/// Reads the object as everything does that is given one.
fn read_on(object: &Value) {
    let defaults = Defaults::default();
    match object["kind"].as_str().expect("a kind") {
        "SkyJob" => {
            let read: SkyJob = read(object);
            let parsed = job::parse(&read, &defaults);
            let _ = job::facts(&read, parsed.as_ref());
        }
        "SkyDeployment" => drop(deployment::workload(&read::<SkyDeployment>(object), &defaults)),
        "SkyCluster" => drop(cluster::cluster(&read::<SkyCluster>(object))),
        "SkyNamespace" => drop(namespace::rule(&read::<SkyNamespace>(object))),
        "FilterPolicy" => drop(policy::policy(&read::<FilterPolicy>(object))),
        other => panic!("{other} is no kind of ours"),
    }
    let _ = template::needs(&object["spec"]["template"]);
}

/// Texts, numbers and booleans of a tree, as texts.
fn leaves(tree: &Value, found: &mut BTreeSet<String>) {
    match tree {
        Value::Null => {}
        Value::String(text) => drop(found.insert(text.trim().to_owned())),
        Value::Bool(boolean) => drop(found.insert(boolean.to_string())),
        Value::Number(number) => drop(found.insert(number.to_string())),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| leaves(field, found)),
    }
}

/// Whole numbers may lose what says nothing in them: a plus, zeros in front.
fn is_kept(text: &str, after: &BTreeSet<String>) -> bool {
    let number = text.parse::<i64>().map(|number| number.to_string());
    after.contains(text) || number.is_ok_and(|number| after.contains(&number))
}

/// True when it was converted.
fn check(document: &Value) -> bool {
    let Ok(object) = original::convert(document.clone()) else {
        return false;
    };
    assert_eq!(
        original::convert(object.clone()).as_ref(),
        Ok(&object),
        "converted twice"
    );
    if document
        .get("apiVersion")
        .is_some_and(|version| !version.is_null())
    {
        // A document of ours passes as it is, for the API server to judge.
        return true;
    }
    assert_eq!(object["apiVersion"], "skymanager.io/v1alpha1");
    assert_eq!(object["metadata"]["name"], document["metadata"]["name"]);
    read_on(&object);
    let (mut before, mut after) = (BTreeSet::new(), BTreeSet::new());
    for part in ["labels", "annotations"] {
        leaves(&document["metadata"][part], &mut before);
    }
    let mut spec = document["spec"].clone();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("manager");
    }
    leaves(&spec, &mut before);
    leaves(&object, &mut after);
    let lost: Vec<&String> = before.iter().filter(|text| !is_kept(text, &after)).collect();
    assert!(lost.is_empty(), "{lost:?} got lost: {object}");
    true
}

#[test]
fn a_converted_document_is_one_of_ours_and_has_lost_nothing() {
    let mutate = |dice: &mut Dice, document: &Value| {
        let mut document = document.clone();
        for _ in 0..=dice.below(3) {
            dice::mutate(dice, &mut document, WORDS);
        }
        document
    };
    rounds::run(15_000, &corpus(), mutate, check);
}

#[test]
fn a_document_of_damaged_text_is_read_or_refused() {
    let texts: Vec<String> = corpus().iter().map(Value::to_string).collect();
    let mutate = |dice: &mut Dice, text: &String| dice::text(dice, text, WORDS);
    rounds::run(20_000, &texts, mutate, |text| {
        serde_json::from_str::<Value>(text).is_ok_and(|document| check(&document))
    });
}
