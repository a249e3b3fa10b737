//! The operator killed in the middle of each step, and started anew with nothing in its memory: same result, one share.

use sky_member::fake::{Call, Fault as CallFault};

use super::{replicas, start, succeed};
use crate::tests::stage::Stage;
use crate::tests::stage::host::Fault;

/// Where the operator is when it is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// In this write to the host.
    Write(usize, Fault),
    /// In the creation on member b.
    Creation(bool),
}

async fn check(moment: Moment) {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    match moment {
        Moment::Write(before, fault) => {
            let fault = Some(fault);
            stage
                .host
                .faults(std::iter::repeat_n(None, before).chain([fault]));
        }
        Moment::Creation(happens) => {
            let fault = if happens { CallFault::Mute } else { CallFault::Hang };
            stage.member("b").fault(Call::Ensure, fault);
        }
    }
    stage.apply("job", replicas(4));
    stage.run(2).await;
    start(&stage);
    stage.run(1).await;
    if matches!(moment, Moment::Write(2, _)) {
        succeed(&stage);
        stage.run(2).await;
    }
    stage.kill();
    stage.start();
    stage
        .until("both shares", |stage| stage.effects().len() == 2)
        .await;
    start(&stage);
    stage.run(1).await;
    succeed(&stage);
    stage
        .until("the result", |stage| stage.line("job").starts_with("Complete"))
        .await;
    stage.run(60).await;
    assert_eq!(
        stage.line("job"),
        "Complete a:2,b:2 Complete=Succeeded",
        "{moment:?}"
    );
    assert_eq!(
        stage.effects(),
        ["a: create job/1-0", "b: create job/1-1"],
        "{moment:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn killed_before_or_after_any_write_takes_effect() {
    for before in 0..3 {
        for fault in [Fault::Hang, Fault::Mute] {
            check(Moment::Write(before, fault)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_before_or_after_a_creation_takes_effect() {
    for happens in [false, true] {
        check(Moment::Creation(happens)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn killed_every_second_of_its_life() {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    stage.apply("job", replicas(4));
    for second in 0..30 {
        stage.run(1).await;
        if second == 10 {
            start(&stage);
        }
        if second == 20 {
            succeed(&stage);
        }
        stage.kill();
        stage.start();
    }
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn an_operator_that_starts_before_its_members_answer_neither_creates_nor_withdraws() {
    let mut stage = super::running().await;
    stage.kill();
    stage.member("a").fall_silent();
    stage.start();
    stage.run(600).await;
    assert_eq!(stage.status("job")["clusters"][0]["replicas"], 2);
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
    stage.member("a").speak();
    succeed(&stage);
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_deleted_while_the_operator_is_away_is_withdrawn() {
    let mut stage = super::running().await;
    stage.kill();
    stage.delete("job");
    stage.start();
    stage.run(30).await;
    assert!(stage.host.find("SkyJob", "job").is_none());
    assert!(stage.member("a").keys().is_empty() && stage.member("b").keys().is_empty());
}
