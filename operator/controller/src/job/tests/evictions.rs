//! Shares that must go, or cannot start: policies, labels, taints, timeouts, foreign objects; with kills in between.

use serde_json::{Value, json};
use sky_member::fake::{Call, Fault as CallFault};

use super::replicas;
use crate::tests::stage::Stage;
use crate::tests::stage::host::Fault;

/// Three members of two cpus, and a job of four replicas that runs on a and b, with so many further tries.
async fn running_on_two_of_three(tries: i64) -> Stage {
    let mut stage = Stage::new(&[("a", 2000), ("b", 2000), ("c", 2000)]).await;
    let mut spec = replicas(4);
    spec["backoffLimit"] = json!(tries);
    stage.apply("job", spec);
    stage.run(1).await;
    for member in ["a", "b"] {
        stage.member(member).place("job");
        stage.member(member).start("job");
    }
    stage.run(20).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    stage
}

/// A policy of the namespace that refuses this cluster.
fn forbid(stage: &Stage, cluster: &str) {
    stage.host.create(json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "FilterPolicy",
        "metadata": {"name": format!("not-{cluster}"), "namespace": "default", "uid": format!("not-{cluster}")},
        "spec": {"clusterFilter": {"exclude": [cluster]}},
    }));
}

/// Id, cluster and ranks of each share that is recorded, and what was evicted from where.
fn record(stage: &Stage) -> String {
    let status = stage.status("job");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shares = status["placement"]["shares"].as_array().into_iter().flatten();
    let shares = shares.map(|s| format!("{} {} {}", text(&s["id"]), text(&s["cluster"]), text(&s["ranks"])));
    let evictions = status["evictions"].as_array().into_iter().flatten();
    let evictions = evictions.map(|e| format!("{} from {}", text(&e["reason"]), text(&e["cluster"])));
    shares.chain(evictions).collect::<Vec<_>>().join(", ")
}

fn created(stage: &Stage) -> usize {
    let effects = stage.effects();
    effects.iter().filter(|effect| effect.contains("create")).count()
}

#[tokio::test(start_paused = true)]
async fn a_policy_moves_what_runs_where_it_may_not_and_only_that() {
    let mut stage = running_on_two_of_three(1).await;
    forbid(&stage, "a");
    stage
        .until("the move", |stage| stage.line("job").contains("b:2,c:2"))
        .await;
    assert_eq!(record(&stage), "1-1 b 2-3, 2-0 c 0-1, FilterPolicy from a");
    let status = stage.status("job");
    assert_eq!(status["placement"]["shares"][1]["attempt"], 2);
    assert_eq!(status["placement"]["shares"][1]["interruptions"], 1);
    assert_eq!(
        stage.member("b").shares_of("job")[0].counts.running,
        2,
        "b is left alone"
    );
    let on_a = stage.member("a").shares_of("job");
    assert!(on_a[0].tombstone.is_some() && on_a[0].active == 0);
    for member in ["b", "c"] {
        stage.member(member).place("job");
        stage.member(member).start("job");
        stage.member(member).succeed("job");
    }
    stage.run(10).await;
    assert_eq!(stage.line("job"), "Complete b:2,c:2 Complete=Succeeded");
    stage.run(200).await;
    assert!(
        stage.member("a").keys().is_empty(),
        "the tombstone has served its time"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_try_left_what_ran_is_not_run_again() {
    let mut stage = running_on_two_of_three(0).await;
    forbid(&stage, "a");
    stage.run(30).await;
    assert_eq!(
        stage.line("job"),
        "Failed a:2,b:2 Failed=InterruptedByEviction Stalled=InterruptedByEviction"
    );
    let words = stage.message("job", "Failed");
    assert!(
        words.contains("not-a") && words.contains("backoffLimit 0"),
        "{words}"
    );
    assert_eq!(created(&stage), 2);
}

#[tokio::test(start_paused = true)]
async fn a_noexecute_taint_evicts_and_a_cordon_does_not() {
    let mut stage = running_on_two_of_three(1).await;
    stage.host.edit("SkyCluster", "a", |cluster| {
        cluster["spec"]["unschedulable"] = json!(true)
    });
    stage.run(30).await;
    assert_eq!(stage.line("job"), "Running a:2,b:2");
    let taint = json!([{"key": "drain", "effect": "NoExecute"}]);
    stage
        .host
        .edit("SkyCluster", "a", |cluster| cluster["spec"]["taints"] = taint);
    stage
        .until("the move", |stage| stage.line("job").contains("b:2,c:2"))
        .await;
    assert_eq!(record(&stage), "1-1 b 2-3, 2-0 c 0-1, Tainted from a");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_deleted_is_left() {
    let mut stage = running_on_two_of_three(1).await;
    stage.host.edit("SkyCluster", "a", |cluster| {
        cluster["metadata"]["deletionTimestamp"] = json!("2026-01-02T00:00:00Z");
        cluster["metadata"]["finalizers"] = json!(["skymanager.io/withdraw"]);
    });
    stage
        .until("the move", |stage| stage.line("job").contains("b:2,c:2"))
        .await;
    assert_eq!(record(&stage), "1-1 b 2-3, 2-0 c 0-1, ClusterLeaving from a");
}

#[tokio::test(start_paused = true)]
async fn what_waits_too_long_is_tried_elsewhere_and_the_cluster_cools_down() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 2000)]).await;
    let mut spec = replicas(1);
    spec["pendingTimeoutSeconds"] = json!(60);
    stage.apply("job", spec);
    stage.run(58).await;
    assert_eq!(record(&stage), "1-0 a 0");
    stage.run(12).await;
    assert_eq!(record(&stage), "2-0 b 0, PendingTimeout from a");
    let cooling = &stage.status("job")["coolDowns"][0];
    assert_eq!((&cooling["cluster"], &cooling["count"]), (&json!("a"), &json!(1)));
    stage.member("b").place("job");
    stage.member("b").start("job");
    stage.member("b").succeed("job");
    stage.run(10).await;
    assert_eq!(stage.line("job"), "Complete b:1 Complete=Succeeded");
}

