//! What hurts Slurm clusters: each fault does what it says, and is undone. Part of the suite `lab`.

use std::fs;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use serde_json::json;
use tokio::time::timeout;

use super::slurm::{BOUND, FIRST, SECOND, shared};
use crate::network::Network;
use crate::runner::Context;
use crate::slot::Port;
use crate::slurm::rest::{self, Caller};
use crate::slurm::{JOB_USER, SlurmCluster};
use crate::wait;

const A_WHILE: Duration = Duration::from_secs(2);

pub(super) async fn slurmctld_killed_and_started_again_keeps_a_held_job(context: &Context) -> Result<()> {
    let cluster = shared(context).await?.slurm(FIRST)?;
    let server = cluster.daemon("slurmctld")?;
    let held = cluster
        .submit("held", "#!/bin/sh\necho released\n", &json!({"hold": true}))
        .await?;
    saved(&cluster, "held").await?;
    server.kill().await?;
    ensure!(!server.running(), "a killed daemon is gone");
    let said = cluster.tool("scontrol", &["ping"]).await;
    ensure!(
        !said.as_ref().is_ok_and(|said| said.contains(" is UP")),
        "{said:?}"
    );
    server.restart().await?;
    cluster.ready(BOUND).await?;
    ensure!(cluster.job_state(held).await? == "PENDING", "it waits as before");
    let reason = ["--noheader", "--format=%r", "--jobs", &held.to_string()];
    let reason = cluster.tool("squeue", &reason).await?;
    ensure!(reason.trim() == "JobHeldUser", "it waits for {reason:?}");
    cluster.tool("scontrol", &["release", &held.to_string()]).await?;
    cluster.job_until(held, "COMPLETED", BOUND).await?;
    ensure!(
        fs::read_to_string(cluster.output("held"))? == "released\n",
        "it ran"
    );
    // One that ends in order forgets nothing, however young.
    let young = cluster
        .submit("young", "#!/bin/sh\ntrue\n", &json!({"hold": true}))
        .await?;
    server.terminate().await?;
    server.restart().await?;
    cluster.ready(BOUND).await?;
    ensure!(cluster.job_state(young).await? == "PENDING", "it is kept");
    cluster.tool("scancel", &[&young.to_string()]).await?;
    Ok(())
}

/// slurmctld writes its jobs down within 5 s; a job that is younger may be forgotten.
async fn saved(cluster: &SlurmCluster, name: &str) -> Result<()> {
    let file = cluster.folder().join("state/job_state");
    wait::until(&format!("{name} in job_state"), BOUND, async || {
        let content = fs::read(&file)?;
        let mut places = content.windows(name.len());
        if places.any(|place| place == name.as_bytes()) {
            Ok(())
        } else {
            bail!("{} bytes", content.len())
        }
    })
    .await
}

/// A job goes on without its slurmd, which finds it again; slurmrestd stops, continues and starts again.
pub(super) async fn a_slurm_job_outlives_its_slurmd_and_slurmrestd_comes_back(
    context: &Context,
) -> Result<()> {
    let cluster = shared(context).await?.slurm(FIRST)?;
    let script = "#!/bin/sh\nwhile [ ! -e go-on ]; do sleep 0.2; done\n";
    let id = cluster.submit("survivor", script, &json!({})).await?;
    cluster.job_until(id, "RUNNING", BOUND).await?;
    let place = ["--noheader", "--format=%N", "--jobs", &id.to_string()];
    let place = cluster.tool("squeue", &place).await?;
    let number = place.trim().rsplit('-').next().unwrap_or_default();
    let node = cluster.daemon(&format!("slurmd-{number}"))?;
    node.kill().await?;
    ensure!(cluster.job_state(id).await? == "RUNNING", "it needs no slurmd");
    node.restart().await?;
    let order = cluster.work_dir().join("go-on");
    fs::write(&order, "")?;
    cluster.job_until(id, "COMPLETED", BOUND).await?;
    fs::remove_file(&order)?;
    let shown = cluster
        .tool("scontrol", &["show", "job", &id.to_string()])
        .await?;
    ensure!(shown.contains(" Restarts=0 "), "{shown}");
    cluster.nodes_idle(BOUND).await?;

    let rest = cluster.daemon("slurmrestd")?;
    rest.stop()?;
    let asked = timeout(A_WHILE, cluster.rest("GET", "jobs", None)).await;
    ensure!(asked.is_err(), "a stopped server answers nothing: {asked:?}");
    rest.cont()?;
    cluster.ready(BOUND).await?;
    rest.kill().await?;
    ensure!(
        cluster.rest("GET", "jobs", None).await.is_err(),
        "its port is closed"
    );
    rest.restart().await?;
    cluster.ready(BOUND).await
}

