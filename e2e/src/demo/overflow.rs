//! Fourth part: a Slurm cluster joins; a job that prefers it fills it, and what does not fit there runs on Kubernetes.

use anyhow::{Result, ensure};

use super::claims::Claims;
use super::facts::Job;
use super::new_name;
use super::one_job::ends;
use super::stage::Stage;

/// The Slurm cluster of the demonstration: two nodes of 4 cpus.
pub const HPC: &str = "hpc-1";
/// The document; from the checkout's root.
const DOCUMENT: &str = "e2e/assets/demo/slurm-first.yaml";
const ON_SLURM: u64 = 8;
const REPLICAS: u64 = 10;

pub async fn show(stage: &Stage, claims: &mut Claims) -> Result<()> {
    stage.heading("4. Slurm first: a cluster of 8 cpus, ten replicas, the rest on Kubernetes");
    stage
        .run(&format!(
            "kubectl sky join {HPC} --slurm \"$SKY_SLURM_HPC_1_DIRECT_URL\" --user \"$SKY_SLURM_HPC_1_USER\" --token-file \
             \"$SKY_SLURM_HPC_1_TOKEN_FILE\""
        ))
        .await?;
    stage.run("kubectl sky get clusters").await?;
    stage.run(&format!("cat {DOCUMENT}")).await?;
    let name = new_name();
    stage
        .run(&format!("sed s/NAME/{name}/ {DOCUMENT} | kubectl apply -f -"))
        .await?;
    // It is held for some seconds after its id is recorded, so that it is in the queue now.
    stage
        .run(&format!(
            "kubectl wait skyj/{name} --for=jsonpath='{{.status.placement.shares[?(@.cluster==\"{HPC}\")].instance}}' \
             --timeout=60s"
        ))
        .await?;
    let queue = stage
        .run("env SLURM_CONF=\"$SKY_SLURM_HPC_1_CONF\" squeue --array --noheader --format='%i %j %T %N'")
        .await?;
    let job = Job::read(stage.lab(), &name).await?;
    claims.check(
        format!("4: the job fills {HPC} and then goes on: {}", job.summary()),
        overflows(&job),
    );
    claims.check(
        "4: the queue of Slurm has the replicas placed there, each a task of one array",
        is_an_array(&queue, &name),
    );
    stage
        .watch(&format!("kubectl get skyj {name} --watch"), ends)
        .await?;
    let said = stage.run(&format!("kubectl sky logs {name}")).await?;
    let job = Job::read(stage.lab(), &name).await?;
    claims.check("4: all ten replicas succeeded", job.is_complete());
    claims.check(
        "4: each rank printed once, where it was placed",
        ranks_printed(&said, &job),
    );
    Ok(())
}

fn overflows(job: &Job) -> Result<()> {
    let placement = job.placement();
    ensure!(
        placement.get(HPC) == Some(&ON_SLURM) && placement.values().sum::<u64>() == REPLICAS,
        "it is on {}",
        job.summary()
    );
    Ok(())
}

fn is_an_array(queue: &str, name: &str) -> Result<()> {
    let mut arrays: Vec<&str> = queue
        .lines()
        .filter(|line| {
            line.split_whitespace()
                .nth(1)
                .is_some_and(|job| job.starts_with(name))
        })
        .filter_map(|line| Some(line.split_once('_')?.0))
        .collect();
    let tasks = arrays.len() as u64;
    arrays.dedup();
    ensure!(
        tasks == ON_SLURM && arrays.len() == 1,
        "{tasks} tasks of {} arrays: {queue}",
        arrays.len()
    );
    Ok(())
}

fn ranks_printed(said: &str, job: &Job) -> Result<()> {
    for rank in 0..REPLICAS {
        let line = format!("rank {rank} of {REPLICAS} on ");
        let places: Vec<&str> = said
            .lines()
            .filter_map(|said| said.split_once(&line))
            .map(|(_, place)| place.trim())
            .collect();
        ensure!(
            places.len() == 1 && job.placement().contains_key(places[0]),
            "rank {rank} printed on {places:?}"
        );
    }
    Ok(())
}
