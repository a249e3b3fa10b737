//! The documents of the original texts, and what must be refused.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{OriginalError, check_strictly, convert};

fn converted(document: Value) -> Value {
    convert(document).expect("converts")
}

fn refused(document: Value) -> String {
    convert(document).expect_err("is refused").to_string()
}

#[test]
fn the_notebook_job_becomes_a_skyjob() {
    let job = converted(json!({
        "kind": "Job",
        "metadata": {"name": "hello", "labels": {"testing": "hello"}},
        "spec": {"image": "gcr.io/sky-burst/skyburst:latest", "resources": {"cpu": 1}, "run": "echo Sky!"}
    }));
    assert_eq!(
        job,
        json!({
            "apiVersion": "skymanager.io/v1alpha1",
            "kind": "SkyJob",
            "metadata": {"name": "hello", "labels": {"testing": "hello"}},
            "spec": {"image": "gcr.io/sky-burst/skyburst:latest", "resources": {"cpu": 1}, "run": "echo Sky!"}
        })
    );
}

#[test]
fn the_filter_policy_keeps_names_and_labels() {
    let spec = json!({
        "clusterFilter": {"include": ["mluo-onprem", "mluo-cloud", "cloud-2"], "exclude": ["mluo-cloud"]},
        "labelsSelector": {"my_app": "testing"}
    });
    let policy = converted(json!({
        "kind": "FilterPolicy",
        "metadata": {"name": "remove-mluo-cloud", "namespace": "default"},
        "spec": spec
    }));
    assert_eq!(policy["apiVersion"], "skymanager.io/v1alpha1");
    assert_eq!(policy["metadata"]["namespace"], "default");
    assert_eq!(policy["spec"], spec);
}

#[test]
fn the_placement_stanza_is_respelled_and_keeps_its_quoted_numbers() {
    let job = converted(json!({
        "kind": "Job",
        "metadata": {"name": "my-job"},
        "spec": {
            "replicas": "1",
            "resources": {"cpus": "1", "memory": "128"},
            "run": "echo hello_sky; sleep 300",
            "placement": {
                "filters": [
                    {"name": "filter-1", "match_labels": {"purpose": "dev"},
                     "match_expressions": [{"key": "location", "operator": "NotIn", "values": ["eu"]}]},
                    {"name": "filter-2",
                     "match_expressions": {"key": "location", "operator": "In", "values": ["eu", "us"]}}
                ],
                "preferences": [
                    {"name": "pref-1", "match_labels": {"sky-cluster-name": "mycluster-dev-1"}, "weight": "100"}
                ]
            }
        }
    }));
    let spec = &job["spec"];
    assert_eq!(spec["replicas"], "1");
    assert_eq!(spec["resources"], json!({"cpus": "1", "memory": "128"}));
    let filters = &spec["placement"]["filters"];
    assert_eq!(filters[0]["matchLabels"], json!({"purpose": "dev"}));
    assert_eq!(filters[0]["matchExpressions"][0]["operator"], "NotIn");
    assert_eq!(
        filters[1]["matchExpressions"],
        json!([{"key": "location", "operator": "In", "values": ["eu", "us"]}])
    );
    assert_eq!(
        spec["placement"]["preferences"][0],
        json!({"name": "pref-1", "matchLabels": {"sky-cluster-name": "mycluster-dev-1"}, "weight": 100})
    );
}

#[test]
fn a_cluster_names_the_secret_that_join_makes() {
    for manager in ["k8", "k8s", "kubernetes", "K8s"] {
        let cluster = converted(json!({
            "kind": "Cluster",
            "metadata": {"name": "c1", "namespace": "x", "labels": {"sky-cluster-name": "mycluster-dev-1"}},
            "spec": {"manager": manager}
        }));
        assert_eq!(
            cluster,
            json!({
                "apiVersion": "skymanager.io/v1alpha1",
                "kind": "SkyCluster",
                "metadata": {"name": "c1", "labels": {"sky-cluster-name": "mycluster-dev-1"}},
                "spec": {"manager": "kubernetes", "kubernetes": {"kubeconfigSecretRef": {"name": "member-c1"}}}
            })
        );
    }
}

#[test]
fn deployment_replicas_are_unquoted_in_both_spellings() {
    let original = json!({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": "3", "image": "nginx",
        "env": {"B": 2, "A": "1"}, "ports": [80, {"containerPort": 443}]}});
    let spec = converted(original)["spec"].clone();
    assert_eq!(spec["replicas"], 3);
    assert_eq!(
        spec["env"],
        json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    );
    assert_eq!(
        spec["ports"],
        json!([{"containerPort": 80}, {"containerPort": 443}])
    );
    let ours = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment",
        "metadata": {"name": "web"}, "spec": {"replicas": "3"}});
    assert_eq!(converted(ours)["spec"]["replicas"], 3);
}

#[test]
fn documents_of_ours_pass_unchanged() {
    let document = json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob", "metadata": {"name": "a"},
        "spec": {"replicas": "2", "placement": {"filters": [{"match_labels": {"a": "b"}}]}, "unknown": true}
    });
    assert_eq!(converted(document.clone()), document);
}

