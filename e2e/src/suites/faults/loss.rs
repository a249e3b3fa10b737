//! Members are lost, shares are deleted behind our back, jobs and clusters go meanwhile. Part of the suite `faults`.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;

use super::{A, B, ledger, pinned, report, shared, tried};
use crate::network::Network;
use crate::runner::Context;
use crate::suites::counts;
use crate::suites::counts::tally::Mark;
use crate::suites::sky::{
    self, ORIGIN_LABEL, SOON, Sky, cluster_conditions, condition, is_true, message, phase,
};
use crate::wait;

/// A job whose replicas are seen running on A.
async fn running(sky: &Sky, name: &str, run_for: &str) -> Result<()> {
    sky.create(name, pinned(A, run_for)).await?;
    sky.until(name, "running", |job| phase(job) == "Running")
        .await
        .map(|_| ())
}

pub(super) async fn a_lost_cluster_is_unknown_until_it_returns(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let mark = Mark::now(&sky.lab)?;
    sky.patch_cluster(A, json!({"spec": {"lostAfterSeconds": 5}}))
        .await?;
    running(&sky, "lost", "20s").await?;
    let member = sky.lab.member(A)?;
    member.network(Network::Refuse).await?;
    tried();
    sky.cluster_until(A, "lost", |cluster| {
        cluster_conditions(cluster)
            .iter()
            .any(|c| c.type_ == "Ready" && c.reason == "Lost")
    })
    .await?;
    let job = sky
        .until("lost", "replicas unknown", |job| {
            let totals = job.status.as_ref().and_then(|status| status.totals.clone());
            totals.is_some_and(|totals| totals.unknown == 2) && phase(job) == "Unknown"
        })
        .await?;
    let clusters = job.status.clone().unwrap_or_default().clusters;
    let named = |c: &&sky_crds::status::ClusterCounts| {
        c.cluster == A && c.unknown == 2 && c.reason.as_deref() == Some("ClusterLost")
    };
    ensure!(clusters.iter().any(|c| named(&c)), "clusters[] is {clusters:?}");
    ensure!(condition(&job, "Failed").is_none(), "{}", sky::describe(&job));
    member.network(Network::Pass).await?;
    ledger::close(&sky, &mark).await?;
    sky.patch_cluster(A, json!({"spec": {"lostAfterSeconds": null}}))
        .await?;
    report(context);
    Ok(())
}

pub(super) async fn a_lost_share_moves_and_exactly_one_attempt_survives(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let mark = Mark::now(&sky.lab)?;
    sky.patch_cluster(A, json!({"spec": {"lostAfterSeconds": 5}}))
        .await?;
    let mut spec = counts::tiny("45s");
    let by_name = json!({"matchLabels": {"skymanager.io/cluster-name": A}, "weight": 1});
    spec["placement"] = json!({"preferences": [by_name]});
    spec["onClusterLost"] = json!("Reschedule");
    sky.create("moved", spec).await?;
    sky.until("moved", "running on A", |job| {
        phase(job) == "Running" && sky::summary(job) == format!("{A}:2")
    })
    .await?;
    let member = sky.lab.member(A)?;
    member.network(Network::Refuse).await?;
    tried();
    let job = sky
        .until("moved", "running on B, attempt 2", |job| {
            phase(job) == "Running" && sky::summary(job) == format!("{B}:2")
        })
        .await?;
    let status = job.status.clone().unwrap_or_default();
    let shares = status.placement.clone().unwrap_or_default().shares;
    ensure!(
        shares.len() == 1 && shares[0].attempt == 2 && shares[0].interruptions.is_none(),
        "one share, the second attempt, no try used: {shares:?}"
    );
    ensure!(
        status.evictions.len() == 1 && status.evictions[0].reason == "ClusterLost",
        "{:?}",
        status.evictions
    );
    member.network(Network::Pass).await?;
    wait::until("the old attempt to be withdrawn", SOON, async || {
        let left = member
            .kubectl(&["get", "jobs", "-A", "-o", "name", "-l", ORIGIN_LABEL])
            .await?;
        ensure!(left.is_empty(), "{A} still holds {left}");
        Ok(())
    })
    .await?;
    let job = sky.complete("moved").await?;
    ensure!(sky::summary(&job) == format!("{B}:2"), "{}", sky::describe(&job));
    ledger::made(&sky, &mark, &[(A, "create"), (A, "delete"), (B, "create")])?;
    sky.delete("moved").await?;
    ledger::empty(&sky).await?;
    sky.patch_cluster(A, json!({"spec": {"lostAfterSeconds": null}}))
        .await?;
    report(context);
    Ok(())
}

