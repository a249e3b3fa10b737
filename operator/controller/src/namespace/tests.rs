//! Scenarios of namespaces: the operator between a host in memory and fake members, with faults and virtual time.

mod faults;
mod first_need;

use serde_json::{Value, json};

use crate::tests::stage::Stage;
use sky_member::fake::Fake;

/// Two members of two cpus each.
async fn two() -> Stage {
    Stage::new(&[("a", 2000), ("b", 2000)]).await
}

/// A spec with this label, for these clusters.
fn spec(team: &str, clusters: &[&str]) -> Value {
    json!({
        "labels": {"team": team, "pod-security.kubernetes.io/enforce": "restricted"},
        "clusterFilter": {"include": clusters},
    })
}

/// A job of one replica.
fn one() -> Value {
    json!({"replicas": 1, "resources": {"cpu": 1}, "run": "true", "backoffLimit": 1})
}

fn team(member: &Fake) -> Option<String> {
    member.namespace("team")?.labels.get("team").cloned()
}

/// The status in one line: true conditions, and the state on each cluster.
fn line(stage: &Stage) -> String {
    let Some(namespace) = stage.host.find("SkyNamespace", "team") else {
        return "gone".into();
    };
    let status = &namespace["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let conditions = conditions.filter(|condition| condition["status"] == "True");
    let conditions = conditions.map(|c| format!("{}={}", text(&c["type"]), text(&c["reason"])));
    let clusters = status["clusters"].as_array().into_iter().flatten();
    let clusters = clusters.map(|c| format!("{}:{}", text(&c["cluster"]), text(&c["state"])));
    conditions.chain(clusters).collect::<Vec<_>>().join(" ")
}

fn message(stage: &Stage, kind: &str) -> String {
    let namespace = stage.host.find("SkyNamespace", "team").unwrap_or_default();
    let conditions = namespace["status"]["conditions"].as_array().into_iter().flatten();
    let of = conditions.filter(|condition| condition["type"] == kind);
    of.filter_map(|condition| condition["message"].as_str()).collect()
}

fn delete(stage: &Stage) {
    stage.host.edit("SkyNamespace", "team", |namespace| {
        namespace["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
    });
}

/// Effects on the host's own namespaces and on all members.
fn effects(stage: &Stage) -> Vec<String> {
    let host = stage.host_namespaces().effects();
    let host = host.into_iter().map(|effect| format!("host: {effect}"));
    host.chain(stage.effects()).collect()
}

#[tokio::test(start_paused = true)]
async fn it_is_made_on_the_host_and_on_each_selected_member_in_two_writes() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a"]));
    stage.run(5).await;
    assert_eq!(line(&stage), "Ready=InPlace a:Created");
    assert_eq!(
        effects(&stage),
        ["host: hold namespace team", "a: hold namespace team"]
    );
    assert_eq!(stage.host.writes(), ["team +finalizer", "team status InPlace"]);
    assert_eq!(team(stage.host_namespaces()), Some("red".into()));
    assert_eq!(team(stage.member("a")), Some("red".into()));
    let calls = stage.member("a").calls().len();
    stage.run(3600).await;
    assert_eq!(stage.host.writes().len(), 2);
    assert_eq!(
        stage.member("a").calls().len(),
        calls,
        "nothing is asked when nothing changed"
    );
}

#[tokio::test(start_paused = true)]
async fn drift_is_put_back_on_the_host_and_on_members() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a"]));
    stage.run(5).await;
    for place in [stage.host_namespaces(), stage.member("a")] {
        place.edit_namespace("team", |labels, _| {
            labels.insert("team".into(), "theirs".into());
            labels.insert("more".into(), "theirs".into());
        });
    }
    stage.run(2).await;
    for place in [stage.host_namespaces(), stage.member("a")] {
        let labels = place
            .namespace("team")
            .map(|seen| seen.labels)
            .unwrap_or_default();
        assert_eq!((&*labels["team"], &*labels["more"]), ("red", "theirs"));
    }
    stage.member("a").remove_namespace("team");
    stage.run(2).await;
    assert_eq!(team(stage.member("a")), Some("red".into()));
    assert_eq!(
        stage.host.writes().len(),
        2,
        "what is put back at once is no news"
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_spec_changes_labels_everywhere() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    stage.run(5).await;
    stage.host.edit("SkyNamespace", "team", |namespace| {
        namespace["spec"] = json!({"labels": {"other": "x"}});
    });
    stage.run(5).await;
    for place in [stage.host_namespaces(), stage.member("a"), stage.member("b")] {
        let labels = place
            .namespace("team")
            .map(|seen| seen.labels)
            .unwrap_or_default();
        assert!(
            labels.contains_key("other") && !labels.contains_key("team"),
            "{labels:?}"
        );
    }
    let generation = &stage.host.find("SkyNamespace", "team").expect("it")["status"]["observedGeneration"];
    assert_eq!(generation, 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_there_is_adopted_without_pod_security_and_released() {
    let mut stage = two().await;
    for place in [stage.host_namespaces(), stage.member("a")] {
        place.edit_namespace("team", |labels, _| {
            labels.insert("theirs".into(), "yes".into());
        });
    }
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    stage.run(5).await;
    assert_eq!(line(&stage), "Ready=InPlace a:Adopted b:Created");
    let has = |member: &Fake| {
        let labels = member
            .namespace("team")
            .map(|seen| seen.labels)
            .unwrap_or_default();
        labels.contains_key("pod-security.kubernetes.io/enforce")
    };
    assert!(!has(stage.host_namespaces()) && !has(stage.member("a")) && has(stage.member("b")));
    delete(&stage);
    stage.run(90).await;
    assert_eq!(line(&stage), "gone");
    for place in [stage.host_namespaces(), stage.member("a")] {
        let labels = place
            .namespace("team")
            .map(|seen| seen.labels)
            .unwrap_or_default();
        assert_eq!(labels.keys().collect::<Vec<_>>(), ["theirs"]);
    }
    assert!(!stage.member("b").has_namespace("team"));
}

#[tokio::test(start_paused = true)]
async fn a_selection_that_changes_moves_the_namespace_and_what_runs_in_it() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a"]));
    stage.run(5).await;
    stage.apply_in("team", "job", one());
    stage.run(2).await;
    assert_eq!(stage.line("job"), "Pending a:1");
    stage.host.edit("SkyNamespace", "team", |namespace| {
        namespace["spec"]["clusterFilter"]["include"] = json!(["b"]);
    });
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Pending b:1");
    assert_eq!(
        line(&stage),
        "Ready=InPlace Reconciling=Leaving a:Leaving b:Created"
    );
    // The tombstone of the share that left keeps its name for two minutes, then nothing needs the namespace.
    stage.run(400).await;
    assert!(!stage.member("a").has_namespace("team"), "{:?}", effects(&stage));
    assert_eq!(line(&stage), "Ready=InPlace b:Created");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_whose_labels_change_is_selected_anew() {
    let mut stage = two().await;
    stage.apply_namespace(
        "team",
        json!({"clusterSelector": {"matchLabels": {"region": "eu"}}}),
    );
    stage.run(5).await;
    assert_eq!(message(&stage, "Ready"), "on the host; no cluster is selected");
    stage.host.edit("SkyCluster", "b", |cluster| {
        cluster["metadata"]["labels"] = json!({"region": "eu"});
    });
    stage.run(5).await;
    assert_eq!(line(&stage), "Ready=InPlace b:Created");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_held_by_a_job_that_runs_and_by_nothing_afterwards() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    stage.run(5).await;
    stage.apply_in("team", "train", one());
    stage.run(2).await;
    stage.member("a").place("train");
    stage.member("a").start("train");
    delete(&stage);
    stage.run(120).await;
    assert_eq!(
        message(&stage, "Reconciling"),
        "waits for what remains: not ended: SkyJob train; a: holds SkyJob train"
    );
    assert!(!stage.member("b").has_namespace("team"), "nothing is there");
    assert_eq!(team(stage.member("a")), Some("red".into()), "it stays as it is");
    // No new share is placed there.
    stage.apply_in("team", "late", one());
    stage.run(5).await;
    assert_eq!(stage.line("late"), "Queued");
    assert!(stage.message("late", "Scheduled").contains("being deleted"));
    stage.host.edit("SkyJob", "late", |job| {
        job["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
    });
    stage.member("a").succeed("train");
    stage.run(10).await;
    assert!(
        message(&stage, "Reconciling").contains("a: holds SkyJob train"),
        "its Job is there"
    );
    stage.delete("train");
    stage.run(90).await;
    assert_eq!(line(&stage), "gone");
    assert!(!stage.member("a").has_namespace("team") && !stage.host_namespaces().has_namespace("team"));
}

#[tokio::test(start_paused = true)]
async fn what_others_put_into_it_stays_and_holds_nothing() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a"]));
    stage.run(5).await;
    stage.member("a").edit_namespace("team", |_, contents| {
        contents.insert("1 secrets".into());
    });
    delete(&stage);
    stage.run(90).await;
    assert_eq!(line(&stage), "gone");
    assert!(stage.member("a").has_namespace("team") && !stage.host_namespaces().has_namespace("team"));
    // When they take it out, it goes after all.
    stage
        .member("a")
        .edit_namespace("team", |_, contents| contents.clear());
    stage.run(600).await;
    assert!(!stage.member("a").has_namespace("team"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_member_is_named_and_cleaned_up_when_it_is_back() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    stage.run(5).await;
    stage.member("b").fall_silent();
    stage.run(30).await;
    assert_eq!(line(&stage), "Reconciling=Unreachable a:Created b:Unreachable");
    delete(&stage);
    stage.run(600).await;
    assert_eq!(
        message(&stage, "Reconciling"),
        "waits for what remains: b does not answer: connection refused"
    );
    // Also for an operator that has never heard of b.
    stage.kill();
    stage.start();
    stage.run(60).await;
    assert!(message(&stage, "Reconciling").contains("b does not answer"));
    stage.member("b").speak();
    stage.run(90).await;
    assert_eq!(line(&stage), "gone");
    assert!(!stage.member("b").has_namespace("team"));
}

#[tokio::test(start_paused = true)]
async fn another_hosts_namespace_is_a_conflict_and_is_not_touched() {
    let mut stage = two().await;
    stage.member("a").edit_namespace("team", |labels, _| {
        labels.insert("skymanager.io/origin".into(), "another".into());
    });
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    stage.run(10).await;
    assert_eq!(line(&stage), "Stalled=Conflict a:Conflict b:Created");
    assert_eq!(team(stage.member("a")), None);
    let before = stage.host.writes().len();
    stage.run(600).await;
    assert_eq!(stage.host.writes().len(), before);
    stage.member("a").edit_namespace("team", |labels, _| {
        labels.remove("skymanager.io/origin");
    });
    stage.run(90).await;
    assert_eq!(line(&stage), "Ready=InPlace a:Adopted b:Created");
}

#[tokio::test(start_paused = true)]
async fn what_was_to_go_and_is_wanted_again_is_at_once_as_before() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a"]));
    stage.run(5).await;
    stage.member("a").edit_namespace("team", |_, contents| {
        contents.insert("1 secrets".into());
    });
    let include = |stage: &Stage, name: &str| {
        stage.host.edit("SkyNamespace", "team", |namespace| {
            namespace["spec"]["clusterFilter"]["include"] = json!([name]);
        });
    };
    include(&stage, "b");
    stage.run(90).await;
    assert_eq!(line(&stage), "Ready=InPlace a:Kept b:Created");
    include(&stage, "a");
    stage.run(4).await;
    assert_eq!(
        line(&stage),
        "Ready=InPlace Reconciling=Leaving a:Created b:Leaving"
    );
    assert!(!stage.host.writes().iter().any(|write| write.contains("Conflict")));
}
