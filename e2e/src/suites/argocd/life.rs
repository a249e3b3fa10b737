//! The life of an Application with all five kinds: synced, changed by commits, pruned.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use sky_crds::{SkyDeployment, SkyJob};

use super::{CLUSTERS, LONG, Stage, TEAM, deployment, document, is, job, object, soon};
use crate::runner::Context;
use crate::suites::sky::ORIGIN_LABEL;
use crate::wait;

pub(super) async fn an_application_of_all_five_kinds_progresses_and_becomes_healthy(
    context: &Context,
) -> Result<()> {
    let stage = Stage::on(context).await?;
    let mut files = Vec::new();
    for name in CLUSTERS {
        files.push((name, Some(cluster(&stage, name).await?)));
    }
    // Clusters and the namespace come first: Argo CD begins a wave when the one before is healthy.
    let namespace = document("SkyNamespace", TEAM, json!({"labels": {"team": "a"}}));
    files.push(("namespace", Some(wave(namespace, "-1"))));
    let policy = json!({"clusterFilter": {"exclude": ["cloud-2"]}, "labelsSelector": {"tier": "near"}});
    files.push(("policy", Some(document("FilterPolicy", "near", policy))));
    files.push(("report", Some(report("first"))));
    files.push(("web", Some(deployment("web", 2))));
    stage.repository.commit(TEAM, &files).await?;
    stage.follow(TEAM, TEAM).await?;
    let progressing = |found: &Value| {
        is(found, "Synced", "Progressing") && object(found, "SkyJob", "report").1 == "Progressing"
    };
    stage.until(TEAM, "its job under way", progressing).await?;
    let done = stage.healthy(TEAM, "Healthy").await?;
    let kinds = [
        ("SkyCluster", "cloud-1"),
        ("SkyCluster", "cloud-2"),
        ("SkyNamespace", TEAM),
        ("FilterPolicy", "near"),
        ("SkyJob", "report"),
        ("SkyDeployment", "web"),
    ];
    for (kind, name) in kinds {
        let (sync, health, words) = object(&done, kind, name);
        ensure!(
            sync == "Synced" && health == "Healthy" && !words.is_empty(),
            "{kind} {name} is {sync} {health}: {words}"
        );
    }
    ensure!(
        object(&done, "SkyJob", "report")
            .2
            .contains("2 of 2 replicas succeeded")
    );
    Ok(())
}

pub(super) async fn a_commit_runs_a_job_again_and_scales_a_deployment(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let jobs: Api<SkyJob> = Api::namespaced(stage.sky.client(), TEAM);
    let before = jobs.get("report").await?.status.unwrap_or_default().runs.len();
    let files = [
        ("report", Some(report("second"))),
        ("web", Some(deployment("web", 4))),
    ];
    stage.repository.commit(TEAM, &files).await?;
    let again = |found: &Value| object(found, "SkyJob", "report").1 == "Progressing";
    stage.until(TEAM, "its job under way again", again).await?;
    let done = stage.healthy(TEAM, "Healthy").await?;
    let runs = jobs.get("report").await?.status.unwrap_or_default().runs;
    let ended: Vec<&str> = runs.iter().map(|run| run.outcome.as_str()).collect();
    ensure!(
        runs.len() == before + 1 && ended.iter().all(|outcome| *outcome == "Complete"),
        "{ended:?} of {runs:?}"
    );
    let words = object(&done, "SkyDeployment", "web").2;
    ensure!(words.contains("4 of 4"), "{words}");
    // Back to a runId that was used: nothing runs a third time, and that is no difference either.
    stage
        .repository
        .commit(TEAM, &[("report", Some(report("first")))])
        .await?;
    stage.healthy(TEAM, "Healthy").await?;
    let after = jobs.get("report").await?.status.unwrap_or_default();
    ensure!(after.runs.len() == before + 1, "{:?}", after.runs);
    Ok(())
}

pub(super) async fn what_leaves_git_is_pruned_and_the_members_are_empty(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let files = [("report", None), ("web", None), ("policy", None)];
    stage.repository.commit(TEAM, &files).await?;
    stage.healthy(TEAM, "Healthy").await?;
    let deployments: Api<SkyDeployment> = Api::namespaced(stage.sky.client(), TEAM);
    soon("the workloads to be pruned", async || {
        let left = deployments.list(&ListParams::default()).await?.items.len();
        ensure!(left == 0, "{left} SkyDeployments are left");
        empty(&stage, TEAM).await
    })
    .await?;
    stage.repository.commit(TEAM, &[("namespace", None)]).await?;
    stage.healthy(TEAM, "Healthy").await?;
    // It is left idle for a minute before it goes.
    wait::until("the namespace to go everywhere", LONG, async || {
        for member in stage.sky.lab.clusters() {
            let namespaces: Api<Namespace> = Api::all(member.client().await?);
            let left = namespaces.get_opt(TEAM).await?;
            ensure!(left.is_none(), "{} still has {TEAM}", member.name());
        }
        Ok(())
    })
    .await
}

/// Fails while a member holds anything of a workload of this namespace.
async fn empty(stage: &Stage, namespace: &str) -> Result<()> {
    let ours = ListParams::default().labels(ORIGIN_LABEL);
    for member in stage.sky.lab.members() {
        let client = member.client().await?;
        let jobs = Api::<Job>::namespaced(client.clone(), namespace)
            .list(&ours)
            .await?;
        let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
        let pods = Api::<Pod>::namespaced(client, namespace).list(&ours).await?;
        let left = jobs.items.len() + deployments.list(&ours).await?.items.len() + pods.items.len();
        ensure!(left == 0, "{} still has {left} objects", member.name());
    }
    Ok(())
}

/// The job that is run again: long enough for Argo CD to see it run.
fn report(run: &str) -> Value {
    let mut report = job("report", "10s", "0");
    report["metadata"]["labels"] = json!({"tier": "near"});
    report["spec"]["runId"] = json!(run);
    report
}

/// A SkyCluster for Git: as `join` writes it, which also makes the Secret that no one puts into Git.
async fn cluster(stage: &Stage, name: &str) -> Result<Value> {
    stage.sky.lab.sky(&["join", name, "--from-context", name]).await?;
    let joined = stage.sky.clusters().get(name).await?;
    let spec = serde_json::to_value(&joined.spec)?;
    stage
        .sky
        .clusters()
        .delete(name, &kube::api::DeleteParams::default())
        .await?;
    soon("the joined cluster to go", async || {
        let found = stage.sky.clusters().get_opt(name).await?;
        ensure!(found.is_none(), "still there");
        Ok(())
    })
    .await?;
    Ok(wave(document("SkyCluster", name, spec), "-2"))
}

fn wave(mut document: Value, wave: &str) -> Value {
    document["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-wave": wave});
    document
}
