//! Room is never given twice: bursts, caches that are behind, members that are late, restarts; and the order of the queue.

use serde_json::{Value, json};

use crate::tests::stage::{Cache, Stage};

fn replicas(count: i64) -> Value {
    json!({"replicas": count, "resources": {"cpu": 1}, "run": "true"})
}

fn with_priority(count: i64, priority: i32) -> Value {
    let mut spec = replicas(count);
    spec["priority"] = json!(priority);
    spec
}

/// Names of the jobs that are placed.
fn placed(stage: &Stage) -> Vec<String> {
    let jobs = stage.host.all("SkyJob");
    let names = jobs.iter().filter_map(|job| job["metadata"]["name"].as_str());
    names
        .filter(|name| stage.line(name).starts_with("Pending") || stage.line(name).starts_with("Running"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn of_two_jobs_that_fit_alone_but_not_together_exactly_one_is_placed() {
    let mut stage = Stage::new(&[("a", 2000), ("b", 1000)]).await;
    stage.apply("one", replicas(2));
    stage.apply("two", replicas(2));
    stage.run(30).await;
    assert_eq!(placed(&stage), ["one"]);
    assert_eq!(
        stage.message("two", "Scheduled"),
        "1 of 2 replicas fit (b:1); other clusters: 1 insufficient cpu"
    );
}

#[tokio::test(start_paused = true)]
async fn a_burst_fills_the_members_and_never_over_commits_them() {
    let mut stage = Stage::new(&[("a", 10_000), ("b", 10_000)]).await;
    for number in 0..30 {
        stage.apply(&format!("job-{number:02}"), replicas(1));
    }
    stage.run(5).await;
    let first: Vec<String> = (0..20).map(|number| format!("job-{number:02}")).collect();
    assert_eq!(placed(&stage), first);
    for member in ["a", "b"] {
        assert_eq!(stage.member(member).keys().len(), 10);
        first.iter().for_each(|job| stage.member(member).place(job));
        first.iter().for_each(|job| stage.member(member).start(job));
    }
    stage.run(5).await;
    assert_eq!(placed(&stage).len(), 20);
    for job in &first[..7] {
        stage.member("a").succeed(job);
        stage.member("b").succeed(job);
    }
    stage.run(5).await;
    assert_eq!(stage.effects().len(), 27);
}

#[tokio::test(start_paused = true)]
async fn bound_room_is_kept_while_the_hosts_cache_and_the_member_do_not_show_it() {
    let mut stage = Stage::new(&[("a", 4000)]).await;
    stage.apply("one", replicas(3));
    stage.hold_back(Cache::Scheduler, true);
    stage.member("a").whisper(true);
    stage.run(1).await;
    assert_eq!(placed(&stage), ["one"]);
    stage.apply("two", replicas(3));
    stage.run(5).await;
    assert_eq!(
        placed(&stage),
        ["one"],
        "neither the cache nor the member shows the share"
    );
    stage.hold_back(Cache::Scheduler, false);
    stage.run(5).await;
    assert_eq!(placed(&stage), ["one"], "the cache shows it, the member does not");
    stage.member("a").whisper(false);
    stage.run(5).await;
    assert_eq!(placed(&stage), ["one"], "the member shows the share without pods");
    stage.member("a").place("one");
    stage.run(5).await;
    assert_eq!(placed(&stage), ["one"], "the pods are on a node");
    stage.member("a").succeed("one");
    stage.run(5).await;
    assert_eq!(placed(&stage), ["two"]);
}

#[tokio::test(start_paused = true)]
async fn room_is_counted_once_at_every_moment_of_a_share() {
    for moment in 0..4 {
        let mut stage = Stage::new(&[("a", 4000)]).await;
        stage.apply("one", replicas(2));
        stage.hold_back(Cache::Scheduler, moment == 0);
        stage.run(1).await;
        if moment > 1 {
            stage.member("a").place("one");
        }
        if moment > 2 {
            stage.member("a").start("one");
        }
        stage.apply("two", replicas(2));
        stage.apply("three", replicas(1));
        stage.hold_back(Cache::Scheduler, false);
        stage.run(5).await;
        assert_eq!(placed(&stage), ["one", "two"], "moment {moment}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_before_the_cache_shows_it_bound_gives_its_room_back() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.hold_back(Cache::Scheduler, true);
    stage.apply("one", replicas(2));
    stage.run(1).await;
    stage.member("a").succeed("one");
    stage.run(5).await;
    assert!(stage.line("one").starts_with("Complete"));
    stage.hold_back(Cache::Scheduler, false);
    stage.apply("two", replicas(2));
    stage.run(5).await;
    assert_eq!(placed(&stage), ["two"]);
}

#[tokio::test(start_paused = true)]
async fn reservations_are_rebuilt_after_a_restart() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("one", replicas(2));
    stage.run(2).await;
    stage.kill();
    stage.apply("two", replicas(2));
    stage.start();
    stage.run(30).await;
    assert_eq!(placed(&stage), ["one"]);
}

#[tokio::test(start_paused = true)]
async fn room_on_a_member_that_was_silent_is_not_given_twice() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("one", replicas(2));
    stage.run(2).await;
    stage.member("a").fall_silent();
    stage.apply("two", replicas(2));
    stage.run(600).await;
    stage.member("a").speak();
    stage.run(30).await;
    assert_eq!(stage.effects(), ["a: create one/1-0"]);
    assert!(stage.line("two").starts_with("Queued"));
}

#[tokio::test(start_paused = true)]
async fn the_queue_goes_by_priority_and_then_by_age() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("first", replicas(2));
    stage.run(1).await;
    stage.apply("old", replicas(2));
    stage.apply("young", replicas(2));
    stage.apply("urgent", with_priority(2, 10));
    stage.run(5).await;
    let mut order = Vec::new();
    for _ in 0..4 {
        let now = placed(&stage);
        assert_eq!(now.len(), 1);
        stage.member("a").succeed(&now[0]);
        order.extend(now);
        stage.run(5).await;
    }
    assert_eq!(order, ["first", "urgent", "old", "young"]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_run_blocks_no_other() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.apply("huge", with_priority(100, 1000));
    stage.apply("small", replicas(1));
    stage.run(5).await;
    assert_eq!(placed(&stage), ["small"]);
    assert_eq!(stage.line("huge"), "Queued Stalled=TooLarge");
}

#[tokio::test(start_paused = true)]
async fn a_cordon_or_policy_that_comes_keeps_new_shares_away_and_lifts_again() {
    let mut stage = Stage::new(&[("a", 4000)]).await;
    stage.apply("before", replicas(1));
    stage.run(1).await;
    stage.host.edit("SkyCluster", "a", |cluster| {
        cluster["spec"]["unschedulable"] = json!(true)
    });
    stage.run(1).await;
    stage.apply("job", replicas(1));
    stage.run(5).await;
    assert_eq!(placed(&stage), ["before"]);
    assert_eq!(stage.message("job", "Scheduled"), "0/1 clusters: 1 cordoned");
    stage.host.edit("SkyCluster", "a", |cluster| {
        cluster["spec"]["unschedulable"] = json!(false)
    });
    stage.run(5).await;
    assert_eq!(placed(&stage), ["before", "job"]);
    stage.host.create(json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "FilterPolicy",
        "metadata": {"name": "not-a", "namespace": "default", "uid": "p"},
        "spec": {"clusterFilter": {"exclude": ["a"]}},
    }));
    stage.run(1).await;
    stage.apply("governed", replicas(1));
    stage.run(5).await;
    assert_eq!(
        stage.message("governed", "Scheduled"),
        "0/1 clusters: 1 excluded by FilterPolicy not-a"
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_placed_in_parts_keeps_the_room_of_each_while_the_hosts_cache_is_behind() {
    let mut stage = Stage::new(&[("a", 2000)]).await;
    stage.hold_back(Cache::Scheduler, true);
    stage.member("a").whisper(true);
    let mut spec = replicas(4);
    spec["gang"] = json!(false);
    stage.apply("parts", spec);
    stage.run(20).await;
    assert_eq!(stage.line("parts"), "Pending a:2");
    stage.hold_back(Cache::Scheduler, false);
    stage.member("a").whisper(false);
    stage.run(20).await;
    assert_eq!(stage.line("parts"), "Pending a:2");
    for _ in 0..2 {
        stage.member("a").place("parts");
        stage.member("a").start("parts");
        stage.member("a").succeed("parts");
        stage.run(20).await;
    }
    assert_eq!(stage.line("parts"), "Complete a:4 Complete=Succeeded");
}
