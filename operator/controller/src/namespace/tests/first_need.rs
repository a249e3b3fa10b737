//! Namespaces without a SkyNamespace: made when a share first needs one, gone when nothing does any more.

use serde_json::json;
use sky_member::fake::{Call, Fault as CallFault};

use super::one;
use crate::tests::stage::Stage;

/// A job that has run in namespace `lab` on the one member, and was deleted.
async fn ran() -> Stage {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply_in("lab", "job", one());
    stage.run(2).await;
    assert!(
        stage
            .member("a")
            .namespace("lab")
            .is_some_and(|seen| seen.created)
    );
    stage.member("a").succeed("job");
    stage.run(5).await;
    stage.delete("job");
    stage.run(10).await;
    assert!(stage.member("a").keys().is_empty());
    stage
}

fn idle(stage: &Stage) -> bool {
    let seen = stage.member("a").namespace("lab");
    seen.is_some_and(|seen| seen.idle_since.is_some())
}

#[tokio::test(start_paused = true)]
async fn one_made_for_a_share_goes_when_nothing_needs_it() {
    let mut stage = ran().await;
    assert!(idle(&stage));
    stage.run(90).await;
    assert!(!stage.member("a").has_namespace("lab"));
    assert_eq!(
        stage.effects(),
        [
            "a: create job/1-0",
            "a: withdraw job/1-0",
            "a: mark idle namespace lab",
            "a: remove namespace lab"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn while_a_share_is_there_or_on_its_way_it_is_not_even_marked() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply_in("lab", "job", one());
    stage.run(300).await;
    stage.member("a").succeed("job");
    stage.run(300).await;
    assert!(!idle(&stage), "the Job of a finished SkyJob is there");
    assert_eq!(stage.effects(), ["a: create job/1-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_comes_within_the_grace_finds_it() {
    let mut stage = ran().await;
    stage.run(40).await;
    stage.apply_in("lab", "again", one());
    stage.run(60).await;
    assert!(!idle(&stage));
    assert_eq!(
        stage.effects()[3..],
        ["a: need namespace lab", "a: create again/1-0"]
    );
    stage.run(600).await;
    assert!(stage.member("a").has_namespace("lab"));
}

fn ensures(stage: &Stage) -> usize {
    let calls = stage.member("a").calls();
    calls.iter().filter(|call| **call == Call::Ensure).count()
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_is_on_its_way_when_a_job_comes_fails() {
    let mut stage = ran().await;
    let slow = CallFault::Slow(std::time::Duration::from_secs(10));
    stage.member("a").fault(Call::Ensure, slow);
    let before = ensures(&stage);
    stage
        .until("the removal on its way", |stage| ensures(stage) > before)
        .await;
    stage.apply_in("lab", "again", one());
    stage.run(60).await;
    assert_eq!(
        stage.effects()[3..],
        ["a: need namespace lab", "a: create again/1-0"]
    );
    assert_eq!(stage.line("again"), "Pending a:1");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_comes_while_its_namespace_is_terminated_waits_for_a_new_one() {
    let mut stage = ran().await;
    stage.member("a").linger_namespaces(true);
    stage.run(70).await;
    assert_eq!(stage.effects()[3..], ["a: remove namespace lab"]);
    stage.apply_in("lab", "again", one());
    stage.run(10).await;
    assert!(stage.member("a").shares_of("again").is_empty());
    assert_eq!(stage.status("again")["clusters"][0]["reason"], "Throttled");
    let before = stage.member("a").namespace("lab").expect("the namespace");
    stage.member("a").remove_namespace("lab");
    stage.run(30).await;
    assert_eq!(stage.effects()[4..], ["a: create again/1-0"]);
    let after = stage.member("a").namespace("lab").expect("another namespace");
    assert_ne!(before.instance, after.instance);
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_namespace_is_used_and_left_alone() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.member("a").edit_namespace("lab", |_, _| {});
    stage.apply_in("lab", "job", one());
    stage.run(2).await;
    stage.member("a").succeed("job");
    stage.run(5).await;
    stage.delete("job");
    stage.run(600).await;
    assert!(stage.member("a").has_namespace("lab"));
    assert_eq!(stage.effects(), ["a: create job/1-0", "a: withdraw job/1-0"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_put_into_it_keeps_it_without_a_write() {
    let mut stage = ran().await;
    stage.member("a").edit_namespace("lab", |_, contents| {
        contents.insert("1 secrets".into());
    });
    stage.run(1800).await;
    assert!(stage.member("a").has_namespace("lab"));
    assert_eq!(stage.effects().len(), 3);
    let calls = stage.member("a").calls();
    let asked = calls.iter().filter(|call| **call == Call::Ensure).count();
    assert!(asked <= 10, "{asked} calls in half an hour");
}

#[tokio::test(start_paused = true)]
async fn a_new_operator_goes_by_the_mark_of_the_old_one() {
    let mut stage = ran().await;
    for _ in 0..10 {
        stage.run(9).await;
        stage.kill();
        stage.start();
    }
    stage.run(10).await;
    assert!(!stage.member("a").has_namespace("lab"));
    let marks = stage
        .effects()
        .iter()
        .filter(|effect| effect.contains("mark"))
        .count();
    assert_eq!(marks, 1);
}

#[tokio::test(start_paused = true)]
async fn a_skynamespace_that_comes_later_takes_it_over() {
    let mut stage = ran().await;
    stage.apply_namespace("lab", json!({"labels": {"team": "red"}}));
    stage.run(300).await;
    let seen = stage.member("a").namespace("lab").expect("the namespace");
    assert!(seen.created && seen.idle_since.is_none() && seen.labels.contains_key("team"));
}

#[tokio::test(start_paused = true)]
async fn a_mark_on_what_is_in_use_is_taken_off() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply_in("lab", "job", one());
    stage.run(2).await;
    // Written by an operator that did not know of the job yet.
    stage.member("a").mark_namespace_idle("lab", 1);
    stage.run(10).await;
    assert!(!idle(&stage) && stage.member("a").has_namespace("lab"));
    assert_eq!(stage.effects(), ["a: create job/1-0", "a: need namespace lab"]);
}
