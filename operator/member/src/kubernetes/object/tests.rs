//! What the Job of a share looks like.

use super::*;
use crate::kubernetes::stamp;
use sky_core::patch::Patch;
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Accelerator, Stamp};
use sky_core::share::{Container, Entry, Program};
use sky_core::workload::Kind;

fn job(share: &Share) -> Value {
    super::job(share).expect("a Job")
}

fn share() -> Share {
    let mut requests = Resources::new(1500, 128 << 20);
    requests.extended.insert("nvidia.com/gpu".into(), 1);
    Share {
        key: ShareKey {
            kind: sky_core::workload::Kind::SkyJob,
            namespace: "team".into(),
            object: "train-0123abcd".into(),
        },
        stamp: Stamp {
            origin: "o".into(),
            kind: Kind::SkyJob,
            namespace: "team".into(),
            name: "train".into(),
            uid: "u".into(),
            run: String::new(),
            share: "1-0".into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        cluster: "c1".into(),
        replicas: 2,
        total_replicas: 4,
        ranks: Ranks::consecutive(2, 2),
        suspended: false,
        known: false,
        instance: None,
        labels: BTreeMap::from([("team".into(), "a".into())]),
        annotations: BTreeMap::new(),
        program: Program::Container(Container {
            image: "ubuntu".into(),
            entry: Entry::Script("echo Sky!".into()),
            ..Container::default()
        }),
        requests,
        patches: vec![],
        accelerator: None,
        retry: Retry::Replace(0),
        progress_deadline: None,
    }
}

#[test]
fn a_share_becomes_an_indexed_job_that_its_member_never_removes_by_itself() {
    let job = job(&share());
    assert_eq!(job["metadata"]["name"], "train-0123abcd");
    assert_eq!(job["spec"]["completions"], 2);
    assert_eq!(job["spec"]["parallelism"], 2);
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    assert_eq!(job["spec"]["podReplacementPolicy"], "Failed");
    assert_eq!(job["spec"]["backoffLimitPerIndex"], 0);
    assert_eq!(job["spec"].get("ttlSecondsAfterFinished"), None);
}

#[test]
fn requests_are_exact_and_extended_resources_are_limits_too() {
    let job = job(&share());
    let resources = &job["spec"]["template"]["spec"]["containers"][0]["resources"];
    let expect = json!({
        "requests": {"cpu": "1500m", "memory": "134217728", "nvidia.com/gpu": "1"},
        "limits": {"nvidia.com/gpu": "1"},
    });
    assert_eq!(*resources, expect);
}

fn with(accelerator: Accelerator) -> Value {
    let job = job(&Share {
        accelerator: Some(accelerator),
        requests: Resources::new(1500, 0),
        ..share()
    });
    job["spec"]["template"]["spec"].clone()
}

#[test]
fn accelerators_are_requested_and_limited_on_any_model() {
    let pod = with(Accelerator {
        resource: "amd.com/gpu".into(),
        count: 2,
        models: vec![],
    });
    let expect = json!({"requests": {"cpu": "1500m", "amd.com/gpu": "2"}, "limits": {"amd.com/gpu": "2"}});
    assert_eq!(pod["containers"][0]["resources"], expect);
    assert_eq!(pod.get("affinity"), None);
}

#[test]
fn models_are_asked_for_under_every_label_that_a_node_may_publish_them_by() {
    let models = vec![
        "NVIDIA-A100-SXM4-80GB".to_owned(),
        "NVIDIA-A100-PCIE-40GB".to_owned(),
    ];
    let pod = with(Accelerator {
        resource: "nvidia.com/gpu".into(),
        count: 1,
        models: models.clone(),
    });
    let required = "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = pod.pointer(required).and_then(Value::as_array).expect("terms");
    let keys: Vec<&str> = terms
        .iter()
        .filter_map(|term| term["matchExpressions"][0]["key"].as_str())
        .collect();
    assert_eq!(keys, ACCELERATOR_LABELS);
    let wanted =
        json!({"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": models}]});
    assert_eq!(terms[0], wanted);
}

#[test]
fn a_tombstone_is_a_job_that_says_whose_name_it_takes_and_runs_nothing() {
    let share = share();
    let tombstone = Tombstone {
        stamp: share.stamp.clone(),
        since: 1000,
    };
    let job: k8s_openapi::api::batch::v1::Job =
        serde_json::from_value(super::tombstone(&share.key, &tombstone)).expect("a Job of the API");
    assert_eq!(job.metadata.name, Some(share.key.object));
    assert_eq!(stamp::read(&job), Some(share.stamp));
    assert_eq!(stamp::tombstone(&job), Some(1000));
    let spec = job.spec.expect("a spec");
    assert_eq!((spec.suspend, spec.parallelism), (Some(true), Some(0)));
}

