//! A release's life under load: upgraded from the chart before this one while jobs run, rolled back, removed and installed
//! again. Part of the suite `helm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use tar::Archive;
use tempfile::TempDir;
use tokio::process::Command;

use super::{BOUND, MEMBER, Stage, TIMEOUT, pods_made, sleeper};
use crate::operator::NAMESPACE;
use crate::runner::Context;
use crate::suites::sky::Sky;
use crate::{chart, workspace};

/// Files of the chart that an operator depends on.
const RIGHTS: &str = "templates/rbac.yaml";
const KINDS: &str = "files/crds";
/// Jobs that run through each change.
const JOBS: usize = 20;

/// By Helm 3 until it is removed, then installed again by Helm 4.
pub(super) async fn jobs_outlive_an_upgrade_a_rollback_and_a_new_installation(
    context: &Context,
) -> Result<()> {
    let stage = Stage::on(context).await?;
    let before = Before::find().await?;
    let made = pods_made(&stage.lab)?;
    let wait = ["--create-namespace", "--wait", "--timeout", TIMEOUT];
    stage.release(3, "install", &before.chart(), &wait).await?;
    let sky = stage.joined().await?;
    led(&stage).await?;

    burst(&sky, "upgrade").await?;
    let next = ["--wait", "--timeout", TIMEOUT, "--set", "image.tag=next"];
    stage.release(3, "upgrade", &chart::folder(), &next).await?;
    stage.runs("sky-operator:next").await?;
    burst(&sky, "rollback").await?;
    let back = [
        "rollback",
        "sky",
        "1",
        "--namespace",
        NAMESPACE,
        "--wait",
        "--timeout",
        TIMEOUT,
    ];
    stage.helm(3, &back).await?;
    stage.runs("sky-operator:0.1.0").await?;
    sky.all_complete(BOUND).await?;

    burst(&sky, "removed").await?;
    stage.uninstall(3).await?;
    let left = sky.all().await?.len();
    ensure!(left == 3 * JOBS, "{left} SkyJobs are left of {}", 3 * JOBS);
    stage.host.kubectl(&["get", "skycluster", MEMBER]).await?;
    stage.install(4, &[]).await?;
    let done = sky.all_complete(BOUND).await?;
    let replicas = pods_made(&stage.lab)?.saturating_sub(made);
    ensure!(
        done.len() == 3 * JOBS && replicas == done.len(),
        "{} SkyJobs are complete, {replicas} replicas ran",
        done.len()
    );
    sky.delete_all().await?;
    sky.all_gone(BOUND).await?;
    stage.sky(&["unjoin", MEMBER]).await?;
    stage.uninstall(4).await?;
    context.remark(format!("{replicas} jobs, each once; from {}", before.about));
    Ok(())
}

async fn burst(sky: &Sky, name: &str) -> Result<()> {
    let jobs = (0..JOBS).map(async |n| sky.create(&format!("{name}-{n}"), sleeper(2)).await);
    try_join_all(jobs).await?;
    Ok(())
}

/// Fails unless one of two operators' pods leads.
async fn led(stage: &Stage) -> Result<()> {
    let own = ["--namespace", NAMESPACE];
    let lease = [
        "get",
        "lease",
        "sky-operator",
        "-o",
        "jsonpath={.spec.holderIdentity}",
    ];
    let leader = stage.host.kubectl(&[&lease[..], &own].concat()).await?;
    let pods = [
        "get",
        "pods",
        "--selector=app.kubernetes.io/name=sky-operator",
        "--output=name",
    ];
    let pods = stage.host.kubectl(&[&pods[..], &own].concat()).await?;
    let names: Vec<&str> = pods
        .lines()
        .filter_map(|line| line.strip_prefix("pod/"))
        .collect();
    let leads = names.iter().filter(|name| leader.starts_with(**name)).count();
    ensure!(names.len() == 2 && leads == 1, "{leader:?} leads {names:?}");
    Ok(())
}

/// The chart before the last commit that changed it; where history does not reach so far, the chart as it is.
struct Before {
    folder: Option<TempDir>,
    about: String,
}

impl Before {
    async fn find() -> Result<Self> {
        let log = [
            "log",
            "--skip=1",
            "--max-count=1",
            "--format=%h",
            "--",
            "charts/sky",
        ];
        let commit = git(&log).await.unwrap_or_default();
        let commit = String::from_utf8(commit)?.trim().to_owned();
        let archived = if commit.is_empty() {
            None
        } else {
            git(&["archive", &commit, "charts/sky"]).await.ok()
        };
        let Some(archive) = archived else {
            let about = "the same chart: no earlier one is in the history".to_owned();
            return Ok(Self { folder: None, about });
        };
        let folder = tempfile::tempdir()?;
        Archive::new(archive.as_slice()).unpack(folder.path())?;
        if !suits(&folder.path().join("charts/sky"))? {
            let about = format!(
                "the same chart: that of {commit} has other kinds or rights than this operator needs"
            );
            return Ok(Self { folder: None, about });
        }
        Ok(Self {
            folder: Some(folder),
            about: format!("the chart of {commit}"),
        })
    }

    fn chart(&self) -> PathBuf {
        let unpacked = self.folder.as_ref().map(TempDir::path);
        unpacked.map_or_else(chart::folder, |folder: &Path| folder.join("charts/sky"))
    }
}

/// Whether this operator starts with that chart: it refuses kinds and rights that are older than itself, and an older
/// operator is not built for this.
fn suits(before: &Path) -> Result<bool> {
    let mut alike = fs::read(before.join(RIGHTS)).ok() == fs::read(chart::folder().join(RIGHTS)).ok();
    for entry in fs::read_dir(chart::folder().join(KINDS))? {
        let entry = entry?;
        let other = fs::read(before.join(KINDS).join(entry.file_name())).ok();
        alike &= other == Some(fs::read(entry.path())?);
    }
    Ok(alike)
}

async fn git(arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .output()
        .await
        .context("run git")?;
    ensure!(output.status.success(), "git {}", arguments.join(" "));
    Ok(output.stdout)
}