pub(super) async fn a_job_deleted_while_its_member_is_cut_is_held(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    running(&sky, "held", "600s").await?;
    let member = sky.lab.member(A)?;
    member.network(Network::Refuse).await?;
    tried();
    sky.cluster_until(A, "unreachable", |cluster| {
        !is_true(&cluster_conditions(cluster), "Reachable")
    })
    .await?;
    sky.jobs().delete("held", &DeleteParams::default()).await?;
    let words = format!("waiting for {A} to answer before its shares can be withdrawn");
    sky.until("held", &words, |job| {
        message(job, "Reconciling").starts_with(&words)
    })
    .await?;
    member.network(Network::Pass).await?;
    ledger::empty(&sky).await?;
    report(context);
    Ok(())
}

pub(super) async fn a_share_deleted_on_its_member_fails_the_job(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    running(&sky, "meddled", "600s").await?;
    let member = sky.lab.member(A)?;
    member
        .kubectl(&["delete", "jobs", "-l", ORIGIN_LABEL, "--timeout=60s"])
        .await?;
    tried();
    let job = sky.until_true("meddled", "Failed", "DeletedOnMember").await?;
    ensure!(
        message(&job, "Failed").contains("deleted on its member"),
        "{}",
        sky::describe(&job)
    );
    sky.delete("meddled").await?;
    ledger::empty(&sky).await?;
    report(context);
    Ok(())
}

pub(super) async fn a_cluster_that_is_deleted_sends_its_jobs_away_and_goes(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let mut spec = counts::tiny("8s");
    let by_name = |name: &str| json!({"matchLabels": {"skymanager.io/cluster-name": name}, "weight": 1});
    spec["placement"] = json!({"preferences": [by_name(A)]});
    spec["backoffLimit"] = json!(1);
    running(&sky, "stays", "600s").await?;
    sky.create("moves", spec).await?;
    let moves = sky.until_true("moves", "Scheduled", "Placed").await?;
    ensure!(
        sky::summary(&moves) == format!("{A}:2"),
        "{}",
        sky::describe(&moves)
    );
    sky.clusters().delete(A, &DeleteParams::default()).await?;
    tried();
    let stays = sky.until_true("stays", "Failed", "InterruptedByEviction").await?;
    let words = format!("on {A}: evicted (ClusterLeaving: leaving) when a replica had started");
    ensure!(
        message(&stays, "Failed").starts_with(&words),
        "{}",
        sky::describe(&stays)
    );
    sky.cluster_until(A, "what it waits for", |cluster| {
        let waits = "waiting for workloads to leave: default/moves";
        cluster_conditions(cluster)
            .iter()
            .any(|c| c.type_ == "Ready" && c.message.starts_with(waits))
    })
    .await?;
    // Nothing new goes there.
    sky.create(
        "next",
        json!({"run": "true", "replicas": 2, "resources": {"cpu": "10m"}}),
    )
    .await?;
    for name in ["next", "moves"] {
        let job = sky.complete(name).await?;
        ensure!(sky::summary(&job) == format!("{B}:2"), "{}", sky::describe(&job));
    }
    wait::until("the SkyCluster to go", SOON, async || {
        let left = sky.clusters().get_opt(A).await?;
        ensure!(left.is_none(), "it is still there");
        Ok(())
    })
    .await?;
    for (name, outcome) in [("stays", "Failed"), ("next", "Complete"), ("moves", "Complete")] {
        let job = sky.job(name).await?;
        ensure!(
            phase(&job) == outcome,
            "finished stays finished: {}",
            sky::describe(&job)
        );
    }
    sky.delete_all().await?;
    ledger::empty(&sky).await?;
    report(context);
    Ok(())
}