#[test]
fn every_replica_finds_its_rank() {
    let job = job(&share());
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert!(
        container["env"]
            .as_array()
            .is_some_and(|env| env.contains(&json!({"name": "SKY_RANKS", "value": "2,3"})))
    );
    let script = container["command"][2].as_str().unwrap_or_default();
    let run = |index: &str| {
        let out = std::process::Command::new("/bin/sh")
            .args(["-c", &script.replace("echo Sky!", "echo $SKY_RANK")])
            .env("SKY_RANKS", "2,3")
            .env("JOB_COMPLETION_INDEX", index)
            .output()
            .expect("a shell");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    assert_eq!((run("0"), run("1")), ("2".into(), "3".into()));
}

#[test]
fn the_stamp_comes_back_from_the_object() {
    let job: k8s_openapi::api::batch::v1::Job =
        serde_json::from_value(job(&share())).expect("a Job of the API");
    assert_eq!(stamp::read(&job), Some(share().stamp));
}

#[test]
fn a_template_keeps_what_the_user_wrote() {
    let template = json!({
        "metadata": {"labels": {"mine": "yes"}},
        "spec": {"containers": [{"name": "x", "image": "i", "env": [{"name": "A", "value": "b"}]}], "nodeSelector": {"k": "v"}},
    });
    let job = job(&Share {
        program: Program::Template(template),
        ..share()
    });
    let template = &job["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["mine"], "yes");
    assert_eq!(
        template["metadata"]["labels"]["skymanager.io/share"],
        "train-0123abcd"
    );
    assert_eq!(template["spec"]["nodeSelector"]["k"], "v");
    assert_eq!(template["spec"]["restartPolicy"], "Never");
    let env = template["spec"]["containers"][0]["env"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert_eq!(env.last(), Some(&json!({"name": "A", "value": "b"})));
    assert_eq!(env.len(), 5);
}

/// The pod template of the share with these patches.
fn patched(patches: Vec<Patch>, share: Share) -> Result<Value, MemberError> {
    let job = super::job(&Share { patches, ..share })?;
    Ok(job["spec"]["template"].clone())
}

#[test]
fn an_override_changes_the_finished_template_but_nothing_of_ours() {
    let merge = json!({
        "metadata": {"labels": {"team": "b", "skymanager.io/share": "stolen"}},
        "spec": {"containers": [{"name": "main", "imagePullPolicy": "Never", "env": [{"name": "SITE", "value": "eu"}],
                                 "resources": {"requests": {"cpu": "2"}}}]},
    });
    let operations = vec![
        json!({"op": "replace", "path": "/spec/containers/0/image", "value": "mirror/ubuntu"}),
        json!({"op": "add", "path": "/metadata/annotations/note", "value": "here"}),
        json!({"op": "remove", "path": "/spec/containers/0/resources/limits"}),
    ];
    let template =
        patched(vec![Patch::Strategic(merge), Patch::Json(operations)], share()).expect("a template");
    let main = &template["spec"]["containers"][0];
    assert_eq!(
        (&main["image"], &main["imagePullPolicy"]),
        (&json!("mirror/ubuntu"), &json!("Never"))
    );
    assert_eq!(main["resources"]["requests"]["cpu"], "2");
    assert_eq!(main["resources"]["requests"]["memory"], "134217728");
    assert_eq!(main["resources"].get("limits"), None);
    let env: Vec<&str> = main["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert_eq!(
        env,
        ["SKY_JOB", "SKY_CLUSTER", "SKY_REPLICAS", "SKY_RANKS", "SITE"]
    );
    let metadata = &template["metadata"];
    assert_eq!(
        (&metadata["labels"]["team"], &metadata["annotations"]["note"]),
        (&json!("b"), &json!("here"))
    );
    assert_eq!(metadata["labels"]["skymanager.io/share"], "train-0123abcd");
    assert_eq!(template["spec"]["restartPolicy"], "Never");
}

#[test]
fn an_override_that_cannot_be_applied_is_rejected_with_words() {
    let words = |patch: Patch| {
        let error = patched(vec![patch], share()).expect_err("rejected");
        assert_eq!(error.class, Class::Rejected);
        error.message
    };
    let operation = |operation: Value| Patch::Json(vec![operation]);
    assert_eq!(
        words(operation(
            json!({"op": "test", "path": "/spec/containers/0/image", "value": "x"})
        )),
        "spec.overrides: jsonPatch[0]: test /spec/containers/0/image: value did not match"
    );
    let strategic = |spec: Value| Patch::Strategic(json!({"spec": spec}));
    assert!(words(strategic(json!({"containers": "x"}))).contains("the container main must stay"));
    assert!(
        words(strategic(json!({"nodeSelector": "x"})))
            .starts_with("the template is no pod template: invalid type")
    );
    assert_eq!(
        words(strategic(
            json!({"containers": [{"name": "main", "imagePullPolcy": "Never"}]})
        )),
        "spec.overrides: spec.containers[0].imagePullPolcy is no field of a pod template"
    );
    assert!(words(strategic(json!({"restartPolicy": "Always"}))).contains("restartPolicy is the same"));
    let ours = json!({"containers": [{"name": "main", "env": [{"name": "SKY_RANKS", "value": "0"}]}]});
    assert!(words(strategic(ours)).contains("SKY_RANKS is set by Sky Manager"));
    assert!(
        words(operation(
            json!({"op": "replace", "path": "/spec/containers/0/name", "value": "x"})
        ))
        .contains("must stay")
    );
    assert!(
        words(operation(
            json!({"op": "replace", "path": "/metadata", "value": "x"})
        ))
        .contains("metadata")
    );
}

#[test]
fn what_is_known_to_nobody_but_the_user_is_left_to_the_member() {
    let program = json!({"spec": {"containers": [{"name": "x", "image": "i"}], "fromTomorrow": {"a": 1}}});
    let share = Share {
        program: Program::Template(program),
        ..share()
    };
    let empty = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}], "securityContext": {}, "hostAliases": [],
        "terminationGracePeriodSeconds": 5, "containers": [{"name": "x", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": "http"}}, "resources": {"requests": {"cpu": "1"}}}]}});
    let template = patched(vec![Patch::Strategic(empty)], share).expect("a template");
    assert_eq!(template["spec"]["fromTomorrow"]["a"], 1);
    assert_eq!(
        template["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"],
        "http"
    );
}

#[test]
fn accelerators_stay_asked_for_whatever_an_override_says() {
    let zone = json!({"key": "zone", "operator": "In", "values": ["a"]});
    let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
        {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}}});
    let resources = json!({"limits": {"memory": "1Gi"}});
    let patch =
        json!({"spec": {"affinity": affinity, "containers": [{"name": "main", "resources": resources}]}});
    let accelerator = Accelerator {
        resource: "nvidia.com/gpu".into(),
        count: 2,
        models: vec!["A100".into()],
    };
    let asking = Share {
        accelerator: Some(accelerator),
        requests: Resources::new(1500, 0),
        ..share()
    };
    let template = patched(vec![Patch::Strategic(patch)], asking).expect("a template");
    let resources = &template["spec"]["containers"][0]["resources"];
    assert_eq!(
        resources["limits"],
        json!({"memory": "1Gi", "nvidia.com/gpu": "2"})
    );
    assert_eq!(
        resources["requests"],
        json!({"cpu": "1500m", "nvidia.com/gpu": "2"})
    );
    let required =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = template
        .pointer(required)
        .and_then(Value::as_array)
        .expect("terms");
    assert_eq!(terms.len(), ACCELERATOR_LABELS.len());
    for (term, label) in terms.iter().zip(ACCELERATOR_LABELS) {
        assert_eq!(
            (&term["matchExpressions"][0], &term["matchExpressions"][1]["key"]),
            (&zone, &json!(label))
        );
    }
}

