//! What the Job of a share looks like.

use super::*;
use crate::kubernetes::stamp;
use sky_core::ranks::Ranks;
use sky_core::resources::Resources;
use sky_core::share::{Accelerator, Stamp};
use sky_core::workload::Kind;

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
