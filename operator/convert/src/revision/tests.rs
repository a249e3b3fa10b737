//! What is of the pods, and what an undo takes back.

use std::collections::BTreeSet;

use super::*;

fn deployment(spec: Value, annotations: Value) -> SkyDeployment {
    let metadata = json!({"name": "web", "namespace": "shop", "uid": "u", "annotations": annotations});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a SkyDeployment")
}

fn whole() -> Value {
    json!({
        "image": "a:1", "run": "serve", "env": [{"name": "A", "value": "1"}], "resources": {"cpu": 1},
        "replicas": 3, "paused": true, "strategy": {"maxClustersUnavailable": 2}, "progressDeadlineSeconds": 60,
        "placement": {"spread": {"strategy": "Even"}}, "priority": 5, "pendingTimeoutSeconds": 9,
        "onClusterLost": "Wait", "followConfig": false,
    })
}

#[test]
fn only_what_makes_up_the_pods_is_of_the_template() {
    let restarted = json!({"skymanager.io/restarted-at": "2026-01-01T00:00:00Z", "other": "x"});
    let of = template(&deployment(whole(), restarted));
    let fields: BTreeSet<&str> = of
        .as_object()
        .expect("fields")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        BTreeSet::from(["env", "image", "resources", "restartedAt", "run"])
    );
    let mut moved = whole();
    moved["replicas"] = json!(9);
    moved["placement"] = json!({});
    let hashes = [whole(), moved].map(|spec| hash(&template(&deployment(spec, json!({})))));
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hash(&of), hashes[0], "a restart is another template");
}

/// A new field of the spec is of the pods unless it is listed: whoever adds one decides here.
#[test]
fn every_field_of_the_spec_is_known_to_be_of_the_pods_or_not() {
    let definition: Value =
        serde_saphyr::from_str(include_str!("../../../../crds/manifests/skydeployments.yaml"))
            .expect("a definition");
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let schema = definition.pointer(schema).expect("a schema");
    let fields: BTreeSet<&str> = schema
        .as_object()
        .expect("fields")
        .keys()
        .map(String::as_str)
        .collect();
    let pods = fields.iter().filter(|field| !NOT_OF_PODS.contains(field));
    let expect = [
        "args",
        "command",
        "env",
        "image",
        "imagePullPolicy",
        "imagePullSecrets",
        "overrides",
        "ports",
        "resources",
        "run",
        "serviceAccountName",
        "slurm",
        "template",
    ];
    assert_eq!(pods.copied().collect::<Vec<_>>(), expect);
    assert!(NOT_OF_PODS.iter().all(|field| fields.contains(field)));
}

#[test]
fn a_revision_comes_back_from_its_object() {
    let web = deployment(whole(), json!({}));
    let of = template(&web);
    let api = to_api(&web, 7, &of);
    assert_eq!(api.metadata.namespace.as_deref(), Some("shop"));
    assert_eq!(
        api.metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("skymanager.io/uid")),
        Some(&"u".to_owned())
    );
    let kept = from_api(&api, "u").expect("a revision");
    assert_eq!((kept.revision.number, &kept.template), (7, &of));
    assert_eq!(kept.revision.hash, hash(&of));
    assert!(
        kept.name.starts_with("web-") && kept.name.len() == 12,
        "{}",
        kept.name
    );
    assert_eq!(from_api(&api, "another"), None);
}

#[test]
fn long_names_that_begin_alike_have_their_own_revisions() {
    let long = |end: &str| object_name(&format!("{}{end}", "a.".repeat(30)), end, "h");
    assert_ne!(long("x"), long("y"));
    assert!(long("x").len() <= 49 && !long("x").contains('.'));
}

#[test]
fn an_undo_takes_back_the_pods_and_nothing_else() {
    let old = deployment(json!({"image": "a:0", "template": null}), json!({}));
    let old = template(&old);
    let mut present = json!(deployment(
        whole(),
        json!({"skymanager.io/restarted-at": "x", "mine": "y"})
    ));
    restore(&mut present, &old);
    let mut expect = whole();
    for field in ["run", "env", "resources"] {
        expect.as_object_mut().expect("a spec").remove(field);
    }
    expect["image"] = json!("a:0");
    let read: SkyDeployment = serde_json::from_value(present.clone()).expect("a SkyDeployment");
    assert_eq!(json!(read.spec), expect);
    assert_eq!(present["metadata"]["annotations"], json!({"mine": "y"}));
    assert_eq!(hash(&template(&read)), hash(&old));
    let restarted = json!({"image": "a:0", "restartedAt": "z"});
    restore(&mut present, &restarted);
    assert_eq!(
        present["metadata"]["annotations"]["skymanager.io/restarted-at"],
        "z"
    );
}

#[test]
fn a_change_is_told_by_its_images() {
    let containers = json!([{"image": "a:1"}, {"image": "b:2"}]);
    assert_eq!(
        change(&json!({"template": {"spec": {"containers": containers}}})),
        "a:1 b:2"
    );
    assert_eq!(change(&json!({})), "(default image)");
    let told = change(&json!({"image": "a", "run": "x", "restartedAt": "2026-01-01T00:00:00Z"}));
    assert!(
        told.starts_with("a run:") && told.ends_with(" restarted 2026-01-01T00:00:00Z"),
        "{told}"
    );
}