/// The merge keys that patches go by are the API's own: the types merge the same way.
#[test]
fn a_strategic_merge_is_that_of_the_api_types() {
    use k8s_openapi::DeepMerge as _;
    let base = json!({"metadata": {"labels": {"a": "1"}}, "spec": {
        "containers": [{"name": "main", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "volumeMounts": [{"mountPath": "/a", "name": "v"}], "command": ["x"],
                        "ports": [{"containerPort": 80, "protocol": "TCP"}]}],
        "initContainers": [{"name": "first", "image": "i"}],
        "imagePullSecrets": [{"name": "one"}],
        "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a"]}],
        "tolerations": [{"key": "a"}],
        "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
    }});
    let patch = json!({"metadata": {"labels": {"b": "2"}}, "spec": {
        "containers": [{"name": "main", "image": "j", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
                        "volumeMounts": [{"mountPath": "/a", "name": "w"}], "command": ["y", "z"],
                        "ports": [{"containerPort": 80, "protocol": "TCP", "name": "web"}]},
                       {"name": "side", "image": "s"}],
        "initContainers": [{"name": "first", "image": "k"}],
        "imagePullSecrets": [{"name": "two"}],
        "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["b"]}],
        "tolerations": [{"key": "b"}],
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}],
    }});
    let typed = |value: &Value| PodTemplateSpec::deserialize(value).expect("a template");
    let mut expect = typed(&base);
    expect.merge_from(typed(&patch));
    let mut merged = base;
    sky_core::patch::apply(&mut merged, &[Patch::Strategic(patch)]).expect("it applies");
    assert_eq!(json!(typed(&merged)), json!(expect));
}
