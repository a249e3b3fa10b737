//! In which numbers a SkyJob goes where, what starts without a gang, and accelerators. Part of the suite `jobs`.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{KWOK, shared, simulated, with};
use crate::runner::Context;
use crate::suites::sky::{self, Sky, message, summary};

const MODEL: &str = "NVIDIA-A100-SXM4-80GB";

pub(super) async fn an_even_spread_uses_as_many_clusters_as_it_may(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let spec = |replicas: u32, spread: Value| json!({"replicas": replicas, "run": "true", "resources": {"cpu": "100m"}, "placement": {"spread": spread}});
    sky.create("everywhere", spec(3, json!({"strategy": "Even"})))
        .await?;
    sky.create("on-two", spec(4, json!({"strategy": "Even", "maxClusters": 2})))
        .await?;
    let job = sky.complete("everywhere").await?;
    ensure!(
        summary(&job) == "cloud-2:1,mluo-cloud:1,mluo-onprem:1",
        "{}",
        sky::describe(&job)
    );
    let job = sky.complete("on-two").await?;
    let replicas: Vec<i64> = shares(&job).iter().map(|(_, replicas, _)| *replicas).collect();
    ensure!(replicas == [2, 2], "{}", sky::describe(&job));
    sky.delete("everywhere").await?;
    sky.delete("on-two").await
}

/// Cluster, replicas and ranks of each share.
fn shares(job: &sky_crds::SkyJob) -> Vec<(String, i64, String)> {
    let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
    let shares = placement.into_iter().flat_map(|placement| &placement.shares);
    shares
        .map(|share| {
            (
                share.cluster.clone(),
                share.replicas,
                share.ranks.clone().unwrap_or_default(),
            )
        })
        .collect()
}

pub(super) async fn without_a_gang_what_fits_starts_and_the_rest_follows(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.create("holds-half", simulated("5s")).await?;
    sky.until_true("holds-half", "Scheduled", "Placed").await?;
    let spec = with(simulated("1s"), json!({"replicas": 2, "gang": false}));
    sky.create("one-by-one", spec).await?;
    let waits = "1 of 2 replicas wait: ";
    let job = sky
        .until("one-by-one", waits, |job| {
            let words = message(job, "Scheduled");
            words.starts_with(waits) && words.ends_with("; placed on cloud-2:1")
        })
        .await?;
    let first = shares(&job);
    ensure!(first == [(KWOK.to_owned(), 1, "0".to_owned())], "{first:?}");
    let job = sky.complete("one-by-one").await?;
    let both = shares(&job);
    ensure!(
        summary(&job) == "cloud-2:2"
            && both[..1] == first
            && both[1..] == [(KWOK.to_owned(), 1, "1".to_owned())],
        "{both:?}"
    );
    sky.delete("holds-half").await?;
    sky.delete("one-by-one").await
}

pub(super) async fn an_accelerator_is_asked_for_by_the_name_of_its_model(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    accelerators(&sky, json!(MODEL), json!("2")).await?;
    let spec = json!({"run": "true", "resources": {"A100": 1, "cpu": "100m"}});
    sky.create("trained", spec).await?;
    let job = sky.complete("trained").await?;
    ensure!(summary(&job) == "cloud-2:1", "{}", sky::describe(&job));
    let shares = sky.shares("trained", KWOK).await?;
    let pod = shares
        .first()
        .and_then(|job| job.spec.as_ref()?.template.spec.clone());
    let pod = serde_json::to_value(pod.context("no pod template")?)?;
    let asked = &pod["containers"][0]["resources"];
    ensure!(
        asked["requests"]["nvidia.com/gpu"] == "1" && asked["limits"] == json!({"nvidia.com/gpu": "1"}),
        "asked for {asked}"
    );
    let required = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let term =
        json!({"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": [MODEL]}]});
    let terms = required["nodeSelectorTerms"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    ensure!(terms.contains(&term), "the affinity is {required}");
    sky.delete("trained").await?;
    accelerators(&sky, json!(null), json!(null)).await
}

/// Gives the node of the kwok member accelerators of a model, or takes them away by null.
async fn accelerators(sky: &Sky, model: Value, count: Value) -> Result<()> {
    let member = sky.lab.member(KWOK)?;
    let node = member.node_name(0);
    let label = json!({"metadata": {"labels": {"nvidia.com/gpu.product": model}}});
    let room = json!({"nvidia.com/gpu": count});
    let room = json!({"status": {"capacity": room, "allocatable": room}});
    let patch = ["patch", "node", &node, "--type=merge", "-p"];
    member
        .kubectl(&[&patch[..], &[label.to_string().as_str()]].concat())
        .await?;
    member
        .kubectl(&[&patch[..], &[room.to_string().as_str(), "--subresource=status"]].concat())
        .await?;
    Ok(())
}
