//! Members that fall silent before, while and after they run a share.

use super::{replicas, running, start, succeed};
use crate::tests::stage::Stage;

#[tokio::test(start_paused = true)]
async fn a_silent_member_gets_no_share_and_the_job_goes_elsewhere() {
    let mut stage = Stage::new(&[("a", 4000), ("b", 2000)]).await;
    stage.member("a").fall_silent();
    stage.run(1).await;
    stage.apply("job", replicas(2));
    stage.run(2).await;
    assert_eq!(stage.line("job"), "Pending b:2");
    assert!(stage.member("a").calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_falls_silent_between_bind_and_dispatch_gets_the_share_when_it_is_back() {
    let mut stage = Stage::new(&[("a", 4000)]).await;
    stage.hold_back(crate::tests::stage::Cache::Scheduler, true);
    stage.member("a").hang(true);
    stage.apply("job", replicas(2));
    stage.run(1).await;
    stage.member("a").fall_silent();
    stage.member("a").hang(false);
    stage.run(600).await;
    assert!(stage.effects().is_empty());
    stage.member("a").speak();
    stage.run(30).await;
    assert_eq!(stage.effects(), ["a: create job/1-0"]);
}

#[tokio::test(start_paused = true)]
async fn counts_of_a_silent_member_are_kept_and_unknown_after_its_grace() {
    let mut stage = running().await;
    stage.fleet().set_lost_after("a", 300);
    stage.member("a").fall_silent();
    stage.run(100).await;
    let a = &stage.status("job")["clusters"][0];
    assert_eq!(
        (&a["running"], &a["reason"]),
        (&2.into(), &"ClusterUnreachable".into())
    );
    stage.run(300).await;
    stage.fleet().stir_workloads("a");
    stage.run(10).await;
    let a = &stage.status("job")["clusters"][0];
    assert_eq!((&a["unknown"], &a["reason"]), (&2.into(), &"ClusterLost".into()));
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
    stage.member("a").speak();
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    assert_eq!(stage.status("job")["totals"]["running"], 4);
    succeed(&stage);
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
}

#[tokio::test(start_paused = true)]
async fn all_members_lost_is_unknown_and_runs_nothing_again() {
    let mut stage = running().await;
    for member in ["a", "b"] {
        stage.fleet().set_lost_after(member, 0);
        stage.member(member).fall_silent();
    }
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Unknown a:2,b:2");
    stage.run(7200).await;
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_happened_in_the_silence_is_seen_afterwards() {
    let mut stage = running().await;
    stage.member("a").fall_silent();
    stage.run(60).await;
    succeed(&stage);
    stage.run(60).await;
    assert!(
        stage.line("job").starts_with("Running"),
        "half of it is not known to have ended"
    );
    stage.member("a").speak();
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_share_deleted_in_the_silence_fails_the_job_afterwards_and_not_before() {
    let mut stage = running().await;
    stage.member("a").fall_silent();
    stage.member("a").delete("job");
    stage.run(600).await;
    assert!(stage.line("job").starts_with("Running"));
    stage.member("a").speak();
    stage.run(10).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:2,b:2 Failed=DeletedOnMember Stalled=DeletedOnMember"
    );
}

#[tokio::test(start_paused = true)]
async fn a_finished_job_stays_finished_whatever_its_members_do() {
    let mut stage = running().await;
    succeed(&stage);
    stage.run(5).await;
    let status = stage.status("job");
    let writes = stage.host.writes().len();
    stage.member("a").fall_silent();
    stage.run(600).await;
    stage.member("b").delete("job");
    stage.member("a").delete("job");
    stage.member("a").speak();
    stage.run(600).await;
    start(&stage);
    assert_eq!(stage.status("job"), status);
    assert_eq!(stage.host.writes().len(), writes);
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_is_withdrawn_from_a_silent_member_when_it_is_back() {
    let mut stage = running().await;
    stage.member("a").fall_silent();
    stage.member("b").fail("job", "Error");
    stage.run(10).await;
    assert!(stage.line("job").starts_with("Failed"));
    stage.member("a").speak();
    stage.run(10).await;
    assert!(stage.member("a").keys().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restarted_operator_looks_again_when_a_member_speaks_that_holds_nothing_any_more() {
    let mut stage = running().await;
    stage.member("a").fall_silent();
    stage.kill();
    stage.start();
    stage.delete("job");
    stage.run(10).await;
    assert_eq!(
        stage.message("job", "Reconciling"),
        "waiting for a to answer before its shares can be withdrawn; if it will not return, delete its SkyCluster with \
         the annotation skymanager.io/abandon=true"
    );
    stage.member("a").delete("job");
    stage.member("a").speak();
    stage.run(2).await;
    assert!(stage.host.find("SkyJob", "job").is_none());
}
