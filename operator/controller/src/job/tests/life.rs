//! What is written and done in the life of a job that nothing goes wrong with.

use serde_json::json;
use sky_member::Class;
use sky_member::fake::{Call, Fault};

use super::{THREE_WRITES, replicas, running, start, succeed};
use crate::tests::stage::Stage;

#[tokio::test(start_paused = true)]
async fn a_job_that_fits_takes_three_writes_and_one_creation_for_each_share() {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    stage.apply("job", replicas(4));
    stage.run(1).await;
    assert_eq!(stage.line("job"), "Pending a:2,b:2");
    start(&stage);
    stage.run(1).await;
    succeed(&stage);
    stage.run(600).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    assert_eq!(stage.host.writes(), THREE_WRITES);
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
    assert!(
        stage.host.events().is_empty(),
        "a life without trouble has no Event"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_long_takes_four_writes() {
    let mut stage = running().await;
    stage.run(3600).await;
    succeed(&stage);
    stage.run(600).await;
    let four = [
        "job +finalizer",
        "job status Pending",
        "job status Running",
        "job status Complete",
    ];
    assert_eq!(stage.host.writes(), four);
}

#[tokio::test(start_paused = true)]
async fn waiting_takes_one_write_more_and_room_that_comes_free_is_used_at_once() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("big", replicas(2));
    stage.run(1).await;
    stage.apply("job", replicas(2));
    stage.run(300).await;
    assert_eq!(stage.line("job"), "Queued");
    assert_eq!(
        stage.message("job", "Scheduled"),
        "0/1 clusters: 1 insufficient cpu"
    );
    stage.member("a").succeed("big");
    stage.run(2).await;
    assert_eq!(stage.line("job"), "Pending a:2");
    let of_job: Vec<String> = stage
        .host
        .writes()
        .into_iter()
        .filter(|line| line.starts_with("job"))
        .collect();
    assert_eq!(
        of_job,
        ["job +finalizer", "job status Queued", "job status Pending"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_value_without_a_meaning_is_refused_and_nothing_else_happens() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply(
        "job",
        json!({"run": "true", "slurm": {"directives": {"exclusive": "perhaps"}}}),
    );
    stage.run(600).await;
    assert_eq!(stage.line("job"), "Invalid Stalled=InvalidSpec");
    assert!(
        stage
            .message("job", "Stalled")
            .contains("spec.slurm.directives.exclusive")
    );
    assert_eq!(stage.host.writes(), ["job +finalizer", "job status Invalid"]);
    assert!(stage.member("a").calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_template_that_the_member_refuses_fails_the_job_in_its_words() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage
        .member("a")
        .fault(Call::Ensure, Fault::Refused(Class::Rejected));
    stage.apply("job", replicas(1));
    stage.run(600).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:1 Failed=InvalidTemplate Stalled=InvalidTemplate"
    );
    assert_eq!(stage.message("job", "Failed"), "on a: told to be Rejected");
    assert_eq!(stage.member("a").calls().len(), 1, "it is not tried again");
}

#[tokio::test(start_paused = true)]
async fn when_a_replica_fails_the_other_shares_are_withdrawn() {
    let mut stage = running().await;
    stage.member("b").fail("job", "OOMKilled");
    stage.run(5).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:2,b:2 Failed=OOMKilled Stalled=OOMKilled"
    );
    stage.run(600).await;
    assert_eq!(
        stage.effects(),
        ["a: create job/1-0", "a: withdraw job/1-0", "b: create job/1-1"]
    );
    assert_eq!(
        stage.member("b").shares_of("job").len(),
        1,
        "the share that failed stays to be looked at"
    );
}

#[tokio::test(start_paused = true)]
async fn a_share_deleted_by_somebody_else_fails_the_job_and_is_not_run_again() {
    let mut stage = running().await;
    stage.member("a").delete("job");
    stage.run(60).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:2,b:2 Failed=DeletedOnMember Stalled=DeletedOnMember"
    );
    let effects = ["a: create job/1-0", "b: create job/1-1", "b: withdraw job/1-1"];
    assert_eq!(stage.effects(), effects);
    let words = "on a: the share was deleted on its member by somebody else; its replicas may have run";
    assert_eq!(stage.host.events(), [format!("DeletedOnMember {words}")]);
}

#[tokio::test(start_paused = true)]
async fn a_completed_share_that_somebody_cleans_up_stays_completed() {
    let mut stage = running().await;
    stage.member("a").succeed("job");
    stage.run(60).await;
    stage.member("a").delete("job");
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    stage.member("b").succeed("job");
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}
