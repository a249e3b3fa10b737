//! Members that hold an object back until its instance is recorded, since they may forget one just after they accepted it,
//! as Slurm does: each share runs once, wherever the operator is killed and whatever is forgotten.

use sky_member::fake::{Call, Fault as CallFault};

use super::{replicas, start, succeed};
use crate::clock;
use crate::tests::stage::Stage;
use crate::tests::stage::host::Fault;

/// Seconds after which an object may be released.
const CONFIRM: u64 = 6;

/// One creation and one release on each member.
const ONCE: [&str; 4] = [
    "a: create job/1-0",
    "a: release job/1-0",
    "b: create job/1-1",
    "b: release job/1-1",
];

/// Two members of two cpus each, which confirm, and a job of four replicas for both.
async fn applied() -> Stage {
    let stage = Stage::new(&[("a", 2000), ("b", 2000)]).await;
    let due = clock::now().as_second() + i64::try_from(CONFIRM).expect("a number");
    for member in ["a", "b"] {
        stage.member(member).confirm(Some(due));
    }
    stage.apply("job", replicas(4));
    stage
}

/// The job runs to its end on what is there.
async fn finish(stage: &mut Stage) {
    let released = |stage: &Stage| {
        stage
            .effects()
            .iter()
            .filter(|line| line.contains("release"))
            .count()
    };
    stage.until("both releases", |stage| released(stage) == 2).await;
    start(stage);
    stage.run(1).await;
    succeed(stage);
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_recorded_before_it_is_released_and_costs_one_write() {
    let mut stage = applied().await;
    stage.run(4).await;
    let placement = stage.status("job")["placement"].clone();
    let instance = |index: usize| placement["shares"][index]["instance"].as_str().map(str::to_owned);
    assert_eq!(
        (instance(0).as_deref(), instance(1).as_deref()),
        (Some("1"), Some("1"))
    );
    assert_eq!(stage.effects(), ["a: create job/1-0", "b: create job/1-1"]);
    finish(&mut stage).await;
    assert_eq!(stage.effects(), ONCE);
    let writes = [
        "job +finalizer",
        "job status Pending",
        "job status Pending",
        "job status Complete",
    ];
    assert_eq!(stage.host.writes(), writes);
}

/// Where the operator is when it is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// In this write to the host.
    Write(usize, Fault),
    /// In this call of ensure on member b: the creation or the release. Whether it takes effect.
    Ensure(usize, bool),
}

async fn killed_in(moment: Moment) {
    let mut stage = applied().await;
    match moment {
        Moment::Write(before, fault) => {
            let fault = Some(fault);
            stage
                .host
                .faults(std::iter::repeat_n(None, before).chain([fault]));
        }
        Moment::Ensure(before, happens) => {
            for _ in 0..before {
                stage
                    .member("b")
                    .fault(Call::Ensure, CallFault::Slow(std::time::Duration::ZERO));
            }
            let fault = if happens { CallFault::Mute } else { CallFault::Hang };
            stage.member("b").fault(Call::Ensure, fault);
        }
    }
    stage.run(CONFIRM + 3).await;
    stage.kill();
    stage.start();
    finish(&mut stage).await;
    assert_eq!(stage.effects(), ONCE, "{moment:?}");
}

