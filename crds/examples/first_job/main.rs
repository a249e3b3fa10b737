//! A program's first SkyJob: lists the clusters, creates a job, watches it to its end, says what came of it, deletes it.
//! Run with a kubeconfig of the host: `cargo run -p sky-crds --example first_job`.

use anyhow::{Result, bail};
use futures::TryStreamExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use sky_crds::{SkyCluster, SkyJob, SkyJobStatus};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let client = Client::try_default().await?;

    for cluster in Api::<SkyCluster>::all(client.clone())
        .list(&ListParams::default())
        .await?
    {
        let free = cluster.status.clone().unwrap_or_default().free;
        let free = free.get("cpu").map_or("?", |cpu| cpu.0.as_str());
        println!("{}: {free} cpu free", cluster.name_any());
    }

    let jobs: Api<SkyJob> = Api::default_namespaced(client);
    // The types are plain structs; reading them from JSON is shorter, and as strict.
    let job: SkyJob = serde_json::from_value(json!({
        "apiVersion": "skymanager.io/v1alpha1",
        "kind": "SkyJob",
        "metadata": {"name": "first-job"},
        "spec": {"replicas": 2, "run": "echo hello from $SKY_CLUSTER", "resources": {"cpu": "100m", "memory": "16Mi"}},
    }))?;
    jobs.create(&PostParams::default(), &job).await?;

    let only = watcher::Config::default().fields("metadata.name=first-job");
    let mut changes = Box::pin(watcher(jobs.clone(), only).default_backoff().applied_objects());
    while let Some(job) = changes.try_next().await? {
        let status = job.status.unwrap_or_default();
        println!(
            "{} {}",
            status.phase.as_deref().unwrap_or("not seen yet"),
            status.summary.as_deref().unwrap_or_default()
        );
        if ended(&status)? {
            break;
        }
    }
    jobs.delete("first-job", &DeleteParams::default()).await?;
    Ok(())
}

/// Whether all replicas have succeeded; an error has why they never will.
fn ended(status: &SkyJobStatus) -> Result<bool> {
    for condition in status
        .conditions
        .iter()
        .filter(|condition| condition.status == "True")
    {
        match condition.type_.as_str() {
            "Complete" => return Ok(true),
            "Failed" | "Stalled" => bail!("{}: {}", condition.reason, condition.message),
            _ => {}
        }
    }
    Ok(false)
}
