//! What users change: deletion, suspension, another run, deadlines and clean-up.

use serde_json::json;

use super::{THREE_WRITES, replicas, running, start, succeed};
use crate::tests::stage::Stage;

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

#[tokio::test(start_paused = true)]
async fn deletion_withdraws_everywhere_before_the_finalizer_goes() {
    let mut stage = running().await;
    stage.member("a").linger(true);
    stage.delete("job");
    stage.run(60).await;
    assert!(stage.member("b").keys().is_empty());
    assert!(
        stage.host.find("SkyJob", "job").is_some(),
        "a share is still on its way out"
    );
    stage.member("a").let_go();
    stage.run(1).await;
    assert!(stage.host.find("SkyJob", "job").is_none());
    let last = stage.host.writes().pop();
    assert_eq!(last.as_deref(), Some("job -finalizer"));
    let withdrawn = stage
        .effects()
        .iter()
        .filter(|effect| effect.contains("withdraw"))
        .count();
    assert_eq!(withdrawn, 2);
}

#[tokio::test(start_paused = true)]
async fn deletion_waits_for_a_silent_member_and_says_so() {
    let mut stage = running().await;
    stage.member("a").fall_silent();
    stage.delete("job");
    stage.run(60).await;
    assert!(stage.member("b").keys().is_empty());
    let words = "waiting for a to answer before its shares can be withdrawn";
    assert!(stage.message("job", "Reconciling").starts_with(words));
    stage.run(1200).await;
    let writes = stage.host.writes().len();
    stage.run(3600).await;
    assert_eq!(stage.host.writes().len(), writes, "waiting writes nothing");
    stage.member("a").speak();
    stage.run(10).await;
    assert!(stage.host.find("SkyJob", "job").is_none());
    assert!(stage.member("a").keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_deleted_as_soon_as_it_is_dispatched_leaves_nothing_behind() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.member("a").whisper(true);
    stage.apply("job", replicas(1));
    stage
        .until("the share", |stage| !stage.member("a").keys().is_empty())
        .await;
    stage.delete("job");
    stage.run(5).await;
    stage.member("a").whisper(false);
    stage.run(60).await;
    assert!(stage.member("a").keys().is_empty(), "{:?}", stage.host.writes());
    assert!(stage.host.find("SkyJob", "job").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_queued_job_that_is_deleted_gives_way_to_the_next() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("first", replicas(2));
    stage.run(1).await;
    stage.apply("job", replicas(2));
    stage.apply("next", replicas(2));
    stage.run(5).await;
    stage.delete("job");
    stage.run(1).await;
    assert!(stage.host.find("SkyJob", "job").is_none());
    stage.member("a").succeed("first");
    stage.run(2).await;
    assert_eq!(stage.line("next"), "Pending a:2");
}

#[tokio::test(start_paused = true)]
async fn suspend_and_resume_change_the_shares_and_create_none() {
    let mut stage = running().await;
    for round in 0..2 {
        stage.edit("job", |job| job["spec"]["suspend"] = json!(true));
        stage.run(5).await;
        assert_eq!(
            stage.line("job"),
            "Suspended a:2,b:2 Suspended=Suspended",
            "round {round}"
        );
        stage.edit("job", |job| job["spec"]["suspend"] = json!(false));
        stage.run(5).await;
        assert_eq!(stage.line("job"), "Pending a:2,b:2", "round {round}");
    }
    let of_a = ["create", "suspend", "resume", "suspend", "resume"].map(|verb| format!("{verb} job/1-0"));
    assert_eq!(stage.member("a").effects(), of_a);
}

#[tokio::test(start_paused = true)]
async fn a_job_suspended_from_the_start_is_not_placed() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    let mut spec = replicas(1);
    spec["suspend"] = json!(true);
    stage.apply("job", spec);
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Suspended Suspended=Suspended");
    stage.edit("job", |job| job["spec"]["suspend"] = json!(false));
    stage.run(2).await;
    assert_eq!(stage.line("job"), "Pending a:1");
}

#[tokio::test(start_paused = true)]
async fn another_run_starts_only_after_the_old_shares_are_gone() {
    let mut stage = running().await;
    stage.member("a").linger(true);
    stage.edit("job", |job| job["spec"]["runId"] = json!("2"));
    stage.run(60).await;
    let created = |stage: &Stage| {
        stage
            .effects()
            .iter()
            .filter(|effect| effect.contains("create"))
            .count()
    };
    assert_eq!(created(&stage), 2, "the old run is not gone from a");
    stage.member("a").linger(false);
    stage.member("a").let_go();
    stage.run(5).await;
    assert_eq!(created(&stage), 4);
    assert_eq!(stage.line("job"), "Pending a:2,b:2");
    start(&stage);
    stage.run(1).await;
    succeed(&stage);
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    let runs = stage.status("job")["runs"].clone();
    let outcomes: Vec<&str> = runs
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|run| run["outcome"].as_str())
        .collect();
    assert_eq!(outcomes, ["Withdrawn", "Complete"]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_runs_again_once_for_each_new_run_id() {
    let mut stage = running().await;
    succeed(&stage);
    stage.run(5).await;
    for (run_id, created) in [("2", 4), ("3", 6), ("2", 6)] {
        stage.edit("job", |job| job["spec"]["runId"] = json!(run_id));
        stage.run(5).await;
        succeed(&stage);
        stage.run(5).await;
        assert_eq!(
            stage.line("job"),
            "Complete a:2,b:2 Complete=Succeeded",
            "run {run_id}"
        );
        let all = stage
            .effects()
            .iter()
            .filter(|effect| effect.contains("create"))
            .count();
        assert_eq!(all, created, "a run id that was used before starts nothing");
        let job = stage.host.find("SkyJob", "job").unwrap();
        assert_eq!(
            job["status"]["observedGeneration"], job["metadata"]["generation"],
            "run {run_id} is acknowledged"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn another_run_without_room_waits_quietly() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("job", replicas(2));
    stage.run(1).await;
    stage.member("a").succeed("job");
    stage.run(2).await;
    stage.apply("other", replicas(2));
    stage.run(2).await;
    stage.member("a").place("other");
    stage.member("a").start("other");
    stage.edit("job", |job| job["spec"]["runId"] = json!("2"));
    stage.run(600).await;
    assert_eq!(stage.line("job"), "Queued");
    let writes = stage.host.writes().len();
    stage.run(600).await;
    assert_eq!(stage.host.writes().len(), writes, "{:?}", stage.host.writes());
    stage.edit("job", |job| job["spec"]["suspend"] = json!(true));
    stage.run(5).await;
    stage.member("a").succeed("other");
    stage.apply("third", replicas(2));
    stage.run(5).await;
    assert_eq!(
        stage.line("third"),
        "Pending a:2",
        "a suspended job holds no room"
    );
}

#[tokio::test(start_paused = true)]
async fn after_the_ttl_the_shares_go_and_the_record_stays() {
    let mut stage = running().await;
    stage.edit("job", |job| job["spec"]["ttlSecondsAfterFinished"] = json!(3600));
    succeed(&stage);
    stage.run(600).await;
    assert_eq!(stage.member("a").keys().len(), 1);
    stage.edit("job", |job| job["status"]["completionTime"] = json!(LONG_AGO));
    stage.run(10).await;
    assert!(stage.member("a").keys().is_empty());
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_a_job_fails_and_is_withdrawn() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    let mut spec = replicas(1);
    spec["activeDeadlineSeconds"] = json!(3600);
    stage.apply("job", spec);
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Pending a:1");
    stage.edit("job", |job| job["status"]["startTime"] = json!(LONG_AGO));
    stage.run(10).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:1 Failed=DeadlineExceeded Stalled=DeadlineExceeded"
    );
    assert!(stage.member("a").keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn labels_changed_meanwhile_cost_nothing() {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    stage.apply("job", replicas(4));
    for round in 0..20 {
        stage.edit("job", |job| {
            job["metadata"]["labels"] = json!({"round": round.to_string()})
        });
        stage.run(1).await;
    }
    start(&stage);
    succeed(&stage);
    stage.run(5).await;
    assert_eq!(stage.host.writes(), THREE_WRITES);
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}

fn ask_again(stage: &Stage, value: &str) {
    stage.edit("job", |job| {
        job["metadata"]["annotations"] = json!({"skymanager.io/retry": value});
    });
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_the_end_withdraws_the_run_before_and_starts_anew_once() {
    let mut stage = running().await;
    stage.member("b").fail("job", "Error");
    stage.run(10).await;
    assert!(stage.line("job").starts_with("Failed"));
    ask_again(&stage, "1");
    stage.run(5).await;
    start(&stage);
    succeed(&stage);
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    let runs = stage.status("job")["runs"].clone();
    assert_eq!(
        (&runs[0]["outcome"], &runs[1]["runId"]),
        (&json!("Failed"), &json!("retry-1"))
    );
    assert_eq!(stage.status("job")["retry"], "retry-1");
    let effects = stage.effects();
    stage.kill();
    stage.start();
    stage.run(600).await;
    assert_eq!(stage.effects(), effects, "a value is used once");

    // Complete jobs too; and a value that was used before starts nothing.
    ask_again(&stage, "2");
    stage.run(5).await;
    start(&stage);
    succeed(&stage);
    stage.run(5).await;
    assert_eq!(stage.status("job")["runs"].as_array().map(Vec::len), Some(3));
    ask_again(&stage, "1");
    stage.run(600).await;
    assert_eq!(stage.status("job")["runs"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_was_asked_for_before_the_end_starts_nothing() {
    let mut stage = running().await;
    ask_again(&stage, "1");
    stage.run(5).await;
    stage.member("b").fail("job", "Error");
    stage.run(600).await;
    assert!(stage.line("job").starts_with("Failed"));
    assert_eq!(stage.status("job")["runs"].as_array().map(Vec::len), Some(1));
    ask_again(&stage, "2");
    stage.run(5).await;
    assert!(stage.line("job").starts_with("Pending"));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_for_a_silent_member_and_is_not_forgotten() {
    let mut stage = running().await;
    stage.member("b").fail("job", "Error");
    stage.run(10).await;
    stage.member("a").fall_silent();
    ask_again(&stage, "1");
    stage.run(30).await;
    stage.kill();
    stage.start();
    stage.run(600).await;
    assert_eq!(
        stage.message("job", "Reconciling"),
        "waiting for silent clusters to answer before the run before can be withdrawn"
    );
    stage.member("a").speak();
    stage.run(60).await;
    assert_eq!(stage.status("job")["runs"][1]["runId"], "retry-1");
    assert!(stage.line("job").starts_with("Pending"));
}
