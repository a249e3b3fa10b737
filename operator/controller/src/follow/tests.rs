//! Scenarios of ConfigMaps and Secrets that follow workloads of both kinds: the operator between a host in memory and
//! fake members, with faults, kills and virtual time.

mod faults;

use serde_json::{Value, json};
use sky_core::config::{ConfigKind, ConfigName, Content};

use crate::tests::stage::Stage;

/// A spec of this many replicas of one cpu, which name the ConfigMap `conf`.
fn naming(count: i64) -> Value {
    named(count, "conf")
}

fn named(count: i64, name: &str) -> Value {
    let from = json!({"configMapKeyRef": {"name": name, "key": "key"}});
    json!({"replicas": count, "resources": {"cpu": 1}, "image": "nginx", "env": [{"name": "A", "valueFrom": from}]})
}

fn name_of(name: &str) -> ConfigName {
    ConfigName {
        kind: ConfigKind::ConfigMap,
        name: name.into(),
    }
}

/// The user writes a ConfigMap on the host.
fn write(stage: &Stage, name: &str, text: &str) {
    stage.host.create(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"key": text},
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}")},
    }));
}

/// What a member has under the name; `None`: nothing.
fn there(stage: &Stage, member: &str, name: &str) -> Option<String> {
    let found = stage.member(member).config("default", &name_of(name))?;
    Some(found.texts.get("key").cloned().unwrap_or_default())
}

/// Somebody else writes one on a member.
fn plant(stage: &Stage, member: &str, name: &str) {
    let content = Content {
        texts: [("key".to_owned(), "theirs".to_owned())].into(),
        ..Content::default()
    };
    stage
        .member(member)
        .plant_config("default", &name_of(name), content);
}

