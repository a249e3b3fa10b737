//! Nothing that the operator writes is a difference to Git: an Application that nobody changes is watched while its
//! jobs start, run and end, and while other cases do their work.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::{LONG, Stage, deployment, describe, is, job};
use crate::argocd::NAMESPACE;
use crate::daemon::Daemon;
use crate::plan::HOST;
use crate::runner::Context;
use crate::wait;

const NAME: &str = "crowd";
/// How many jobs; one ends every few seconds of the watch.
const JOBS: u32 = 60;
const WATCHED: Duration = Duration::from_secs(120);
const WATCH: &str = "argocd-watch";

pub(super) async fn a_crowd_of_jobs_is_synced_and_watched_from_here_on(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let names: Vec<String> = (0..JOBS).map(|index| format!("crowd-{index}")).collect();
    let jobs = names.iter().enumerate();
    let jobs = jobs.map(|(index, name)| {
        (
            name.as_str(),
            Some(job(name, &format!("{}s", 20 + 2 * index), "0")),
        )
    });
    let mut files: Vec<(&str, Option<Value>)> = jobs.collect();
    files.push(("serves", Some(deployment("serves", 6))));
    stage.repository.commit(NAME, &files).await?;
    stage.follow(NAME, "default").await?;
    stage
        .until(NAME, "Synced", |found| {
            found["status"]["sync"]["status"] == "Synced"
        })
        .await?;
    watch(&stage)
}

pub(super) async fn two_minutes_of_load_make_no_difference_to_git(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let since = fs::metadata(since(&stage))
        .context("nobody watches")?
        .modified()?;
    let mut compared = 0;
    // By itself Argo CD compares when health changes; what we write in between is compared because it is asked.
    let bound = WATCHED + LONG;
    wait::until("two minutes of watching", bound, async || {
        let found = stage.compared(NAME).await?;
        compared += 1;
        if found["status"]["sync"]["status"] != "Synced" {
            return Err(wait::hopeless(anyhow!("{}", describe(&found))));
        }
        let watched = since.elapsed()?;
        ensure!(watched >= WATCHED, "{} s", watched.as_secs());
        Ok(())
    })
    .await?;
    let watch = stage.sky.lab.host()?.daemon(WATCH)?;
    ensure!(watch.running(), "the watch ended: {}", watch.log_tail(5));
    let log = fs::read_to_string(watch.log_path())?;
    let lines: Vec<&str> = log.lines().collect();
    let differs: Vec<&&str> = lines.iter().filter(|line| !line.contains(" Synced ")).collect();
    ensure!(differs.is_empty(), "of {} looks: {differs:?}", lines.len());
    // Else nothing was watched.
    ensure!(
        compared > 5 && lines.len() > compared,
        "{compared} comparisons:\n{log}"
    );
    let found = stage
        .until(NAME, "Healthy", |found| is(found, "Synced", "Healthy"))
        .await?;
    let syncs = found["status"]["history"].as_array().map_or(0, Vec::len);
    ensure!(syncs == 1, "synced {syncs} times: {}", describe(&found));
    watch.discard().await?;
    let looks = lines.len();
    context.remark(format!(
        "{JOBS} jobs, {looks} states of the Application, all Synced"
    ));
    Ok(())
}

/// Writes a line for every state of the Application from now on.
fn watch(stage: &Stage) -> Result<()> {
    let lab = &stage.sky.lab;
    let host = lab.host()?;
    let columns =
        "jsonpath={.metadata.resourceVersion} {.status.sync.status} {.status.health.status}{\"\\n\"}";
    let kubeconfig = host.kubeconfig().display().to_string();
    let program = lab.dir().join("bin/kubectl").display().to_string();
    let command = [
        program.as_str(),
        "--kubeconfig",
        &kubeconfig,
        "--namespace",
        NAMESPACE,
        "get",
        "applications.argoproj.io",
        NAME,
        "--watch",
        "-o",
        columns,
    ];
    Daemon::new(lab.dir(), HOST, WATCH).start(&command.map(str::to_owned), &Default::default())?;
    fs::write(since(stage), "")?;
    Ok(())
}

/// A file as old as the watch.
fn since(stage: &Stage) -> PathBuf {
    stage.sky.lab.dir().join(HOST).join("watched-since")
}
