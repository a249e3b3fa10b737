//! What the buttons of Argo CD do, through its own API: they write what Git does not own, so that nothing is undone.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use sky_crds::{SkyDeployment, SkyJob};

use super::{CLUSTERS, Stage, TEAM, describe, is, job, object, soon};
use crate::runner::Context;
use crate::suites::sky::{UID_LABEL, phase};

const NAME: &str = "buttons";

pub(super) async fn suspend_and_resume_are_not_undone_by_self_heal(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    stage
        .repository
        .commit(NAME, &[(NAME, Some(job(NAME, "600s", "0")))])
        .await?;
    stage.follow(NAME, "default").await?;
    runs(&stage).await?;
    let at = ("SkyJob", "default", NAME);
    stage.argocd.act(NAME, at, "suspend").await?;
    stage.healthy(NAME, "Suspended").await?;
    stays(&stage, NAME, json!(true), "Suspended").await?;
    stage.argocd.act(NAME, at, "resume").await?;
    runs(&stage).await?;
    stays(&stage, NAME, json!(false), "Progressing").await?;
    let refused = stage.argocd.act(NAME, at, "explode").await;
    ensure!(refused.is_err(), "an action that nobody wrote was run");
    stage
        .argocd
        .applications()
        .delete(NAME, &kube::api::DeleteParams::default())
        .await?;
    stage.sky.gone(NAME).await
}

pub(super) async fn restart_starts_pods_anew_and_is_no_difference(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    stage.healthy(TEAM, "Healthy").await?;
    let before = pods(&stage).await?;
    ensure!(before.len() == 4, "{} pods of web", before.len());
    stage
        .argocd
        .act(TEAM, ("SkyDeployment", TEAM, "web"), "restart")
        .await?;
    soon("other pods", async || {
        let after = pods(&stage).await?;
        ensure!(
            after.len() == 4 && after.is_disjoint(&before),
            "{after:?} after {before:?}"
        );
        Ok(())
    })
    .await?;
    let found = stage.healthy(TEAM, "Healthy").await?;
    ensure!(
        object(&found, "SkyDeployment", "web").0 == "Synced",
        "{}",
        describe(&found)
    );
    Ok(())
}

pub(super) async fn retry_runs_a_failed_job_once_more_and_is_no_difference(context: &Context) -> Result<()> {
    const FAILED: &str = "broken";
    let stage = Stage::on(context).await?;
    let syncs = history(&stage.healthy(FAILED, "Degraded").await?);
    let before = stage.sky.job(FAILED).await?.status.unwrap_or_default().runs.len();
    stage
        .argocd
        .act(FAILED, ("SkyJob", "default", FAILED), "retry")
        .await?;
    let again = |job: &SkyJob| {
        let runs = job.status.clone().unwrap_or_default().runs;
        runs.len() == before + 1 && runs.iter().all(|run| run.outcome == "Failed")
    };
    stage.sky.until(FAILED, "one more run to fail", again).await?;
    let found = stage.healthy(FAILED, "Degraded").await?;
    ensure!(history(&found) == syncs, "{}", describe(&found));
    Ok(())
}

/// Waits until the job runs, and Argo CD sees it at work.
async fn runs(stage: &Stage) -> Result<()> {
    let running = |job: &SkyJob| phase(job) == "Running";
    stage.sky.until(NAME, "its replicas to run", running).await?;
    stage.healthy(NAME, "Progressing").await?;
    Ok(())
}

/// Has Git compared once more, and fails when the Application differs from it then, or `spec.suspend` is not as it was.
async fn stays(stage: &Stage, name: &str, suspend: Value, health: &str) -> Result<()> {
    let syncs = history(&stage.argocd.application(name).await?);
    let found = stage.compared(name).await?;
    ensure!(
        is(&found, "Synced", health) && history(&found) == syncs,
        "{}",
        describe(&found)
    );
    let spec = serde_json::to_value(stage.sky.job(name).await?.spec)?;
    ensure!(spec["suspend"] == suspend, "spec.suspend is {}", spec["suspend"]);
    Ok(())
}

/// How often the Application was synced.
fn history(application: &Value) -> usize {
    application["status"]["history"].as_array().map_or(0, Vec::len)
}

/// Uids of the pods of the SkyDeployment web on both members that are not on their way out.
async fn pods(stage: &Stage) -> Result<BTreeSet<String>> {
    let all: Api<SkyDeployment> = Api::namespaced(stage.sky.client(), TEAM);
    let uid = all.get("web").await?.uid().unwrap_or_default();
    let of = ListParams::default().labels(&format!("{UID_LABEL}={uid}"));
    let mut found = BTreeSet::new();
    for member in CLUSTERS {
        let api: Api<Pod> = Api::namespaced(stage.sky.lab.member(member)?.client().await?, TEAM);
        let pods = api.list(&of).await?.items.into_iter();
        let staying = pods.filter(|pod| pod.metadata.deletion_timestamp.is_none());
        found.extend(staying.filter_map(|pod| pod.uid()));
    }
    Ok(found)
}