/// Reason and message that the status gives for the first cluster.
fn said(stage: &Stage, name: &str) -> (String, String) {
    let status = stage.status(name);
    let text = |field: &str| {
        status["clusters"][0][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    (text("reason"), text("message"))
}

fn serve(stage: &Stage, member: &str, name: &str) {
    stage.member(member).place(name);
    stage.member(member).start(name);
}

/// Applies a workload of each kind in turn on a stage of one member, with the ConfigMap on the host.
async fn of_each_kind(spec: Value) -> Vec<Stage> {
    let mut stages = Vec::new();
    for deployed in [false, true] {
        let mut stage = Stage::new(&[("a", 3000)]).await;
        write(&stage, "conf", "one");
        if deployed {
            stage.deploy("w", spec.clone());
        } else {
            stage.apply("w", spec.clone());
        }
        stage.run(1).await;
        serve(&stage, "a", "w");
        stage.run(5).await;
        stages.push(stage);
    }
    stages
}

#[tokio::test(start_paused = true)]
async fn what_pods_name_is_there_before_them_and_goes_with_them() {
    for mut stage in of_each_kind(naming(1)).await {
        let wanted = [
            "a: copy ConfigMap conf",
            "a: create w/1-0",
            "a: change ConfigMap conf",
        ];
        assert_eq!(stage.effects(), wanted, "copied, then used");
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
        stage.delete("w");
        stage.run(10).await;
        assert!(stage.status("w").is_null());
        assert_eq!(there(&stage, "a", "conf"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_on_the_host_follows_and_a_quiet_hour_writes_nothing() {
    for mut stage in of_each_kind(naming(1)).await {
        stage
            .host
            .edit("ConfigMap", "conf", |conf| conf["data"]["key"] = json!("two"));
        stage.run(100).await;
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("two"));
        let (writes, effects) = (stage.host.writes().len(), stage.effects().len());
        let reads = stage.host.config_reads();
        stage.run(3600).await;
        assert_eq!(
            (stage.host.writes().len(), stage.effects().len()),
            (writes, effects)
        );
        let reads = stage.host.config_reads() - reads;
        assert!((40..90).contains(&reads), "about one a minute: {reads}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_somebody_removes_on_a_member_is_put_back() {
    for mut stage in of_each_kind(naming(1)).await {
        stage.member("a").remove_config("default", &name_of("conf"));
        stage.run(600).await;
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_stays_until_its_last_user_goes() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    write(&stage, "conf", "one");
    stage.apply("job", naming(1));
    stage.deploy("web", naming(1));
    stage.run(1).await;
    serve(&stage, "a", "job");
    serve(&stage, "a", "web");
    stage.run(5).await;
    stage.delete("job");
    stage.run(100).await;
    assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
    // Nothing of who uses it was in memory alone.
    stage.kill();
    stage.start();
    stage.run(5).await;
    stage.delete("web");
    stage.run(10).await;
    assert_eq!(there(&stage, "a", "conf"), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_switched_off_is_not_copied() {
    let mut spec = naming(1);
    spec["followConfig"] = json!(false);
    for stage in of_each_kind(spec).await {
        assert_eq!(stage.effects(), ["a: create w/1-0"]);
        assert_eq!(stage.host.config_reads(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_said_with_what_to_do_and_starts_once_it_may() {
    for deployed in [false, true] {
        let mut stage = Stage::new(&[("a", 3000)]).await;
        stage.host.forbid_configs(true);
        write(&stage, "conf", "one");
        let mut spec = naming(1);
        spec["pendingTimeoutSeconds"] = json!(60);
        if deployed {
            stage.deploy("w", spec);
        } else {
            stage.apply("w", spec);
        }
        stage.run(600).await;
        let (reason, message) = said(&stage, "w");
        assert_eq!(reason, "ConfigForbidden", "{}", stage.status("w"));
        assert!(
            message.contains("`kubectl sky allow-config default`"),
            "{message}"
        );
        assert!(
            stage.line("w").contains("Stalled=ConfigForbidden"),
            "{}",
            stage.line("w")
        );
        assert_eq!(stage.effects(), [""; 0]);
        assert!(
            stage.host.config_reads() < 60,
            "no storm: {}",
            stage.host.config_reads()
        );
        assert!(
            stage.status("w")["evictions"]
                .as_array()
                .is_none_or(Vec::is_empty),
            "waiting for a user is no lateness"
        );
        stage.host.forbid_configs(false);
        stage.run(45).await;
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
        serve(&stage, "a", "w");
        stage.run(15).await;
        assert!(!stage.line("w").contains("Stalled"), "{}", stage.line("w"));
        assert_eq!(stage.member("a").shares_of("w").len(), 1);
        let status = stage.status("w");
        let evicted = status["evictions"].as_array().is_some_and(|all| !all.is_empty());
        assert!(!evicted, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_but_is_there_runs_and_is_said() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    stage.host.forbid_configs(true);
    plant(&stage, "a", "conf");
    stage.deploy("web", naming(1));
    stage.run(1).await;
    serve(&stage, "a", "web");
    stage.run(30).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:1 Ready=Available Progressing=Complete"
    );
    assert_eq!(said(&stage, "web").0, "ConfigForbidden");
    assert_eq!(there(&stage, "a", "conf").as_deref(), Some("theirs"));
    stage.delete("web");
    stage.run(10).await;
    assert_eq!(there(&stage, "a", "conf").as_deref(), Some("theirs"));
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named_and_starts_when_it_appears() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    stage.apply("job", naming(1));
    stage.run(30).await;
    let (reason, message) = said(&stage, "job");
    assert_eq!(reason, "ConfigMissing");
    assert!(message.starts_with("ConfigMap conf is neither"), "{message}");
    assert!(!stage.line("job").contains("Stalled"), "{}", stage.line("job"));
    write(&stage, "conf", "one");
    stage.run(45).await;
    assert_eq!(stage.member("a").shares_of("job").len(), 1);
    // It may go on the host while it is used.
    stage.host.remove("ConfigMap", "conf");
    serve(&stage, "a", "job");
    stage.run(600).await;
    assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn what_may_be_missing_keeps_nobody_waiting() {
    let mut spec = naming(1);
    spec["env"][0]["valueFrom"]["configMapKeyRef"]["optional"] = json!(true);
    let mut stage = Stage::new(&[("a", 3000)]).await;
    stage.deploy("web", spec);
    stage.run(1).await;
    serve(&stage, "a", "web");
    stage.run(30).await;
    assert_eq!(said(&stage, "web").0, "");
    write(&stage, "conf", "one");
    stage.run(100).await;
    assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_one_is_left_alone_and_another_cluster_is_tried() {
    for deployed in [false, true] {
        let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
        write(&stage, "conf", "one");
        plant(&stage, "a", "conf");
        if deployed {
            stage.deploy("w", naming(1));
        } else {
            stage.apply("w", naming(1));
        }
        stage.run(10).await;
        let status = stage.status("w");
        assert_eq!(status["summary"], "b:1", "{status}");
        assert_eq!(status["evictions"][0]["reason"], "Conflict");
        let message = status["evictions"][0]["message"].as_str().unwrap_or_default();
        assert!(message.contains("ConfigMap conf"), "{message}");
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("theirs"));
        assert_eq!(there(&stage, "b", "conf").as_deref(), Some("one"));
        stage.delete("w");
        stage.run(10).await;
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("theirs"));
        assert_eq!(there(&stage, "b", "conf"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_of_clusters_are_not_copied() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    stage.host.create(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "data": {"token": "c2VjcmV0"},
        "metadata": {"name": "token", "namespace": "default", "uid": "uid-token"},
    }));
    let mut spec = naming(1);
    spec["env"][0]["valueFrom"] = json!({"secretKeyRef": {"name": "token", "key": "token"}});
    stage.apply("job", spec.clone());
    stage.apply_in("sky-system", "own", spec);
    stage.run(10).await;
    for name in ["job", "own"] {
        let (reason, message) = said(&stage, name);
        assert_eq!(reason, "ConfigNotCopied", "{message}");
        assert!(message.contains("Secret token"), "{message}");
    }
    assert_eq!(stage.effects(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_changed_template_names_no_more_goes_when_it_has_rolled() {
    for killed in [false, true] {
        let mut stage = Stage::new(&[("a", 3000)]).await;
        write(&stage, "conf", "one");
        write(&stage, "next", "two");
        stage.deploy("w", naming(1));
        stage.run(1).await;
        serve(&stage, "a", "w");
        stage.run(5).await;
        stage.edit("w", |w| {
            w["spec"]["env"][0]["valueFrom"]["configMapKeyRef"]["name"] = json!("next");
        });
        stage.run(5).await;
        assert_eq!(there(&stage, "a", "next").as_deref(), Some("two"));
        assert_eq!(
            there(&stage, "a", "conf").as_deref(),
            Some("one"),
            "its pods still run"
        );
        if killed {
            stage.kill();
            stage.start();
            stage.run(5).await;
        }
        serve(&stage, "a", "w");
        stage.run(5).await;
        assert_eq!(there(&stage, "a", "conf"), None, "killed: {killed}");
        assert_eq!(there(&stage, "a", "next").as_deref(), Some("two"));
    }
}
