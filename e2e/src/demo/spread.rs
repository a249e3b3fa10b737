//! Third part: a job larger than any cluster is spread over several; free capacity falls and comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::claims::Claims;
use super::facts::{self, Job, Millicores};
use super::new_name;
use super::one_job::ends;
use super::stage::Stage;
use crate::wait;

const REPLICAS: u64 = 4;
/// One replica's cpu.
const CORE: u64 = 1000;
const BOUND: Duration = Duration::from_secs(60);

pub async fn show(stage: &Stage, claims: &mut Claims) -> Result<()> {
    stage.heading("3. Four replicas, no cluster with room for four: they are spread");
    let lab = stage.lab();
    let before = all_free(stage).await?;
    stage.run("kubectl sky get clusters").await?;
    claims.check(
        "3: no member has 4 free cpus",
        ensure_all(&before, |free| free < REPLICAS * CORE),
    );

    let name = new_name();
    let env = facts::run_for(20);
    stage
        .run(&format!(
            "kubectl sky create job {name} --replicas {REPLICAS} --resources cpu 1{env} --run \"sleep 20\""
        ))
        .await?;
    let all_run = |line: &str| line.split_whitespace().nth(3) == Some("4") || ends(line);
    stage
        .watch(&format!("kubectl get skyj {name} --watch"), all_run)
        .await?;
    let job = Job::read(lab, &name).await?;
    let placement = job.placement();
    claims.check(
        format!(
            "3: the replicas are spread over {} members: {}",
            placement.len(),
            job.summary()
        ),
        is_spread(&job),
    );
    for member in placement.keys() {
        stage.run(&format!("kubectl get pods --context {member}")).await?;
    }
    let pods = facts::pods(lab, &job).await?;
    claims.check(
        "3: each member has the pods that the placement says",
        same_pods(&pods, &placement),
    );

    let mut expect = before.clone();
    for (member, replicas) in &placement {
        expect
            .entry(member.clone())
            .and_modify(|free| *free = free.saturating_sub(replicas * CORE));
    }
    let fell = free_becomes(stage, &expect).await;
    stage.run("kubectl sky get clusters").await?;
    claims.check("3: free capacity falls by one cpu a replica", fell);

    stage
        .watch(&format!("kubectl get skyj {name} --watch"), ends)
        .await?;
    let back = free_becomes(stage, &before).await;
    stage.run("kubectl sky get clusters").await?;
    claims.check("3: free capacity comes back", back);
    let job = Job::read(lab, &name).await?;
    claims.check("3: all four replicas succeeded", job.is_complete());
    Ok(())
}

/// What is free once everything is: the pods of the parts before have ended.
async fn all_free(stage: &Stage) -> Result<Millicores> {
    let wanted = facts::allocatable(stage.lab()).await?;
    free_becomes(stage, &wanted).await?;
    Ok(wanted)
}

async fn free_becomes(stage: &Stage, wanted: &Millicores) -> Result<()> {
    wait::until("free capacity", BOUND, async || {
        let free = facts::free(stage.lab()).await?;
        if free == *wanted {
            Ok(())
        } else {
            bail!("free are {free:?} thousandths of a core, expected {wanted:?}")
        }
    })
    .await
}

fn ensure_all(amounts: &Millicores, holds: impl Fn(u64) -> bool) -> Result<()> {
    ensure!(
        !amounts.is_empty() && amounts.values().all(|amount| holds(*amount)),
        "free are {amounts:?} thousandths of a core"
    );
    Ok(())
}

fn same_pods(pods: &BTreeMap<String, u64>, placement: &BTreeMap<String, u64>) -> Result<()> {
    let there = pods.iter().filter(|(_, count)| **count > 0);
    ensure!(there.eq(placement), "pods are {pods:?}, placed are {placement:?}");
    Ok(())
}

fn is_spread(job: &Job) -> Result<()> {
    let placement = job.placement();
    ensure!(
        placement.len() >= 2 && placement.values().sum::<u64>() == REPLICAS,
        "it is on {}",
        job.summary()
    );
    Ok(())
}
