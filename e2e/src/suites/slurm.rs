//! Suite `slurm`: SkyJobs on a real Slurm, through the operator. `joining`: what is said at first. `services`:
//! SkyDeployments. `trouble`: what goes wrong there. `accounting`: what is known of an end that nobody saw. `kills`: the long
//! case, on four clusters.

mod accounting;
mod joining;
mod kills;
mod services;
mod trouble;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use futures::FutureExt;
use serde_json::{Value, json};

use super::sky::{self, SOON, Sky, need_real, summary};
use super::{Case, Suite};
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::slurm::{JOB_USER, SlurmCluster};
use crate::wait;

const HPC: &str = "hpc-1";
const CLOUD: &str = "cloud";

pub const SUITE: Suite = Suite {
    name: "slurm",
    about: "SkyJobs and SkyDeployments run on a real Slurm cluster: bound, recorded, released, observed, withdrawn",
    cases: &[
        Case {
            name: "a_job_runs_as_an_array_and_its_output_is_read_and_followed",
            run: |context| array(context).boxed_local(),
        },
        case!(joining::joining_says_what_was_found_and_what_is_wrong),
        Case {
            name: "replicas_that_want_a_node_alone_get_one_each",
            run: |context| exclusive(context).boxed_local(),
        },
        Case {
            name: "what_does_not_fit_on_kubernetes_goes_to_slurm",
            run: |context| overflow(context).boxed_local(),
        },
        Case {
            name: "a_job_that_is_deleted_leaves_nothing_in_the_queue",
            run: |context| deletion(context).boxed_local(),
        },
        case!(services::replicas_of_a_deployment_are_kept_running_scaled_and_rolled_over),
        case!(trouble::an_image_is_the_container_that_the_cluster_maps_it_to),
        case!(trouble::a_node_that_fails_fails_its_replicas_in_words_and_none_runs_again),
        case!(trouble::a_token_that_ends_is_said_and_with_a_new_one_it_goes_on),
        case!(trouble::what_slurm_forgets_is_done_if_that_was_seen_and_never_run_again),
        case!(accounting::an_end_that_nobody_saw_is_told_by_accounting_and_waited_for_while_that_is_silent),
        case!(kills::two_hundred_jobs_on_four_clusters_outlive_five_kills_and_run_once),
    ],
};

/// One Slurm cluster of 8 cpus and a simulated Kubernetes one of 2.
async fn shared(context: &Context) -> Result<Sky> {
    need_real()?;
    let members = vec![MemberSpec::kwok(CLOUD), MemberSpec::slurm(HPC)];
    let plan = Plan {
        operator: true,
        ..Plan::bare(members)
    };
    joined(context, &plan, &[HPC]).await
}

/// The shared lab of `plan` with every Kubernetes member and these Slurm clusters joined and Ready.
async fn joined(context: &Context, plan: &Plan, slurms: &[&str]) -> Result<Sky> {
    let sky = Sky::on(context, plan).await?;
    for name in slurms {
        if sky.clusters().get_opt(name).await?.is_none() {
            let token = sky.lab.slurm(name)?.token_file();
            join(&sky, name, &token).await?;
        }
        sky.cluster_until(name, "Ready", |cluster| {
            sky::is_true(&sky::cluster_conditions(cluster), "Ready")
        })
        .await?;
    }
    Ok(sky)
}

/// Joins a Slurm cluster by the token in this file.
async fn join(sky: &Sky, name: &str, token: &Path) -> Result<()> {
    let url = sky.lab.slurm(name)?.direct_url();
    join_at(sky, name, &url, token).await
}

/// Joins the Slurm cluster at this URL.
async fn join_at(sky: &Sky, name: &str, url: &str, token: &Path) -> Result<()> {
    let token = token.display().to_string();
    let from = ["--slurm", url, "--user", JOB_USER, "--token-file", &token];
    sky.lab.sky(&[&["join", name], &from[..]].concat()).await?;
    Ok(())
}

/// An empty file in the cluster's working directory that replicas write to.
fn ledger(cluster: &SlurmCluster, name: &str) -> Result<PathBuf> {
    let path = cluster.work_dir().join(name);
    fs::write(&path, "")?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
    Ok(path)
}

/// Waits until no job is left.
async fn queue_empties(cluster: &SlurmCluster) -> Result<()> {
    wait::until("the queue to be empty", SOON, async || {
        let left = queue(cluster).await?;
        ensure!(left.is_empty(), "{}: {left:?}", cluster.name());
        Ok(())
    })
    .await
}

