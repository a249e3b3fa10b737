//! Shares that may not stay where they are: a policy excludes their cluster, or a taint drives them out. Part of the
//! suite `evictions`.

use anyhow::{Context as _, Result, ensure};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sky_crds::FilterPolicy;

use super::{eviction, evictions, shares, tombstone};
use crate::runner::Context;
use crate::suites::jobs::{CLOUD, KWOK, ONPREM, on, shared, simulated};
use crate::suites::sky::{self, SOON, Sky, message, phase, summary};
use crate::wait;

/// Runs until it is stopped on one cluster, and to its end everywhere else.
const STUCK_ON_PREMISES: &str =
    "if [ $SKY_CLUSTER = mluo-onprem ]; then trap 'exit 1' TERM; sleep 600 & wait; fi; sleep 4";

pub(super) async fn a_policy_moves_a_running_share_and_only_that_share(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let host = sky.lab.host()?;
    let spec = json!({
        "replicas": 2, "resources": {"cpu": "500m"}, "run": STUCK_ON_PREMISES, "backoffLimit": 1,
        "placement": {"filters": on(&[ONPREM, CLOUD])["filters"], "spread": {"strategy": "Even"}},
    });
    sky.create_labelled("driven", json!({"contract": "cloud-only"}), spec)
        .await?;
    running_pod(&sky, "driven", ONPREM).await?;
    let stays = running_pod(&sky, "driven", CLOUD).await?;
    host.apply(
        "apiVersion: skymanager.io/v1alpha1\nkind: FilterPolicy\nmetadata: {name: off-premises}\nspec:\n  \
         clusterFilter: {exclude: [mluo-onprem]}\n  labelsSelector: {contract: cloud-only}\n",
    )
    .await?;
    reports(&sky, 1, None).await?;
    let job = sky.complete("driven").await?;
    let uid = job.uid().unwrap_or_default();
    let pods = sky.pods(&uid, CLOUD).await?;
    let kept = pods.iter().filter(|pod| pod.uid().as_ref() == Some(&stays));
    ensure!(
        pods.len() == 2 && kept.count() == 1,
        "{CLOUD} has {} pods, or not the one that ran there before",
        pods.len()
    );
    let mut tries: Vec<_> = shares(&job)
        .into_iter()
        .map(|share| (share.cluster, share.attempt, share.interruptions.unwrap_or(0)))
        .collect();
    tries.sort();
    let moved = [(CLOUD.to_owned(), 1, 0), (CLOUD.to_owned(), 2, 1)];
    ensure!(tries == moved, "the shares are {tries:?}");
    let eviction = eviction(&job)?;
    ensure!(
        (eviction.cluster.as_str(), eviction.replicas, eviction.attempt) == (ONPREM, 1, 1)
            && eviction.reason == "FilterPolicy"
            && eviction.message.as_deref() == Some("excluded by FilterPolicy off-premises"),
        "{eviction:?}"
    );
    tombstone(&sky, "driven", ONPREM).await?;
    reports(&sky, 0, Some(1)).await?;
    host.kubectl(&["delete", "fpol", "off-premises"]).await?;
    sky.delete("driven").await
}

/// The uid of the one pod of a SkyJob on a member, when it runs.
async fn running_pod(sky: &Sky, name: &str, member: &str) -> Result<String> {
    let uid = sky.job(name).await?.uid().unwrap_or_default();
    wait::until(&format!("{name} to run on {member}"), SOON, async || {
        let pods = sky.pods(&uid, member).await?;
        let runs = pods.len() == 1 && pods.iter().all(sky::is_running);
        ensure!(runs, "{} pods, or not running yet", pods.len());
        pods.first().and_then(ResourceExt::uid).context("no uid")
    })
    .await
}

/// Waits until the policy says how many workloads it governs, and how many shares it has driven out.
async fn reports(sky: &Sky, matched: i64, evicted: Option<i64>) -> Result<()> {
    let policies: Api<FilterPolicy> = Api::namespaced(sky.client(), "default");
    wait::until("what the policy reports", SOON, async || {
        let status = policies.get("off-premises").await?.status.unwrap_or_default();
        let wanted = status.matched_workloads == Some(matched);
        ensure!(
            wanted && (evicted.is_none() || status.evicted_shares == evicted),
            "{:?} matched, {:?} evicted",
            status.matched_workloads,
            status.evicted_shares
        );
        Ok(())
    })
    .await
}

pub(super) async fn without_a_try_left_an_evicted_job_fails_and_says_why(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let spec = |unschedulable: Value, taints: Value| json!({"spec": {"unschedulable": unschedulable, "taints": taints}});
    sky.create("cut-off", simulated("600")).await?;
    let pod = running_pod(&sky, "cut-off", KWOK).await?;
    // A cordon that is in force keeps others out.
    sky.patch_cluster(KWOK, spec(json!(true), json!(null))).await?;
    sky.create("kept-out", simulated("1s")).await?;
    let cordoned = |job: &sky_crds::SkyJob| message(job, "Scheduled").contains("1 cordoned");
    sky.until("kept-out", "cordoned", cordoned).await?;
    let job = sky.job("cut-off").await?;
    ensure!(
        running_pod(&sky, "cut-off", KWOK).await? == pod && evictions(&job).is_empty(),
        "the cordon evicted it: {}",
        sky::describe(&job)
    );
    sky.delete("kept-out").await?;

    let taint = json!([{"key": "maintenance", "effect": "NoExecute"}]);
    sky.patch_cluster(KWOK, spec(json!(null), taint)).await?;
    let job = sky
        .until_true("cut-off", "Failed", "InterruptedByEviction")
        .await?;
    let words = "on cloud-2: evicted (Tainted: tainted maintenance) when a replica had started, and backoffLimit 0 \
                 leaves no other try";
    ensure!(
        message(&job, "Failed") == words && message(&job, "Stalled") == words,
        "{}",
        sky::describe(&job)
    );
    ensure!(
        phase(&job) == "Failed" && summary(&job) == "cloud-2:1",
        "{}",
        sky::describe(&job)
    );
    tombstone(&sky, "cut-off", KWOK).await?;
    sky.patch_cluster(KWOK, spec(json!(null), json!(null))).await?;
    sky.delete("cut-off").await
}
