//! SkyDeployments on a real Slurm: replicas are kept running, replaced, scaled, rolled over and taken away.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use sky_crds::SkyDeployment;

use super::super::deployments::{self, describe, is_true, serves, status, until};
use super::{HPC, Sky, ledger, queue_empties, shared};
use crate::runner::Context;
use crate::slurm::SlurmCluster;
use crate::suites::sky::SOON;
use crate::wait;

const NAME: &str = "service";

/// `replicas` on the Slurm cluster alone, each of which writes `word` to the ledger when it starts.
fn service(replicas: i64, ledger: &Path, word: &str) -> Value {
    let on_hpc = json!({"key": "skymanager.io/cluster-name", "operator": "In", "values": [HPC]});
    let ledger = ledger.display();
    json!({
        "replicas": replicas, "slurm": {}, "resources": {"cpu": 1, "memory": "64Mi"},
        "run": format!("echo {word} >> {ledger}; echo serves on $SKY_CLUSTER; exec sleep 600"),
        "placement": {"filters": [{"matchExpressions": [on_hpc]}]},
    })
}

/// Ids of its arrays in the queue that run.
async fn running(cluster: &SlurmCluster) -> Result<Vec<String>> {
    let states = ["--noheader", "--states=RUNNING", "--format=%A"];
    let listed = cluster.tool("squeue", &states).await?;
    Ok(listed.lines().map(str::to_owned).collect())
}

/// Waits until as many replicas run, none of them one of `not`.
async fn run(cluster: &SlurmCluster, count: usize, not: &[String]) -> Result<Vec<String>> {
    wait::until(&format!("{count} replicas"), SOON, async || {
        let found = running(cluster).await?;
        let old = found.iter().any(|id| not.contains(id));
        ensure!(found.len() == count && !old, "{found:?}, not {not:?}");
        Ok(found)
    })
    .await
}

fn written(ledger: &Path, word: &str) -> Result<usize> {
    Ok(fs::read_to_string(ledger)?
        .lines()
        .filter(|line| *line == word)
        .count())
}

pub(super) async fn replicas_of_a_deployment_are_kept_running_scaled_and_rolled_over(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let cluster = sky.lab.slurm(HPC)?;
    let ledger = ledger(&cluster, "services")?;
    deployments::create(&sky, NAME, service(3, &ledger, "first")).await?;
    serves(&sky, NAME, "hpc-1:3").await?;
    let first = run(&cluster, 3, &[]).await?;
    let output = sky.lab.sky(&["logs", &format!("deploy/{NAME}")]).await?;
    ensure!(output.matches("serves on hpc-1").count() == 3, "{output}");
    // Somebody cancels one: another takes its place, and the others stay.
    cluster.tool("scancel", &[&first[0]]).await?;
    let second = run(&cluster, 3, &first[..1]).await?;
    let stayed = second.iter().filter(|id| first.contains(id)).count();
    ensure!(stayed == 2, "{second:?} after {first:?}");
    serves(&sky, NAME, "hpc-1:3").await?;
    ensure!(
        written(&ledger, "first")? == 4,
        "starts: {}",
        fs::read_to_string(&ledger)?
    );
    for count in [5, 2] {
        deployments::patch(&sky, NAME, json!({"spec": {"replicas": count}})).await?;
        run(&cluster, count, &[]).await?;
    }
    serves(&sky, NAME, "hpc-1:2").await?;
    rolls(&sky, &cluster, &ledger).await?;
    delete(&sky, &cluster).await
}

/// A template that does not start stops the rollout at the first replica, and says why; the next one goes round.
async fn rolls(sky: &Sky, cluster: &SlurmCluster, ledger: &Path) -> Result<()> {
    let before = run(cluster, 2, &[]).await?;
    let broken = json!({"spec": {"run": "exit 3"}});
    deployments::patch(sky, NAME, broken).await?;
    let stuck = until(sky, NAME, "Stalled", |found| is_true(found, "Stalled")).await?;
    ensure!(describe(&stuck).contains("exit code 3"), "{}", describe(&stuck));
    let left = running(cluster).await?;
    let serving = left.iter().filter(|id| before.contains(id)).count();
    ensure!(serving == 1, "{left:?} of {before:?}");
    let mended = service(2, ledger, "mended");
    deployments::patch(sky, NAME, json!({"spec": {"run": mended["run"]}})).await?;
    let served = until(sky, NAME, "mended", |found| {
        is_true(found, "Ready") && status(found).updated_replicas == Some(2)
    })
    .await?;
    ensure!(!is_true(&served, "Stalled"), "{}", describe(&served));
    run(cluster, 2, &before).await?;
    ensure!(
        written(ledger, "mended")? == 2,
        "starts: {}",
        fs::read_to_string(ledger)?
    );
    Ok(())
}

async fn delete(sky: &Sky, cluster: &SlurmCluster) -> Result<()> {
    let all: Api<SkyDeployment> = Api::namespaced(sky.client(), "default");
    all.delete(NAME, &DeleteParams::default()).await?;
    wait::until("the deployment to go", SOON, async || {
        ensure!(all.get_opt(NAME).await?.is_none(), "still there");
        Ok(())
    })
    .await?;
    queue_empties(cluster).await
}
