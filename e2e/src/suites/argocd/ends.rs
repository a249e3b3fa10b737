//! What Argo CD shows of work that does not end well, or is held back.

use anyhow::{Result, ensure};

use super::{Stage, job, object};
use crate::runner::Context;

pub(super) async fn a_failed_job_is_degraded_in_our_words(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let files = [("broken", Some(job("broken", "1s", "3")))];
    stage.repository.commit("broken", &files).await?;
    stage.follow("broken", "default").await?;
    let found = stage.healthy("broken", "Degraded").await?;
    let ours = super::super::sky::message(&stage.sky.job("broken").await?, "Failed");
    let (_, health, words) = object(&found, "SkyJob", "broken");
    ensure!(
        health == "Degraded" && words == ours && !ours.is_empty(),
        "{health}: {words:?}, ours {ours:?}"
    );
    Ok(())
}

pub(super) async fn a_job_that_git_suspends_is_suspended(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let mut held = job("held", "1s", "0");
    held["spec"]["suspend"] = true.into();
    stage.repository.commit("held", &[("held", Some(held))]).await?;
    stage.follow("held", "default").await?;
    let found = stage.healthy("held", "Suspended").await?;
    let (_, _, words) = object(&found, "SkyJob", "held");
    ensure!(words.contains("spec.suspend"), "{words}");
    stage
        .repository
        .commit("held", &[("held", Some(job("held", "1s", "0")))])
        .await?;
    stage.healthy("held", "Healthy").await?;
    Ok(())
}
