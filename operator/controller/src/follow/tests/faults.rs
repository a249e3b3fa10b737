//! Faults and kills around a copy: nothing is lost, nothing stays behind.

use sky_core::naming::share_object;
use sky_core::share::ShareKey;
use sky_core::workload::Kind;
use sky_member::Class;
use sky_member::fake::{Call, Fault};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_kill_between_copy_and_creation_makes_neither_twice() {
    for (call, fault) in [
        (Call::Config, Fault::Hang),
        (Call::Config, Fault::Mute),
        (Call::Ensure, Fault::Hang),
        (Call::Ensure, Fault::Mute),
    ] {
        let mut stage = Stage::new(&[("a", 3000)]).await;
        write(&stage, "conf", "one");
        stage.member("a").fault(call, fault.clone());
        stage.apply("job", naming(1));
        stage.run(2).await;
        stage.kill();
        stage.start();
        stage.run(10).await;
        let wanted = [
            "a: copy ConfigMap conf",
            "a: create job/1-0",
            "a: change ConfigMap conf",
        ];
        assert_eq!(stage.effects(), wanted, "{call:?} {fault:?}");
        stage.delete("job");
        stage.run(10).await;
        assert_eq!(there(&stage, "a", "conf"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_for_a_share_that_never_came_to_be_goes_with_its_workload() {
    for killed in [false, true] {
        let mut stage = Stage::new(&[("a", 3000)]).await;
        write(&stage, "conf", "one");
        for _ in 0..20 {
            stage
                .member("a")
                .fault(Call::Ensure, Fault::Refused(Class::Throttled));
        }
        stage.deploy("web", naming(1));
        stage.run(2).await;
        assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
        if killed {
            stage.kill();
            stage.delete("web");
            stage.start();
        } else {
            stage.delete("web");
        }
        stage.run(10).await;
        assert!(stage.status("web").is_null());
        assert_eq!(there(&stage, "a", "conf"), None, "killed: {killed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_holds_the_workload_until_it_succeeds() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    write(&stage, "conf", "one");
    for _ in 0..20 {
        stage
            .member("a")
            .fault(Call::Ensure, Fault::Refused(Class::Throttled));
    }
    stage.deploy("web", naming(1));
    stage.run(2).await;
    stage
        .member("a")
        .fault(Call::Config, Fault::Refused(Class::Unreachable));
    stage.delete("web");
    stage.run(1).await;
    assert!(!stage.status("web").is_null());
    stage.run(10).await;
    assert!(stage.status("web").is_null());
    assert_eq!(there(&stage, "a", "conf"), None);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_went_elsewhere_leaves_no_copy_behind() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
    write(&stage, "conf", "one");
    stage.member("a").plant(ShareKey {
        kind: Kind::SkyDeployment,
        namespace: "default".into(),
        object: share_object("web", "uid-web", "", "1-0"),
    });
    stage.deploy("web", naming(1));
    stage.run(5).await;
    serve(&stage, "b", "web");
    stage.run(10).await;
    assert_eq!(stage.status("web")["summary"], "b:1", "{}", stage.status("web"));
    assert_eq!(there(&stage, "a", "conf"), None);
    assert_eq!(there(&stage, "b", "conf").as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_let_us_is_named_and_tried_again() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    write(&stage, "conf", "one");
    stage
        .member("a")
        .fault(Call::Config, Fault::Refused(Class::Unauthorized));
    stage.apply("job", naming(1));
    stage.run(10).await;
    assert_eq!(said(&stage, "job").0, "Unauthorized");
    assert_eq!(stage.effects(), [""; 0]);
    stage.run(90).await;
    assert_eq!(stage.member("a").shares_of("job").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_hangs_delays_no_other() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 3000)]).await;
    write(&stage, "conf", "one");
    stage.member("a").hang(true);
    let mut spec = naming(2);
    spec["placement"] = json!({"spread": {"strategy": "Even"}});
    stage.deploy("web", spec);
    stage.run(3).await;
    assert_eq!(stage.member("b").shares_of("web").len(), 1);
    stage.member("a").hang(false);
    stage.run(30).await;
    assert_eq!(stage.member("a").shares_of("web").len(), 1);
    assert_eq!(there(&stage, "a", "conf").as_deref(), Some("one"));
}
