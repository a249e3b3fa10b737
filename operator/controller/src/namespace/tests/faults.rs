//! Writes that the host refuses or whose answer is lost, calls that fail, and an operator that is killed.

use sky_member::Class;
use sky_member::fake::{Call, Fault as CallFault};

use super::{delete, effects, line, spec, two};
use crate::tests::stage::Stage;
use crate::tests::stage::host::Fault;

/// A whole life with `faults` in the host's writes: same end, and nothing is left.
async fn live(faults: impl IntoIterator<Item = Option<Fault>>) -> Vec<String> {
    let mut stage = two().await;
    stage.host.faults(faults);
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    let in_place = |stage: &Stage| line(stage) == "Ready=InPlace a:Created b:Created";
    stage.until("the namespace in place", in_place).await;
    delete(&stage);
    stage.run(120).await;
    assert_eq!(line(&stage), "gone");
    assert!(!stage.host.has_faults());
    for place in [stage.host_namespaces(), stage.member("a"), stage.member("b")] {
        assert!(!place.has_namespace("team"));
    }
    stage.host.writes()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_before_the_finalizer_is_there() {
    let mut stage = two().await;
    stage.host.faults([Some(Fault::Refused(503)); 5]);
    stage.apply_namespace("team", spec("red", &["a"]));
    stage.run(8).await;
    assert!(stage.host.has_faults() && effects(&stage).is_empty());
}

#[tokio::test(start_paused = true)]
async fn writes_that_fail_are_written_again() {
    for fault in [
        Fault::Refused(503),
        Fault::Refused(409),
        Fault::LostReply,
        Fault::Mute,
    ] {
        for before in 0..3 {
            let faults = std::iter::repeat_n(None, before).chain([Some(fault)]);
            let writes = live(faults).await;
            assert!(writes.len() <= 6, "{fault:?} after {before}: {writes:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_again() {
    let refused = [Class::Throttled, Class::Unreachable, Class::Unauthorized].map(CallFault::Refused);
    for fault in refused
        .into_iter()
        .chain([CallFault::LostReply, CallFault::Hang, CallFault::Mute])
    {
        let mut stage = two().await;
        stage.member("a").fault(Call::Ensure, fault.clone());
        stage.apply_namespace("team", spec("red", &["a", "b"]));
        stage.run(90).await;
        assert_eq!(line(&stage), "Ready=InPlace a:Created b:Created", "{fault:?}");
        let made = effects(&stage)
            .iter()
            .filter(|effect| effect.starts_with("a:"))
            .count();
        assert_eq!(made, 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_in_any_write_or_call() {
    for before in 0..3 {
        for fault in [Fault::Hang, Fault::Mute] {
            let mut stage = two().await;
            stage
                .host
                .faults(std::iter::repeat_n(None, before).chain([Some(fault)]));
            stage.apply_namespace("team", spec("red", &["a", "b"]));
            stage.run(4).await;
            if before == 2 {
                delete(&stage);
                stage.run(70).await;
            }
            stage.kill();
            stage.start();
            stage.run(5).await;
            if before < 2 {
                assert_eq!(
                    line(&stage),
                    "Ready=InPlace a:Created b:Created",
                    "{before} {fault:?}"
                );
                delete(&stage);
            }
            stage.run(120).await;
            assert_eq!(line(&stage), "gone", "{before} {fault:?}");
            assert!(
                !stage.member("a").has_namespace("team") && !stage.host_namespaces().has_namespace("team")
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn killed_every_second_of_its_life() {
    let mut stage = two().await;
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    for second in 0..120 {
        stage.run(1).await;
        stage.kill();
        stage.start();
        if second == 20 {
            delete(&stage);
        }
    }
    stage.run(60).await;
    assert_eq!(line(&stage), "gone");
    let made = effects(&stage);
    let count = |what: &str| made.iter().filter(|effect| effect.contains(what)).count();
    assert_eq!(
        (count("hold"), count("mark idle"), count("remove")),
        (3, 3, 3),
        "{made:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_hangs_delays_no_other() {
    let mut stage = two().await;
    stage.member("a").hang(true);
    stage.apply_namespace("team", spec("red", &["a", "b"]));
    stage.run(2).await;
    assert!(stage.member("b").has_namespace("team") && stage.host_namespaces().has_namespace("team"));
    stage.member("a").hang(false);
    stage.run(60).await;
    assert_eq!(line(&stage), "Ready=InPlace a:Created b:Created");
}