#[tokio::test(start_paused = true)]
async fn with_every_cluster_cooling_down_it_waits_for_the_first_to_end() {
    let mut stage = Stage::new(&[("a", 3000)]).await;
    let mut spec = replicas(1);
    spec["pendingTimeoutSeconds"] = json!(60);
    stage.apply("job", spec);
    stage.run(75).await;
    assert_eq!(stage.line("job"), "Queued");
    let words = stage.message("job", "Scheduled");
    assert!(words.contains("cooling down after an eviction"), "{words}");
    stage.run(280).await;
    assert_eq!(stage.line("job"), "Queued");
    stage.run(30).await;
    assert_eq!(record(&stage), "2-0 a 0, PendingTimeout from a");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_starts_before_it_is_held_back_stays() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 2000)]).await;
    let mut spec = replicas(1);
    spec["pendingTimeoutSeconds"] = json!(60);
    stage.apply("job", spec);
    stage.run(1).await;
    stage.member("a").place("job");
    // It starts, and the operator does not hear of it in time.
    stage.member("a").whisper(true);
    stage.member("a").start("job");
    stage.run(65).await;
    stage.member("a").whisper(false);
    stage.run(15).await;
    assert_eq!(record(&stage), "1-0 a 0");
    assert_eq!(stage.member("a").shares_of("job")[0].counts.running, 1);
    assert_eq!(created(&stage), 1);
}

#[tokio::test(start_paused = true)]
async fn a_gang_that_cannot_start_moves_as_a_whole() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 2000), ("c", 6000)]).await;
    let mut spec = replicas(4);
    spec["pendingTimeoutSeconds"] = json!(60);
    spec["placement"] = json!({"preferences": [
        {"matchLabels": {"skymanager.io/cluster-name": "a"}, "weight": 90},
        {"matchLabels": {"skymanager.io/cluster-name": "b"}, "weight": 80},
    ]});
    stage.apply("job", spec);
    stage.run(30).await;
    assert_eq!(record(&stage), "1-0 a 0-2, 1-1 b 3");
    stage.run(50).await;
    let evicted = "PendingTimeout from a, PendingTimeout from b";
    assert_eq!(record(&stage), format!("2-0 c 0-3, {evicted}"));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_object_in_the_way_sends_the_share_elsewhere() {
    let mut stage = Stage::new(&[("a", 3000), ("b", 2000)]).await;
    stage.member("a").hang(true);
    stage.apply("job", replicas(1));
    stage.run(1).await;
    let key = sky_core::share::ShareKey {
        kind: sky_core::workload::Kind::SkyJob,
        namespace: "default".into(),
        object: sky_core::naming::share_object("job", "uid-job", "", "1-0"),
    };
    stage.member("a").plant(key.clone());
    stage.member("a").hang(false);
    stage
        .until("the move", |stage| record(stage).starts_with("2-0 b 0"))
        .await;
    assert_eq!(record(&stage), "2-0 b 0, Conflict from a");
    assert!(stage.member("a").has_foreign(&key));
}

/// Where the operator is when it is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// In this write to the host after the policy came.
    Write(usize, Fault),
    /// In the withdrawal from a.
    Withdrawal(bool),
    /// In the creation on c.
    Creation(bool),
}

async fn killed(moment: Moment) {
    let mut stage = running_on_two_of_three(1).await;
    let fault = |happens| if happens { CallFault::Mute } else { CallFault::Hang };
    match moment {
        Moment::Write(before, fault) => {
            let faults = std::iter::repeat_n(None, before).chain([Some(fault)]);
            stage.host.faults(faults);
        }
        Moment::Withdrawal(happens) => stage.member("a").fault(Call::Withdraw, fault(happens)),
        Moment::Creation(happens) => stage.member("c").fault(Call::Ensure, fault(happens)),
    }
    forbid(&stage, "a");
    stage.run(3).await;
    stage.kill();
    stage.start();
    stage
        .until("the move", |stage| stage.line("job").contains("b:2,c:2"))
        .await;
    stage.run(60).await;
    assert_eq!(
        record(&stage),
        "1-1 b 2-3, 2-0 c 0-1, FilterPolicy from a",
        "{moment:?}"
    );
    assert_eq!(created(&stage), 3, "{moment:?}");
    assert_eq!(stage.member("a").shares_of("job")[0].active, 0, "{moment:?}");
}

#[tokio::test(start_paused = true)]
async fn killed_in_any_step_of_an_eviction_it_ends_the_same() {
    for before in 0..3 {
        for fault in [Fault::Hang, Fault::Mute] {
            killed(Moment::Write(before, fault)).await;
        }
    }
    for happens in [false, true] {
        killed(Moment::Withdrawal(happens)).await;
        killed(Moment::Creation(happens)).await;
    }
}