#[tokio::test(start_paused = true)]
async fn killed_before_or_after_any_write_takes_effect() {
    for before in 0..4 {
        for fault in [Fault::Hang, Fault::Mute] {
            killed_in(Moment::Write(before, fault)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_before_or_after_a_creation_or_a_release_takes_effect() {
    for before in 0..2 {
        for happens in [false, true] {
            killed_in(Moment::Ensure(before, happens)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_every_second_of_its_life() {
    let mut stage = applied().await;
    for second in 0..40 {
        stage.run(1).await;
        if second == 20 {
            start(&stage);
        }
        if second == 30 {
            succeed(&stage);
        }
        stage.kill();
        stage.start();
    }
    stage.run(60).await;
    assert_eq!(stage.line("job"), "Complete a:2,b:2 Complete=Succeeded");
    assert_eq!(stage.effects(), ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_to_a_release_is_no_second_run() {
    let mut stage = applied().await;
    stage
        .member("b")
        .fault(Call::Ensure, CallFault::Slow(std::time::Duration::ZERO));
    stage.member("b").fault(Call::Ensure, CallFault::LostReply);
    finish(&mut stage).await;
    assert_eq!(stage.effects(), ONCE);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_before_its_release_is_created_again_at_no_cost() {
    let mut stage = applied().await;
    stage.run(3).await;
    stage.member("b").delete("job");
    finish(&mut stage).await;
    let effects = stage.effects();
    let of_b: Vec<&str> = effects.iter().skip(2).map(String::as_str).collect();
    assert_eq!(
        of_b,
        ["b: create job/1-1", "b: create job/1-1", "b: release job/1-1"]
    );
    assert_eq!(stage.status("job")["placement"]["shares"][1]["instance"], "2");
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_before_it_was_recorded_is_created_again_also_by_the_next_operator() {
    let mut stage = applied().await;
    // The bind is written, the instance is not: the operator hangs in that write, and is killed.
    stage.host.faults([None, None, Some(Fault::Hang)]);
    stage.run(3).await;
    stage.kill();
    stage.member("b").delete("job");
    stage.start();
    finish(&mut stage).await;
    let releases = |member: &str| {
        let line = format!("{member}: release");
        stage
            .effects()
            .iter()
            .filter(|effect| effect.starts_with(&line))
            .count()
    };
    assert_eq!((releases("a"), releases("b")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_gone_when_its_release_was_refused_never_ran_and_is_created_again() {
    let mut stage = applied().await;
    stage.run(3).await;
    // It is forgotten, and that is not told before the release is asked for and answered.
    stage.member("b").whisper(true);
    stage.member("b").delete("job");
    stage.run(CONFIRM).await;
    stage.member("b").whisper(false);
    finish(&mut stage).await;
    let effects = stage.effects();
    let of_b = effects.iter().filter(|effect| effect.starts_with("b:"));
    assert_eq!(
        of_b.collect::<Vec<_>>(),
        ["b: create job/1-1", "b: create job/1-1", "b: release job/1-1"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_released_and_is_gone_may_have_run() {
    let mut stage = applied().await;
    stage.run(CONFIRM + 3).await;
    assert_eq!(stage.effects(), ONCE);
    stage.member("b").delete("job");
    stage.run(60).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:2,b:2 Failed=DeletedOnMember Stalled=DeletedOnMember"
    );
    let creations = stage
        .effects()
        .iter()
        .filter(|line| line.contains("b: create"))
        .count();
    assert_eq!(creations, 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_recorded_and_vanished_while_nobody_looked_may_have_run() {
    let mut stage = applied().await;
    stage.run(5).await;
    stage.kill();
    stage.member("b").delete("job");
    stage.start();
    stage.run(60).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:2,b:2 Failed=DeletedOnMember Stalled=DeletedOnMember"
    );
    assert!(!stage.effects().iter().any(|line| line == "b: release job/1-1"));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_suspended_before_its_release_runs_when_it_is_resumed() {
    let mut stage = applied().await;
    stage.run(2).await;
    stage.edit("job", |job| job["spec"]["suspend"] = true.into());
    stage.run(20).await;
    assert_eq!(stage.line("job"), "Suspended a:2,b:2 Suspended=Suspended");
    assert!(!stage.effects().iter().any(|line| line.contains("release")));
    stage.edit("job", |job| job["spec"]["suspend"] = false.into());
    finish(&mut stage).await;
    let releases = stage
        .effects()
        .iter()
        .filter(|line| line.contains("release"))
        .count();
    assert_eq!(releases, 2);
}