/// Waits until slurmctld has forgotten every job whose name begins with one of these.
async fn forgotten(cluster: &SlurmCluster, names: &[&str]) -> Result<()> {
    wait::until("Slurm to forget them", SOON, async || {
        let answer = cluster.rest("GET", "jobs", None).await?;
        let listed = answer.body["jobs"].as_array().context("a list of jobs")?;
        let ours = |job: &&Value| {
            let name = job["name"].as_str().unwrap_or_default();
            names.iter().any(|first| name.starts_with(first))
        };
        match listed.iter().find(ours) {
            None => Ok(()),
            Some(job) => bail!("{} is {}", job["name"], job["job_state"]),
        }
    })
    .await
}

/// Replicas of a cpu each that may run on a Slurm cluster's own system.
fn spec(replicas: i64, run: &str, first: &str) -> Value {
    let labels = json!({"skymanager.io/cluster-name": first});
    json!({
        "replicas": replicas, "run": run, "slurm": {}, "resources": {"cpu": 1, "memory": "64Mi"},
        "placement": {"preferences": [{"matchLabels": labels, "weight": 100}]},
    })
}

/// Names in the queue.
async fn queue(cluster: &SlurmCluster) -> Result<Vec<String>> {
    let listed = cluster.tool("squeue", &["--noheader", "--format=%j"]).await?;
    Ok(listed.lines().map(str::to_owned).collect())
}

async fn array(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let run =
        "echo rank $SKY_RANK of $SKY_REPLICAS on $SKY_CLUSTER; sleep 3; printf 'rank %s goes' $SKY_RANK";
    sky.create("array", spec(3, run, HPC)).await?;
    // From before the first has started until the last has ended.
    let followed = sky.lab.sky(&["logs", "--follow", "array"]).await?;
    for rank in 0..3 {
        for line in [format!("rank {rank} of 3 on hpc-1"), format!("rank {rank} goes")] {
            ensure!(
                followed.matches(&line).count() == 1,
                "not once {line:?} in {followed}"
            );
        }
    }
    let job = sky.complete("array").await?;
    ensure!(summary(&job) == "hpc-1:3", "{}", sky::describe(&job));
    let output = sky.lab.sky(&["logs", "array"]).await?;
    for rank in 0..3 {
        let line = format!("rank {rank} of 3 on hpc-1");
        ensure!(output.contains(&line), "no {line:?} in {output}");
    }
    ensure!(
        queue(&sky.lab.slurm(HPC)?).await?.is_empty(),
        "the queue is not empty"
    );
    sky.delete("array").await
}

/// Two of three replicas that want a node each fit on two nodes, and beside them no other.
async fn exclusive(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let labels = json!({"skymanager.io/cluster-name": HPC});
    let alone = |replicas: i64| {
        let mut spec = spec(replicas, "echo node $SLURMD_NODENAME; sleep 3", HPC);
        spec["slurm"] = json!({"directives": {"exclusive": "true"}});
        spec["placement"] = json!({"filters": [{"matchLabels": labels}]});
        spec
    };
    sky.create("crowd", alone(3)).await?;
    sky.until_true("crowd", "Stalled", "TooLarge").await?;
    sky.delete("crowd").await?;
    sky.create("alone", alone(2)).await?;
    sky.complete("alone").await?;
    let said = sky.lab.sky(&["logs", "alone"]).await?;
    for index in 0..2 {
        let node = format!("node {}", sky.lab.slurm(HPC)?.node_name(index));
        ensure!(said.matches(&node).count() == 1, "not once {node:?} in {said}");
    }
    sky.delete("alone").await
}

async fn overflow(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let mut spec = spec(4, "true", CLOUD);
    spec["env"] = json!([{"name": "LAB_RUN_FOR", "value": "3s"}]);
    sky.create("overflow", spec).await?;
    let job = sky.complete("overflow").await?;
    ensure!(summary(&job) == "cloud:2,hpc-1:2", "{}", sky::describe(&job));
    sky.delete("overflow").await
}

async fn deletion(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.create("gone", spec(2, "sleep 600", HPC)).await?;
    sky.until("gone", "running", |job| sky::phase(job) == "Running")
        .await?;
    sky.delete("gone").await?;
    queue_empties(&sky.lab.slurm(HPC)?).await
}
