//! Writes that the host refuses or whose answer is lost, and calls that members do not answer.

use sky_member::Class;
use sky_member::fake::{Call, Fault as CallFault};

use super::{only_on, replicas, start, succeed};
use crate::tests::stage::host::Fault;
use crate::tests::stage::{Cache, Stage};

/// Runs a job of two shares to its end with `faults` in its writes, and answers the writes.
async fn live(faults: impl IntoIterator<Item = Option<Fault>>) -> Vec<String> {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    stage.host.faults(faults);
    stage.apply("job", replicas(4));
    stage
        .until("both shares", |stage| stage.effects().len() == 2)
        .await;
    start(&stage);
    stage.run(1).await;
    succeed(&stage);
    stage
        .until("the result", |stage| {
            stage.line("job").starts_with("Complete a:2,b:2")
        })
        .await;
    stage.run(600).await;
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
    assert!(!stage.host.has_faults());
    stage.host.writes()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_bound_before_the_finalizer_is_there() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.host.faults([Some(Fault::Refused(503)); 5]);
    stage.apply("job", replicas(1));
    stage.run(5).await;
    assert!(stage.host.has_faults());
    assert!(
        stage
            .host
            .writes()
            .iter()
            .all(|write| write == "job +finalizer: 503")
    );
    assert!(stage.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_dispatched_before_the_placement_is_written() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage
        .host
        .faults([None].into_iter().chain([Some(Fault::Refused(503)); 10]));
    stage.apply("job", replicas(1));
    stage.run(10).await;
    assert!(stage.host.has_faults());
    assert!(stage.member("a").calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bind_refused_because_the_job_changed_is_decided_anew_and_holds_no_room() {
    let writes = live([None, Some(Fault::Overtaken)]).await;
    assert_eq!(writes[1..3], ["job status Pending: 409", "job status Pending"]);
    assert_eq!(writes.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_job_suspended_while_it_is_bound_gives_its_room_back() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.host.faults([None, Some(Fault::Overtaken)]);
    stage.apply("job", replicas(2));
    stage
        .until("the refused bind", |stage| stage.host.writes().len() == 2)
        .await;
    assert_eq!(stage.host.writes()[1], "job status Pending: 409");
    stage.edit("job", |job| job["spec"]["suspend"] = true.into());
    stage.apply("other", replicas(2));
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Suspended Suspended=Suspended");
    assert_eq!(stage.line("other"), "Pending a:2");
}

#[tokio::test(start_paused = true)]
async fn writes_that_fail_are_written_again() {
    let busy = Some(Fault::Refused(503));
    let writes = live([busy, None, busy, None, busy, busy, None]).await;
    assert_eq!(writes.iter().filter(|write| write.ends_with(": 503")).count(), 4);
    assert_eq!(writes.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn answers_of_the_host_that_get_lost_are_found_out() {
    for step in 0..3 {
        let mut faults = vec![None; step];
        faults.push(Some(Fault::LostReply));
        let writes = live(faults).await;
        assert!(writes.len() <= 4, "step {step}: {writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bind_whose_answer_got_lost_keeps_its_room() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.hold_back(Cache::Scheduler, true);
    stage.host.faults([None, Some(Fault::LostReply)]);
    stage.apply("job", replicas(2));
    stage.run(1).await;
    stage.apply("other", replicas(2));
    stage.run(5).await;
    assert_eq!(stage.line("job"), "Pending a:2");
    assert_eq!(stage.line("other"), "Queued");
    assert_eq!(stage.effects(), ["a: create job/1-0"]);
}

#[tokio::test(start_paused = true)]
async fn a_share_whose_creation_got_no_answer_is_one_object() {
    for fault in [CallFault::LostReply, CallFault::Mute, CallFault::Hang] {
        let mut stage = Stage::new(&[("a", 2000)]).await;
        stage.member("a").fault(Call::Ensure, fault.clone());
        stage.apply("job", replicas(2));
        stage.run(60).await;
        assert_eq!(stage.effects(), ["a: create job/1-0"], "{fault:?}");
        stage.member("a").succeed("job");
        stage.run(5).await;
        assert_eq!(stage.line("job"), "Complete a:2 Complete=Succeeded", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_will_not_take_a_share_says_why_and_takes_it_later() {
    for class in [Class::Throttled, Class::Unauthorized, Class::Unreachable] {
        let mut stage = Stage::new(&[("a", 2000)]).await;
        stage.member("a").fault(Call::Ensure, CallFault::Refused(class));
        stage.apply("job", replicas(2));
        stage.run(4).await;
        let reason = &stage.status("job")["clusters"][0]["reason"];
        assert_eq!(reason.as_str(), Some(class.as_str()));
        stage.run(90).await;
        assert_eq!(stage.effects(), ["a: create job/1-0"], "{class:?}");
        stage.member("a").succeed("job");
        stage.run(5).await;
        assert_eq!(stage.line("job"), "Complete a:2 Complete=Succeeded", "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_that_hangs_delays_no_other() {
    let mut stage = Stage::new(&[("a", 200_000), ("b", 2000)]).await;
    stage.member("a").hang(true);
    for number in 0..100 {
        stage.apply(&format!("on-a-{number}"), only_on("a"));
    }
    stage.run(1).await;
    assert!(stage.line("on-a-99").starts_with("Pending a:1"));
    stage.apply("job", only_on("b"));
    stage.run(1).await;
    assert_eq!(stage.member("b").effects(), ["create job/1-0"]);
    stage.member("b").succeed("job");
    stage.run(2).await;
    assert_eq!(stage.line("job"), "Complete b:1 Complete=Succeeded");
    assert!(stage.member("a").effects().is_empty());
    stage.member("a").hang(false);
    stage.run(60).await;
    assert_eq!(stage.member("a").effects().len(), 100);
}
