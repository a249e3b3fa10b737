//! Nothing that the operator writes is a difference to Git: an Application that nobody changes is watched while its
//! jobs start, run and end, and while other cases do their work.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use super::watch::Watch;
use super::{LONG, Stage, deployment, describe, is, job};
use crate::plan::HOST;
use crate::runner::Context;
use crate::wait;

const NAME: &str = "crowd";
/// How many jobs; one ends every few seconds of the watch.
const JOBS: u32 = 60;
const WATCHED: Duration = Duration::from_secs(120);

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
    Watch::begin(&stage.sky.lab, NAME)?;
    fs::write(since(&stage), "")?;
    Ok(())
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
    let watch = Watch::of(&stage.sky.lab)?;
    let states = watch.states()?;
    // Else nothing was watched.
    ensure!(
        compared > 5 && states > compared,
        "{compared} comparisons, {states} states"
    );
    let found = stage
        .until(NAME, "Healthy", |found| is(found, "Synced", "Healthy"))
        .await?;
    let syncs = found["status"]["history"].as_array().map_or(0, Vec::len);
    ensure!(syncs == 1, "synced {syncs} times: {}", describe(&found));
    watch.end().await?;
    context.remark(format!(
        "{JOBS} jobs, {states} states of the Application, all Synced"
    ));
    Ok(())
}

/// A file as old as the watch.
fn since(stage: &Stage) -> PathBuf {
    stage.sky.lab.dir().join(HOST).join("watched-since")
}