pub(super) async fn a_drained_slurm_node_takes_no_job_until_it_is_resumed(context: &Context) -> Result<()> {
    let cluster = shared(context).await?.slurm(FIRST)?;
    for index in 0..cluster.spec().nodes {
        cluster
            .drain(&cluster.node_name(index), "case of the lab")
            .await?;
    }
    let id = cluster
        .submit("patient", "#!/bin/sh\necho $SLURMD_NODENAME\n", &json!({}))
        .await?;
    let reason = ["--noheader", "--format=%r", "--jobs", &id.to_string()];
    wait::until("a reason for waiting", BOUND, async || {
        let said = cluster.tool("squeue", &reason).await?;
        if said.contains("ReqNodeNotAvail") || said.contains("Resources") {
            Ok(())
        } else {
            Err(anyhow!("{said:?}"))
        }
    })
    .await?;
    ensure!(cluster.job_state(id).await? == "PENDING", "no node takes it");
    let node = cluster.node_name(1);
    cluster.resume(&node).await?;
    cluster.job_until(id, "COMPLETED", BOUND).await?;
    let said = fs::read_to_string(cluster.output("patient"))?;
    ensure!(said.trim() == node, "it ran on {said:?}");
    cluster.resume(&cluster.node_name(0)).await?;
    cluster.nodes_idle(BOUND).await
}

/// The asker hears nothing, the job is there.
pub(super) async fn a_slurm_job_whose_reply_is_lost_is_there(context: &Context) -> Result<()> {
    let cluster = shared(context).await?.slurm(FIRST)?;
    let token = cluster.mint(JOB_USER, Duration::from_secs(600))?;
    let who = Caller {
        user: JOB_USER,
        token: &token,
    };
    let path = |what: &str| anyhow::Ok(format!("/slurm/{}/{what}", cluster.api()?));
    let (list, submit) = (path("jobs")?, path("job/submit")?);
    let port = cluster.port(Port::Network);
    let ask = async || rest::call(port, &who, "GET", &list, None).await;
    ensure!(ask().await?.status == 200, "the proxy leads to slurmrestd");

    cluster.network(Network::Mute).await?;
    let body = cluster.submission("unheard", "#!/bin/sh\ntrue\n", &json!({"hold": true}))?;
    let asked = timeout(A_WHILE, rest::call(port, &who, "POST", &submit, Some(&body)));
    let there = wait::until("the job in the list", BOUND, async || {
        listed(&cluster, "unheard").await
    });
    let (asked, there) = tokio::join!(asked, there);
    ensure!(asked.is_err(), "an answer came: {asked:?}");
    there?;
    cluster.network(Network::Reset).await?;
    ensure!(ask().await.is_err(), "the network is reset");
    cluster.network(Network::Pass).await?;
    ensure!(ask().await?.status == 200, "and healed");
    cluster.tool("scancel", &["--name=unheard"]).await?;
    Ok(())
}

async fn listed(cluster: &SlurmCluster, name: &str) -> Result<()> {
    let name = format!("--name={name}");
    let said = cluster
        .tool("squeue", &["--noheader", "--format=%i", &name])
        .await?;
    match said.lines().count() {
        1 => Ok(()),
        count => bail!("{count} jobs"),
    }
}

/// Only the log of finished jobs knows it then.
pub(super) async fn a_slurm_job_is_forgotten_after_its_time(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    let cluster = lab.slurm(SECOND)?;
    let id = cluster.submit("brief", "#!/bin/sh\nexit 3\n", &json!({})).await?;
    let path = format!("job/{id}");
    wait::until("the job to be forgotten", BOUND, async || {
        let answer = cluster.rest("GET", &path, None).await?;
        if !answer.body.to_string().contains(":2017") {
            bail!("{}", answer.body["jobs"][0]["job_state"])
        } else {
            Ok(())
        }
    })
    .await?;
    let log = fs::read_to_string(cluster.finished_jobs())?;
    let line = log.lines().find(|line| line.starts_with(&format!("JobId={id} ")));
    ensure!(
        line.is_some_and(|line| line.contains("JobState=FAILED") && line.contains("ExitCode=3:0")),
        "{line:?}"
    );
    Ok(())
}
