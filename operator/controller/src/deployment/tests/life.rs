//! A SkyDeployment from its creation to its end: spread, scaled, rolled over, governed, deleted.

use serde_json::json;

use super::*;

/// What was changed on members after it was there.
fn applied(stage: &Stage) -> Vec<String> {
    let mut effects = stage.effects();
    effects.retain(|effect| effect.contains("apply"));
    effects
}

#[tokio::test(start_paused = true)]
async fn replicas_are_spread_served_and_counted() {
    let stage = serving().await;
    let status = stage.status("web");
    assert_eq!(
        (
            &status["replicas"],
            &status["readyReplicas"],
            &status["availableReplicas"]
        ),
        (&json!(4), &json!(4), &json!(4))
    );
    assert_eq!(status["selector"], "skymanager.io/uid=uid-web");
    assert_eq!(stage.effects(), ["a: create web/1-0", "b: create web/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn growing_adds_to_the_shares_there_are_and_shrinking_takes_from_the_least_liked() {
    let mut stage = serving().await;
    scale(&stage, 6);
    stage.run(2).await;
    serve(&stage, &["a", "b"]);
    stage.run(5).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:3,b:3 Ready=Available Progressing=Complete"
    );
    assert_eq!(applied(&stage), ["b: apply web/1-1"]);
    scale(&stage, 1);
    stage.run(5).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:1 Ready=Available Progressing=Complete"
    );
    assert!(stage.member("b").shares_of("web").is_empty());
    scale(&stage, 0);
    stage.run(5).await;
    assert_eq!(stage.line("web"), "Ready Ready=Available Progressing=Complete");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_waits_and_is_taken_up_when_room_appears() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    stage.deploy("web", replicas(5));
    stage.run(1).await;
    serve(&stage, &["a"]);
    stage.run(5).await;
    assert_eq!(stage.line("web"), "Progressing a:3 Progressing=Replicas");
    let words = stage.message("web", "Scheduled");
    assert!(
        words.starts_with("2 of 5 replicas wait: 0/1 clusters: 1 insufficient cpu"),
        "{words}"
    );
    stage.member("a").add_node(sky_member::fake::node("a-1", 3000));
    stage.run(5).await;
    serve(&stage, &["a"]);
    stage.run(5).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:5 Ready=Available Progressing=Complete"
    );
}

#[tokio::test(start_paused = true)]
async fn a_steady_state_writes_nothing() {
    let mut stage = serving().await;
    let (writes, effects) = (stage.host.writes().len(), stage.effects().len());
    stage.run(1200).await;
    assert_eq!(
        (stage.host.writes().len(), stage.effects().len()),
        (writes, effects)
    );
}

#[tokio::test(start_paused = true)]
async fn a_changed_template_goes_member_by_member_and_stops_where_it_does_not_serve() {
    let mut stage = serving().await;
    stage.edit("web", |web| web["spec"]["image"] = json!("nginx:2"));
    stage.run(60).await;
    assert_eq!(applied(&stage), ["a: apply web/1-0"], "one at a time");
    assert!(
        stage
            .message("web", "Progressing")
            .contains("1 clusters are still to be updated")
    );
    serve(&stage, &["a"]);
    stage.run(5).await;
    assert_eq!(applied(&stage), ["a: apply web/1-0", "b: apply web/1-1"]);
    serve(&stage, &["b"]);
    stage.run(5).await;
    let revisions: Vec<_> = stage
        .host
        .all("ControllerRevision")
        .iter()
        .map(|one| (one["revision"].clone(), one["data"]["image"].clone()))
        .collect();
    let wanted = [(json!(1), json!("nginx")), (json!(2), json!("nginx:2"))];
    assert!(wanted.iter().all(|one| revisions.contains(one)), "{revisions:?}");
    assert_eq!(
        stage.line("web"),
        "Ready a:3,b:1 Ready=Available Progressing=Complete"
    );
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_keeps_its_template_and_is_still_scaled() {
    let mut stage = serving().await;
    stage.edit("web", |web| {
        web["spec"]["paused"] = json!(true);
        web["spec"]["image"] = json!("nginx:2");
        web["spec"]["replicas"] = json!(3);
    });
    stage.run(10).await;
    assert_eq!(stage.line("web"), "Paused a:3");
    assert_eq!(stage.status("web")["updatedReplicas"], 0);
    stage.edit("web", |web| web["spec"]["paused"] = json!(false));
    stage.run(5).await;
    serve(&stage, &["a"]);
    stage.run(5).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:3 Ready=Available Progressing=Complete"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_moves_the_share_it_forbids_and_no_other() {
    let mut stage = serving().await;
    stage.host.create(json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "FilterPolicy",
        "metadata": {"name": "not-b", "namespace": "default", "uid": "not-b"},
        "spec": {"clusterFilter": {"exclude": ["b"]}},
    }));
    stage.run(5).await;
    assert!(stage.member("b").shares_of("web").is_empty());
    assert_eq!(stage.status("web")["evictions"][0]["reason"], "FilterPolicy");
    let words = stage.message("web", "Scheduled");
    assert!(words.starts_with("1 of 4 replicas wait"), "{words}");
    assert_eq!(stage.member("a").shares_of("web")[0].counts.running, 3);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_deletes_on_a_member_is_created_again() {
    let mut stage = serving().await;
    stage.member("b").delete("web");
    stage.run(5).await;
    assert_eq!(stage.member("b").shares_of("web").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changes_on_a_member_is_put_back_once() {
    let mut stage = serving().await;
    stage.member("b").meddle("web", 7);
    stage.run(60).await;
    assert_eq!(stage.member("b").shares_of("web")[0].replicas, 1);
    assert_eq!(applied(&stage), ["b: apply web/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_withdraws_everywhere_and_then_lets_go() {
    let mut stage = serving().await;
    stage.delete("web");
    stage.run(5).await;
    assert!(stage.status("web").is_null());
    for member in ["a", "b"] {
        assert!(stage.member(member).shares_of("web").is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn while_paused_a_cluster_that_is_new_gets_the_template_that_the_others_have() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 1000), ("c", 0)]).await;
    stage.deploy("web", replicas(4));
    stage.run(1).await;
    serve(&stage, &["a", "b"]);
    stage.run(5).await;
    let hash = |stage: &Stage, member: &str| stage.member(member).shares_of("web")[0].stamp.spec_hash.clone();
    let before = hash(&stage, "a");
    stage.edit("web", |web| {
        web["spec"]["paused"] = json!(true);
        web["spec"]["image"] = json!("nginx:2");
        web["spec"]["replicas"] = json!(6);
    });
    stage.member("c").add_node(sky_member::fake::node("c-1", 3000));
    stage.run(10).await;
    assert_eq!(stage.status("web")["summary"], "a:3,b:1,c:2");
    assert_eq!(hash(&stage, "c"), before);
    serve(&stage, &["c"]);
    stage.edit("web", |web| web["spec"]["paused"] = json!(false));
    for _ in 0..4 {
        stage.run(5).await;
        serve(&stage, &["a", "b", "c"]);
    }
    assert!(
        ["a", "b", "c"]
            .iter()
            .all(|member| hash(&stage, member) != before)
    );
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_once_and_a_life_without_it_has_no_events() {
    let mut stage = serving().await;
    assert!(stage.host.events().is_empty());
    stage.member("b").fall_silent();
    stage.run(400).await;
    stage.fleet().stir_workloads("b");
    stage.run(60).await;
    let told = stage.host.events();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("Evicted") && told[0].contains("ClusterLost"),
        "{told:?}"
    );
}
