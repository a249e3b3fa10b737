//! Lost members under `onClusterLost: Reschedule`: their shares move, and exactly one attempt survives.

use serde_json::json;

use super::replicas;
use crate::tests::stage::Stage;

/// Members a and b of two cpus each, c that has no room yet, and a job of four replicas that runs on a and b.
async fn rescheduling() -> Stage {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000), ("c", 0)]).await;
    let mut spec = replicas(4);
    spec["onClusterLost"] = json!("Reschedule");
    stage.apply("job", spec);
    stage.run(1).await;
    start(&stage);
    stage.run(20).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    stage
}

fn start(stage: &Stage) {
    for member in ["a", "b", "c"] {
        stage.member(member).place("job");
        stage.member(member).start("job");
    }
}

fn succeed(stage: &Stage, members: &[&str]) {
    for member in members {
        stage.member(member).succeed("job");
    }
}

/// Member a falls silent for longer than its grace.
async fn lose_a(stage: &mut Stage) {
    stage.member("a").fall_silent();
    stage.run(310).await;
    stage.fleet().stir_workloads("a");
    stage.run(10).await;
}

fn give_room(stage: &Stage) {
    stage.member("c").add_node(sky_member::fake::node("c-1", 2000));
}

#[tokio::test(start_paused = true)]
async fn a_lost_share_moves_and_when_its_member_is_back_the_old_attempt_goes() {
    let mut stage = rescheduling().await;
    give_room(&stage);
    lose_a(&mut stage).await;
    stage.run(30).await;
    assert_eq!(stage.line("job"), "Running b:2,c:2");
    let status = stage.status("job");
    let shares = &status["placement"]["shares"];
    assert_eq!(
        (&shares[1]["ranks"], &shares[1]["attempt"]),
        (&json!("0-1"), &json!(2))
    );
    assert_eq!(shares[1]["interruptions"], json!(null), "it costs no try");
    assert_eq!(status["evictions"][0]["reason"], "ClusterLost");
    stage.member("a").speak();
    stage.run(5).await;
    assert!(stage.member("a").keys().is_empty());
    start(&stage);
    succeed(&stage, &["b", "c"]);
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete b:2,c:2 Complete=Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_back_before_there_was_room_elsewhere_keeps_its_share() {
    let mut stage = rescheduling().await;
    lose_a(&mut stage).await;
    stage.run(60).await;
    assert_eq!(
        stage.status("job")["placement"]["shares"][0]["evicting"]["reason"],
        "ClusterLost"
    );
    assert_eq!(
        stage.message("job", "Scheduled"),
        "2 of 4 replicas wait: 0/3 clusters: 2 insufficient cpu, 1 not ready; placed on b:2"
    );
    stage.member("a").speak();
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    give_room(&stage);
    stage.run(60).await;
    succeed(&stage, &["a", "b"]);
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_finished_in_the_silence_counts_unless_its_ranks_have_another_place() {
    let mut stage = rescheduling().await;
    stage.member("a").fall_silent();
    succeed(&stage, &["a"]);
    lose_a(&mut stage).await;
    stage.member("a").speak();
    stage.run(5).await;
    succeed(&stage, &["b"]);
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");

    let mut stage = rescheduling().await;
    stage.member("a").fall_silent();
    succeed(&stage, &["a"]);
    give_room(&stage);
    lose_a(&mut stage).await;
    stage.member("a").speak();
    stage.run(30).await;
    assert_eq!(
        stage.line("job"),
        "Running b:2,c:2",
        "the second attempt counts, and it alone"
    );
    assert!(stage.member("a").keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_had_succeeded_is_not_run_again() {
    let mut stage = rescheduling().await;
    stage.member("a").succeed_one("job", 1);
    stage.run(60).await;
    lose_a(&mut stage).await;
    stage.kill();
    stage.start();
    give_room(&stage);
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Running a:1,b:2,c:1");
    let shares = &stage.status("job")["placement"]["shares"];
    let again = shares
        .as_array()
        .expect("shares")
        .iter()
        .find(|share| share["cluster"] == "c");
    assert_eq!(again.expect("a share on c")["ranks"], "0");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_meanwhile_stays_ended_and_its_old_attempt_goes() {
    let mut stage = rescheduling().await;
    give_room(&stage);
    lose_a(&mut stage).await;
    stage.run(30).await;
    start(&stage);
    succeed(&stage, &["b", "c"]);
    stage.run(5).await;
    let status = stage.status("job");
    assert_eq!(stage.line("job"), "Complete b:2,c:2 Complete=Succeeded");
    stage.member("a").speak();
    stage.run(60).await;
    assert!(stage.member("a").keys().is_empty());
    assert_eq!(stage.status("job"), status);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_waits_for_a_lost_member_that_may_still_run_an_attempt() {
    let mut stage = rescheduling().await;
    give_room(&stage);
    lose_a(&mut stage).await;
    stage.run(30).await;
    stage.kill();
    stage.start();
    stage.delete("job");
    stage.run(30).await;
    assert!(
        stage
            .message("job", "Reconciling")
            .starts_with("waiting for a to answer")
    );
    stage.member("a").speak();
    stage.run(10).await;
    assert!(stage.host.find("SkyJob", "job").is_none());
    assert!(stage.member("a").keys().is_empty());
}

/// Whenever the operator is killed while a share moves, no rank has two places in the record, and one attempt survives.
#[tokio::test(start_paused = true)]
async fn killed_at_any_moment_of_a_move_exactly_one_attempt_survives() {
    for moment in 0..30 {
        let mut stage = rescheduling().await;
        stage.member("a").fall_silent();
        stage.run(310).await;
        give_room(&stage);
        stage.fleet().stir_workloads("a");
        tokio::time::sleep(std::time::Duration::from_millis(4 * moment)).await;
        stage.kill();
        stage.start();
        stage.run(500).await;
        assert_eq!(stage.line("job"), "Running b:2,c:2", "{moment}");
        stage.kill();
        stage.member("a").speak();
        stage.start();
        stage.run(30).await;
        assert!(stage.member("a").keys().is_empty(), "{moment}");
        start(&stage);
        succeed(&stage, &["b", "c"]);
        stage.run(10).await;
        assert_eq!(
            stage.line("job"),
            "Complete b:2,c:2 Complete=Succeeded",
            "{moment}"
        );
        let creates = stage
            .effects()
            .iter()
            .filter(|effect| effect.contains("create"))
            .count();
        assert_eq!(creates, 3, "{moment}: one on each member");
    }
}