#[test]
fn labels_become_texts() {
    let job = converted(json!({"kind": "Job", "metadata": {"name": "a", "labels": {"tier": 1, "on": true}}}));
    assert_eq!(job["metadata"]["labels"], json!({"tier": "1", "on": "true"}));
}

#[test]
fn everything_else_is_refused_with_its_reason() {
    let job = |spec: Value| json!({"kind": "Job", "metadata": {"name": "a"}, "spec": spec});
    let cases = [
        (json!([1]), "it is a list"),
        (json!({}), "it has no `kind`"),
        (json!({"kind": "Pod"}), "kind Pod without an apiVersion"),
        (
            json!({"kind": "Job", "apiVersion": "batch/v1"}),
            "batch/v1 Job is not a kind of Sky Manager",
        ),
        (
            json!({"kind": "SkyJob", "apiVersion": "skymanager.io/v1"}),
            "has no skymanager.io/v1 SkyJob",
        ),
        (json!({"kind": "Job"}), "metadata: it is needed"),
        (
            json!({"kind": "Job", "metadata": {"name": ""}}),
            "metadata.name: a name is needed",
        ),
        (job(json!("x")), "spec: it is a text"),
        (job(json!({"imag": "x"})), "spec.imag: a SkyJob has no such field"),
        (
            job(json!({"placement": {"filters": [{"match_label": {"a": "b"}}]}})),
            "spec.placement.filters[0].match_label: a SkyJob has no such field",
        ),
        (
            job(json!({"placement": {"filters": [{"match_expressions": [["location", "In"]]}]}})),
            "spec.placement.filters[0].matchExpressions[0]: a SkyJob has no such field",
        ),
        (
            job(json!({"placement": {"filters": {}}})),
            "spec.placement.filters: it is an object",
        ),
        (
            job(json!({"placement": {"filters": [{"match_labels": {}, "matchLabels": {}}]}})),
            "are both given",
        ),
        (
            job(json!({"placement": {"preferences": [{"weight": "many"}]}})),
            "not a whole number",
        ),
        (
            job(json!({"placement": {"preferences": [{"name": "no-weight"}]}})),
            "missing field `weight`",
        ),
        (
            job(json!({"resources": {"cpu": true}})),
            "spec.resources.cpu: it is a boolean",
        ),
        (
            job(json!({"restartPolicy": "Always"})),
            "unknown variant `Always`",
        ),
        (
            json!({"kind": "Cluster", "metadata": {"name": "a"}}),
            "spec.manager: a manager is needed",
        ),
        (
            json!({"kind": "Cluster", "metadata": {"name": "a"}, "spec": {"manager": "slurm"}}),
            "slurm section",
        ),
    ];
    for (document, expected) in cases {
        let message = refused(document.clone());
        assert!(
            message.contains(expected),
            "{document}: {message:?} has not {expected:?}"
        );
    }
}

#[test]
fn a_strict_look_finds_fields_that_a_kind_does_not_have() {
    let job = |spec: Value| {
        json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob", "metadata": {"name": "a"}, "spec": spec,
            "status": {"anything": 1}})
    };
    let words = |object: Value| check_strictly(&object).map_err(|error| error.to_string());
    assert_eq!(
        words(job(json!({"replicas": "2", "resources": {"cpu": 1}}))),
        Ok(())
    );
    assert_eq!(
        words(job(json!({"placement": {"filter": [{}]}}))),
        Err("spec.placement.filter: a SkyJob has no such field".to_owned())
    );
    assert!(words(job(json!({"replicas": [1]}))).is_err());
    assert!(words(json!({"kind": "Job"})).is_err());
}

#[test]
fn an_error_is_one_line() {
    let error = OriginalError::UnknownKind("X".to_owned()).to_string();
    assert!(!error.contains('\n'));
}

/// Values that look like documents, with keys that the converter knows.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        prop_oneof![
            Just("Job"),
            Just("Deployment"),
            Just("Cluster"),
            Just("k8s"),
            Just("1"),
            Just("In")
        ]
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "kind",
            "apiVersion",
            "metadata",
            "name",
            "labels",
            "spec",
            "replicas",
            "resources",
            "placement",
            "filters",
            "preferences",
            "match_labels",
            "match_expressions",
            "matchExpressions",
            "values",
            "weight",
            "env",
            "ports",
            "manager",
        ])
        .prop_map(str::to_owned),
        ".{0,4}",
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_gives_an_object_or_an_error_and_twice_is_once(value in document()) {
        if let Ok(object) = convert(value) {
            prop_assert_eq!(convert(object.clone()), Ok(object));
        }
    }

    #[test]
    fn any_spec_gives_an_object_or_an_error_and_twice_is_once(spec in document(), kind in 0_usize..5) {
        let kind = ["Job", "Deployment", "Cluster", "Namespace", "FilterPolicy"][kind];
        if let Ok(object) = convert(json!({"kind": kind, "metadata": {"name": "a"}, "spec": spec})) {
            prop_assert_eq!(convert(object.clone()), Ok(object));
        }
    }
}
