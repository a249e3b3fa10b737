//! What becomes of SkyJobs as users write them.

use super::*;
use serde_json::{Value, json};

fn job(spec: Value) -> SkyJob {
    let metadata = json!({
        "name": "my-job", "namespace": "default", "uid": "u",
        "labels": {"my_app": "testing", "argocd.argoproj.io/instance": "x", "app.kubernetes.io/managed-by": "Helm"},
    });
    let object =
        json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob", "metadata": metadata, "spec": spec});
    serde_json::from_value(object).expect("a SkyJob")
}

fn parsed(spec: Value) -> Result<Job, Refused> {
    parse(&job(spec), &Defaults::default())
}

#[test]
fn the_original_example_is_read_whole() {
    let spec = json!({
        "replicas": "1", "image": "ubuntu:latest", "resources": {"cpus": "1", "memory": "128"},
        "run": "echo hello_sky; sleep 300",
        "placement": {
            "filters": [{"name": "filter-1", "match_labels": {"purpose": "dev"},
                         "match_expressions": [{"key": "location", "operator": "NotIn", "values": ["eu"]}]}],
            "preferences": [{"name": "pref-1", "match_labels": {"sky-cluster-name": "mycluster-dev-1"}, "weight": 100}],
        },
    });
    let job = parsed(spec).expect("the original example");
    assert_eq!(job.workload.replicas, 1);
    assert_eq!(job.workload.needs.resources.memory, 128 << 20);
    assert_eq!(job.workload.filters[0].labels["purpose"], "dev");
    assert_eq!(job.workload.preferences[0].weight, 100);
}

#[test]
fn an_absent_image_is_the_operators_default() {
    let job = parsed(json!({"run": "true"})).expect("a job");
    let Program::Container(container) = job.program else {
        panic!("no container")
    };
    assert_eq!(container.image, "ubuntu:latest");
    assert_eq!(job.workload.needs.resources.cpu, 1000);
}

#[test]
fn a_replica_that_is_alone_needs_a_whole_node_and_other_words_are_refused_by_name() {
    let exclusive = |how: &str| parsed(json!({"run": "true", "slurm": {"directives": {"exclusive": how}}}));
    for (how, whole) in [("true", true), ("user", false), ("mcs", false), ("false", false)] {
        let job = exclusive(how).expect(how);
        assert_eq!(job.workload.needs.whole_node, whole, "{how}");
    }
    let refused = exclusive("perhaps").expect_err("refused");
    assert_eq!(refused.reason, "InvalidSpec");
    assert_eq!(
        refused.message,
        "spec.slurm.directives.exclusive: \"perhaps\" is none of true, user, mcs, false; use one"
    );
}

#[test]
fn what_is_recorded_of_a_cluster_is_what_may_run_there() {
    let share = |id: &str, cluster: &str, more: Value| {
        let mut share = json!({"id": id, "cluster": cluster, "replicas": 1, "ranks": "0", "attempt": 1});
        share
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        share
    };
    let shares = [
        share("1-0", "hpc", json!({"instance": "7/a"})),
        share("1-1", "hpc", json!({"instance": "8/b"})),
        share("1-2", "hpc", json!({"instance": "9/c", "complete": true})),
        share("1-3", "hpc", json!({})),
        share("1-4", "other", json!({"instance": "7/a"})),
    ];
    let mut job = job(json!({"run": "true", "replicas": 5}));
    let status = json!({"placement": {"revision": 1, "shares": shares}});
    job.status = Some(serde_json::from_value(status).expect("a status"));
    let known = BTreeSet::from(["8/b".to_owned()]);
    let found = |job: &SkyJob| recorded(job, "hpc", "origin", &known);
    let [(key, stamp, placed)] = &found(&job)[..] else {
        panic!("{:?}", found(&job))
    };
    let parsed = parse(&job, &Defaults::default()).expect("a job");
    let whole = super::share(&parsed, placed, &Labels::new(), "origin");
    assert_eq!((key, stamp), (&whole.key, &whole.stamp));
    assert_eq!(placed.instance.as_deref(), Some("7/a"));
    job.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
    assert!(found(&job).is_empty());
}

#[test]
fn a_boolean_amount_is_refused_by_name() {
    let refused = parsed(json!({"run": "true", "resources": {"cpu": true}})).expect_err("refused");
    assert_eq!(refused.reason, "InvalidSpec");
    assert!(
        refused
            .message
            .starts_with("spec.resources.cpu: must be a number"),
        "{}",
        refused.message
    );
}

#[test]
fn contradictions_are_refused_by_name() {
    let words = |spec: Value| {
        parsed(spec)
            .err()
            .map(|refused| refused.message)
            .unwrap_or_default()
    };
    let env = json!({"run": "true", "env": [{"name": "SKY_RANK", "value": "7"}]});
    assert_eq!(
        words(env),
        "spec.env: SKY_RANK is set by Sky Manager; use a name without SKY_"
    );
    let template = |policy: &str| json!({"spec": {"containers": [{"name": "c"}], "restartPolicy": policy}});
    let both = json!({"restartPolicy": "Never", "template": template("OnFailure")});
    assert!(words(both).contains("differ; give one of them"));
    assert!(words(json!({"template": template("Always")})).contains("not for jobs"));
    let inner = parsed(json!({"template": template("OnFailure"), "backoffLimit": 2})).expect("a job");
    assert_eq!(inner.retry, Retry::Restart(2));
}

#[test]
fn ownership_marks_of_the_host_are_not_copied() {
    let job = parsed(json!({"run": "true"})).expect("a job");
    assert_eq!(job.labels.keys().collect::<Vec<_>>(), ["my_app"]);
}

#[test]
fn fields_that_may_change_do_not_change_the_hash() {
    let hash = |spec: Value| parsed(spec).expect("a job").spec_hash;
    let plain = hash(json!({"run": "true"}));
    assert_eq!(
        plain,
        hash(json!({"run": "true", "suspend": true, "priority": 5, "runId": "2"}))
    );
    assert_ne!(plain, hash(json!({"run": "false"})));
}

#[test]
fn a_run_id_used_before_leaves_the_present_run_as_it_is() {
    let mut job = job(json!({"run": "true", "runId": "1"}));
    assert_eq!(present_run(&job), "1");
    let run = |id: &str| sky_crds::job::Run {
        run_id: id.into(),
        outcome: "Running".into(),
        start_time: None,
        completion_time: None,
    };
    job.status = Some(sky_crds::SkyJobStatus {
        runs: vec![run("1"), run("2")],
        ..Default::default()
    });
    assert_eq!(present_run(&job), "2");
    job.spec.run_id = Some("3".into());
    assert_eq!(present_run(&job), "3");
}

#[test]
fn a_share_is_named_the_same_every_time() {
    let job = parsed(json!({"run": "true", "replicas": 2})).expect("a job");
    let placed = PlacedShare {
        id: "1-0".into(),
        cluster: "c".into(),
        replicas: 2,
        ranks: "0-1".parse().expect("ranks"),
        attempt: 1,
        ..PlacedShare::default()
    };
    let share = share(&job, &placed, &Labels::new(), "origin");
    assert_eq!(share.key.object, naming::share_object("my-job", "u", "", "1-0"));
    assert_eq!(share.key.namespace, "default");
}
