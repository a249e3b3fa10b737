//! Members that fall silent, writes that fail, operators that are killed.

use serde_json::json;

use super::*;
use crate::tests::stage::host::Fault;

#[tokio::test(start_paused = true)]
async fn a_lost_cluster_gives_its_replicas_to_others_and_what_it_still_has_goes_when_it_is_back() {
    let mut stage = serving().await;
    stage.member("b").fall_silent();
    stage.run(200).await;
    assert_eq!(
        stage.status("web")["summary"],
        "a:3,b:1",
        "within its grace nothing moves"
    );
    stage.member("a").add_node(sky_member::fake::node("a-1", 3000));
    stage.run(300).await;
    serve(&stage, &["a"]);
    stage.run(5).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:4 Ready=Available Progressing=Complete"
    );
    assert_eq!(stage.status("web")["evictions"][0]["reason"], "ClusterLost");
    stage.member("b").speak();
    stage.run(5).await;
    assert!(stage.member("b").shares_of("web").is_empty());
    assert_eq!(
        stage.line("web"),
        "Ready a:4 Ready=Available Progressing=Complete"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_waits_stays_where_it_is() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
    let mut spec = replicas(4);
    spec["onClusterLost"] = json!("Wait");
    stage.deploy("web", spec);
    stage.run(1).await;
    serve(&stage, &["a", "b"]);
    stage.run(5).await;
    stage.member("b").fall_silent();
    stage.run(600).await;
    assert_eq!(stage.status("web")["summary"], "a:3,b:1");
    assert_eq!(stage.status("web")["clusters"][1]["unknown"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_cannot_start_is_tried_elsewhere() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
    let mut spec = replicas(2);
    spec["pendingTimeoutSeconds"] = json!(60);
    stage.deploy("web", spec);
    stage.run(30).await;
    assert_eq!(stage.status("web")["summary"], "a:2");
    stage.run(60).await;
    assert_eq!(stage.status("web")["summary"], "b:2");
    assert_eq!(stage.status("web")["coolDowns"][0]["cluster"], "a");
    assert!(stage.member("a").shares_of("web").is_empty());
}

/// Whatever goes wrong with whichever write, in the end there is one share on each cluster, and just as many replicas.
#[tokio::test(start_paused = true)]
async fn faults_of_the_host_neither_lose_nor_double_a_share() {
    let faults = [
        Fault::Refused(409),
        Fault::Refused(503),
        Fault::Overtaken,
        Fault::LostReply,
        Fault::Mute,
    ];
    for fault in faults {
        for at in 0..4 {
            let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
            let before = std::iter::repeat_n(None, at);
            stage.host.faults(before.chain([Some(fault)]));
            stage.deploy("web", replicas(4));
            stage.run(90).await;
            serve(&stage, &["a", "b"]);
            stage.run(30).await;
            let line = stage.line("web");
            assert_eq!(
                line, "Ready a:3,b:1 Ready=Available Progressing=Complete",
                "{fault:?} at {at}"
            );
            let shares = ["a", "b"].map(|member| stage.member(member).shares_of("web").len());
            assert_eq!(shares, [1, 1], "{fault:?} at {at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_killed_at_any_moment_is_followed_by_one_that_finishes_the_work() {
    for moment in 0..20 {
        let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
        stage.deploy("web", replicas(4));
        tokio::time::sleep(std::time::Duration::from_millis(2 * moment)).await;
        stage.kill();
        stage.start();
        stage.run(5).await;
        serve(&stage, &["a", "b"]);
        stage.run(10).await;
        let line = stage.line("web");
        assert_eq!(
            line, "Ready a:3,b:1 Ready=Available Progressing=Complete",
            "{moment}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_record_is_written_again_from_what_members_have() {
    let mut stage = serving().await;
    stage.kill();
    stage.edit("web", |web| web["status"] = json!({"observedGeneration": -1}));
    stage.start();
    stage.run(10).await;
    assert_eq!(
        stage.line("web"),
        "Ready a:3,b:1 Ready=Available Progressing=Complete"
    );
    let creates = stage
        .effects()
        .iter()
        .filter(|effect| effect.contains("create"))
        .count();
    assert_eq!(creates, 2);
}
