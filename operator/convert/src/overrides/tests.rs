//! Which overrides apply where, what replicas need there, and which are refused.

use super::*;
use serde_json::{Value, json};
use sky_core::workload::Workload;
use sky_crds::SkyJob;

use crate::job::{Job, parse};
use crate::workload::Defaults;

fn parsed(spec: Value) -> Result<Job, Refused> {
    let metadata = json!({"name": "j", "namespace": "default", "uid": "u", "labels": {"app": "x"}});
    let job: SkyJob = serde_json::from_value(json!({"metadata": metadata, "spec": spec})).expect("a SkyJob");
    parse(&job, &Defaults::default())
}

fn job(overrides: Value) -> Job {
    parsed(json!({"run": "true", "resources": {"cpu": 1, "gpu": 1}, "overrides": overrides})).expect("a job")
}

fn words(overrides: Value) -> String {
    let refused = parsed(json!({"run": "true", "overrides": overrides})).expect_err("refused");
    assert_eq!(refused.reason, "InvalidSpec");
    refused.message
}

fn labels(region: &str) -> Labels {
    Labels::from([("region".into(), region.into())])
}

fn needs(workload: &Workload, cluster: &str, region: &str) -> Arc<Needs> {
    let overrides = workload.overrides.as_ref().expect("overrides");
    let needs = overrides.needs(cluster, &labels(region));
    needs.unwrap_or_else(|| workload.needs.clone())
}

fn main(fields: Value) -> Value {
    let mut container = json!({"name": "main"});
    for (field, value) in fields.as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    json!({"spec": {"containers": [container]}})
}

#[test]
fn patches_apply_by_name_or_label_in_the_order_of_the_spec() {
    let job = job(json!([
        {"clusterSelector": {"matchLabels": {"region": "eu"}}, "strategicMerge": main(json!({"image": "eu/i"}))},
        {"clusters": ["a", "b"], "jsonPatch": [{"op": "add", "path": "/spec/hostNetwork", "value": true}]},
    ]));
    let kinds = |cluster: &str, region: &str| {
        let patches = job.overrides.patches(cluster, &labels(region));
        patches
            .iter()
            .map(|patch| matches!(patch, Patch::Strategic(_)))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds("a", "eu"), [true, false]);
    assert_eq!(kinds("a", "us"), [false]);
    assert_eq!(kinds("c", "eu"), [true]);
    assert!(kinds("c", "us").is_empty());
}

#[test]
fn the_scheduler_sees_what_overrides_leave_of_the_needs() {
    let requests = |cpu: &str| main(json!({"resources": {"requests": {"cpu": cpu}}}));
    let job = job(json!([
        {"clusters": ["a", "b"], "strategicMerge": requests("4")},
        {"clusters": ["b"], "strategicMerge": requests("3")},
        {"clusters": ["b"], "jsonPatch": [{"op": "add", "path": "/spec/nodeSelector", "value": {"disk": "ssd"}}]},
        {"clusters": ["c"], "strategicMerge": main(json!({"image": "c/i"}))},
    ]));
    let of = |cluster: &str| needs(&job.workload, cluster, "eu");
    assert_eq!(of("a").resources.cpu, 4000);
    assert_eq!(of("a").resources.memory, job.workload.needs.resources.memory);
    assert_eq!(of("b").resources.cpu, 3000);
    assert_eq!(of("b").node_labels["disk"], "ssd");
    assert!(Arc::ptr_eq(&of("c"), &job.workload.needs));
    assert!(Arc::ptr_eq(&of("d"), &job.workload.needs));
    assert_eq!(of("b").accelerator, job.workload.needs.accelerator);
    assert!(Arc::ptr_eq(&of("a"), &of("a")), "worked out once");
}

#[test]
fn what_cannot_be_applied_leaves_the_needs_as_they_are() {
    let job = job(json!([{"clusters": ["a"], "jsonPatch": [{"op": "remove", "path": "/spec/nowhere"}]}]));
    assert!(Arc::ptr_eq(&needs(&job.workload, "a", "eu"), &job.workload.needs));
}

#[test]
fn patches_that_fit_no_template_are_refused_by_field() {
    let operation = |operation: Value| json!([{"clusters": ["a"], "jsonPatch": [operation]}]);
    assert_eq!(
        words(operation(json!({"op": "add", "path": "/status/x", "value": 1}))),
        "spec.overrides[0].jsonPatch[0]: /status/x: a pod template has the fields metadata and spec alone"
    );
    assert_eq!(
        words(operation(json!({"op": "add", "path": "/spec/x"}))),
        "spec.overrides[0].jsonPatch[0]: missing field `value`"
    );
    let delete = json!({"spec": {"containers": [{"name": "main", "$patch": "delete"}]}});
    assert!(
        words(json!([{"clusters": ["a"], "strategicMerge": delete}]))
            .starts_with("spec.overrides[0].strategicMerge: the directive $patch is not supported")
    );
    let slurm = json!({"matchLabels": {"skymanager.io/manager": "slurm"}});
    assert!(
        words(json!([{"clusterSelector": slurm, "strategicMerge": main(json!({}))}]))
            .contains("Slurm members have no pod template")
    );
}

#[test]
fn workloads_of_equal_overrides_have_equal_fingerprints() {
    let print = |image: &str| {
        let job = job(json!([{"clusters": ["a"], "strategicMerge": main(json!({"image": image}))}]));
        let overrides = job.workload.overrides.expect("overrides");
        overrides.fingerprint().to_owned()
    };
    assert_eq!(print("x"), print("x"));
    assert_ne!(print("x"), print("y"));
    let plain = parsed(json!({"run": "true"})).expect("a job");
    assert!(plain.workload.overrides.is_none() && plain.overrides.is_empty());
}
