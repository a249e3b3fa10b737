//! How a SkyJob runs, fails, is held back, run again and ends. Part of the suite `jobs`.

use anyhow::{Result, bail, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::{CLOUD, KWOK, ONPREM, UNTIL_STOPPED, nowhere, on, shared, simulated, with};
use crate::runner::Context;
use crate::suites::sky::{self, SOON, condition, message, phase, summary};
use crate::wait;

pub(super) async fn a_failing_replica_fails_the_job_and_withdraws_the_rest(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let spec = json!({
        "replicas": 4, "resources": {"cpu": 1}, "placement": on(&[ONPREM, CLOUD]),
        "run": format!("[ $SKY_RANK = 1 ] && exit 7; {UNTIL_STOPPED}"),
    });
    sky.create("fails", spec).await?;
    let job = sky.until("fails", "Failed", |job| phase(job) == "Failed").await?;
    ensure!(
        summary(&job) == "mluo-cloud:2,mluo-onprem:2",
        "{}",
        sky::describe(&job)
    );
    for kind in ["Failed", "Stalled"] {
        let words = message(&job, kind);
        ensure!(
            words.contains("exit code 7"),
            "{kind} does not tell the exit code: {words:?}"
        );
    }
    ensure!(
        condition(&job, "Reconciling").is_some_and(|c| c.status == "False"),
        "{}",
        sky::describe(&job)
    );
    // The share that failed is kept for its logs; the one that ran is withdrawn.
    wait::until("the other share to go", SOON, async || {
        let (onprem, cloud) = (
            sky.shares("fails", ONPREM).await?,
            sky.shares("fails", CLOUD).await?,
        );
        ensure!(
            onprem.len() + cloud.len() == 1,
            "{} and {}",
            onprem.len(),
            cloud.len()
        );
        Ok(())
    })
    .await?;
    sky.delete("fails").await
}

pub(super) async fn a_failed_replica_is_tried_as_often_as_asked(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let failures = "metadata.annotations['batch.kubernetes.io/job-index-failure-count']";
    let spec = |limit: u32| {
        json!({
            "resources": {"cpu": "100m"}, "placement": on(&[ONPREM]), "backoffLimit": limit,
            "run": "[ \"$FAILURES\" = 1 ]",
            "env": [{"name": "FAILURES", "valueFrom": {"fieldRef": {"fieldPath": failures}}}],
        })
    };
    sky.create("again", spec(1)).await?;
    sky.create("once", spec(0)).await?;
    let job = sky.until("once", "Failed", |job| phase(job) == "Failed").await?;
    ensure!(
        message(&job, "Failed").contains("exit code 1"),
        "{}",
        sky::describe(&job)
    );
    let job = sky.complete("again").await?;
    let pods = sky.pods(&job.uid().unwrap_or_default(), ONPREM).await?;
    ensure!(
        pods.len() == 2,
        "one failed and one succeeded, not {}",
        pods.len()
    );
    sky.delete("again").await?;
    sky.delete("once").await
}

pub(super) async fn a_template_runs_as_it_is_written(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let container = |name: &str, script: &str| {
        json!({"name": name, "image": "lab/busybox:1", "command": ["/bin/sh", "-c", script],
               "resources": {"requests": {"cpu": "100m"}},
               "volumeMounts": [{"name": "shared", "mountPath": "/shared"}]})
    };
    let template = json!({
        "metadata": {"labels": {"team": "blue"}},
        "spec": {
            "initContainers": [container("first", "echo made > /shared/file")],
            "containers": [container("main", "echo $(cat /shared/file) for $SKY_JOB on $SKY_CLUSTER, ranks $SKY_RANKS")],
            "volumes": [{"name": "shared", "emptyDir": {}}],
        },
    });
    let spec = json!({"replicas": 2, "template": template, "placement": on(&[ONPREM])});
    sky.create("templated", spec).await?;
    sky.complete("templated").await?;
    let member = sky.lab.member(ONPREM)?;
    let log = member.kubectl(&["logs", "-l", "team=blue", "--tail=-1"]).await?;
    let line = "made for templated on mluo-onprem, ranks 0-1";
    let spelled = "made for templated on mluo-onprem, ranks 0,1";
    ensure!(
        log == format!("{line}\n{line}\n") || log == format!("{spelled}\n{spelled}\n"),
        "printed {log:?}"
    );
    sky.delete("templated").await
}

pub(super) async fn a_missing_image_is_named_in_the_status(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let spec = json!({"image": "registry.invalid/none:1", "run": "true", "resources": {"cpu": "100m"},
        "placement": on(&[ONPREM])});
    sky.create("imageless", spec).await?;
    let names_it = |job: &sky_crds::SkyJob| {
        let clusters = job.status.as_ref().map(|status| &status.clusters);
        clusters.into_iter().flatten().any(|cluster| {
            let reason = cluster.reason.as_deref().unwrap_or_default();
            let words = cluster.message.as_deref().unwrap_or_default();
            ["ErrImagePull", "ImagePullBackOff"].contains(&reason) && words.contains("registry.invalid")
        })
    };
    let job = sky.until("imageless", "why it does not start", names_it).await?;
    ensure!(
        message(&job, "Reconciling").contains("ImagePull"),
        "{}",
        sky::describe(&job)
    );
    sky.delete("imageless").await
}

pub(super) async fn a_job_can_be_held_back_before_and_after_it_is_placed(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let suspend = |yes: bool| json!({"spec": {"suspend": yes}});
    sky.create("held", with(simulated("6s"), json!({"suspend": true})))
        .await?;
    let job = sky.until_true("held", "Suspended", "Suspended").await?;
    ensure!(
        condition(&job, "Scheduled").is_some_and(|c| c.status == "False"),
        "{}",
        sky::describe(&job)
    );
    nowhere(&sky, "held").await?;

    sky.patch("held", suspend(false)).await?;
    let running = async || {
        wait::until("a running pod", SOON, async || {
            let uid = sky.job("held").await?.uid().unwrap_or_default();
            let running = sky
                .pods(&uid, KWOK)
                .await?
                .into_iter()
                .filter(sky::is_running)
                .count();
            if running == 1 {
                Ok(())
            } else {
                bail!("{running} run")
            }
        })
        .await
    };
    running().await?;
    sky.patch("held", suspend(true)).await?;
    let job = sky.until_true("held", "Suspended", "Suspended").await?;
    ensure!(
        condition(&job, "Scheduled").is_some_and(|c| c.status == "True"),
        "{}",
        sky::describe(&job)
    );
    wait::until("its pods to go", SOON, async || {
        let left = sky.pods(&job.uid().unwrap_or_default(), KWOK).await?.len();
        if left == 0 {
            Ok(())
        } else {
            bail!("{left} are left")
        }
    })
    .await?;
    sky.patch("held", suspend(false)).await?;
    running().await?;
    sky.complete("held").await?;
    ensure!(sky.shares("held", KWOK).await?.len() == 1, "one Job all along");
    sky.delete("held").await
}

pub(super) async fn a_new_run_id_starts_once_more_and_a_used_one_never(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let run_id = |id: &str| json!({"spec": {"runId": id}});
    sky.create("rerun", simulated("1s")).await?;
    let created = || -> Result<usize> {
        let entries = sky.lab.member(KWOK)?.audit_entries()?;
        let ours = |e: &&_| is_create_of(e, "rerun-");
        Ok(entries.iter().filter(ours).count())
    };
    sky.complete("rerun").await?;
    ensure!(created()? == 1, "one Job, not {}", created()?);
    let ended = |id: &'static str| {
        move |job: &sky_crds::SkyJob| {
            let runs = job.status.as_ref().map(|status| &status.runs);
            let last = runs.and_then(|runs| runs.last());
            last.is_some_and(|run| run.run_id == id && run.outcome == "Complete") && phase(job) == "Complete"
        }
    };
    for (id, jobs) in [("b", 2), ("c", 3)] {
        sky.patch("rerun", run_id(id)).await?;
        sky.until("rerun", "the next run to end", ended(id)).await?;
        ensure!(
            created()? == jobs,
            "{jobs} Jobs after run {id}, not {}",
            created()?
        );
    }
    // As a GitOps revert does.
    sky.patch("rerun", run_id("b")).await?;
    let job = sky
        .until("rerun", "the change to be seen", |job| {
            job.status.as_ref().and_then(|status| status.observed_generation) == job.metadata.generation
        })
        .await?;
    let outcomes: Vec<_> = job.status.iter().flat_map(|status| &status.runs).collect();
    let outcomes: Vec<_> = outcomes
        .iter()
        .map(|run| (run.run_id.as_str(), run.outcome.as_str()))
        .collect();
    ensure!(
        outcomes == [("", "Complete"), ("b", "Complete"), ("c", "Complete")] && phase(&job) == "Complete",
        "{outcomes:?}, {}",
        sky::describe(&job)
    );
    sky.delete("rerun").await?;
    ensure!(
        created()? == 3,
        "a used run id started something: {} Jobs",
        created()?
    );
    Ok(())
}

fn is_create_of(entry: &crate::cluster::AuditEntry, prefix: &str) -> bool {
    entry.resource == "jobs" && entry.verb == "create" && entry.code == 201 && entry.name.starts_with(prefix)
}

pub(super) async fn what_has_expired_leaves_members_and_keeps_its_record(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.create(
        "expires",
        with(simulated("1s"), json!({"ttlSecondsAfterFinished": 3})),
    )
    .await?;
    sky.complete("expires").await?;
    wait::until("the member to be empty", SOON, async || {
        nowhere(&sky, "expires").await
    })
    .await?;
    let job = sky.job("expires").await?;
    ensure!(
        phase(&job) == "Complete" && summary(&job) == "cloud-2:1",
        "{}",
        sky::describe(&job)
    );
    sky.delete("expires").await
}

pub(super) async fn a_deadline_ends_a_job(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.create(
        "late",
        with(simulated("600"), json!({"activeDeadlineSeconds": 4})),
    )
    .await?;
    let job = sky.until_true("late", "Failed", "DeadlineExceeded").await?;
    ensure!(
        message(&job, "Failed").contains("activeDeadlineSeconds"),
        "{}",
        sky::describe(&job)
    );
    wait::until("the member to be empty", SOON, async || {
        nowhere(&sky, "late").await
    })
    .await?;
    sky.delete("late").await
}

pub(super) async fn a_namespace_comes_to_a_member_when_first_needed(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let (host, member) = (sky.lab.host()?, sky.lab.member(KWOK)?);
    let there = ["get", "namespace", "team-a", "-o", "name", "--ignore-not-found"];
    ensure!(
        member.kubectl(&there).await?.is_empty(),
        "the namespace is there already"
    );
    host.kubectl(&["create", "namespace", "team-a"]).await?;
    let job = json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob",
        "metadata": {"name": "first", "namespace": "team-a"}, "spec": simulated("1s"),
    });
    host.apply(&job.to_string()).await?;
    host.kubectl(&[
        "wait",
        "-n",
        "team-a",
        "--for=condition=Complete",
        "--timeout=60s",
        "skyj/first",
    ])
    .await?;
    ensure!(!member.kubectl(&there).await?.is_empty(), "it ran nowhere");
    host.kubectl(&["delete", "-n", "team-a", "skyj/first", "--timeout=60s"])
        .await?;
    let left = member
        .kubectl(&["get", "-n", "team-a", "jobs,pods", "-o", "name"])
        .await?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

pub(super) async fn a_running_job_that_is_deleted_leaves_nothing(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let spec = json!({
        "replicas": 3, "resources": {"cpu": 1}, "run": UNTIL_STOPPED, "placement": on(&[ONPREM, KWOK]),
        "env": [{"name": "LAB_RUN_FOR", "value": "600"}],
    });
    sky.create("cut-short", spec).await?;
    let job = sky
        .until("cut-short", "running", |job| phase(job) == "Running")
        .await?;
    ensure!(
        summary(&job) == "cloud-2:1,mluo-onprem:2",
        "{}",
        sky::describe(&job)
    );
    sky.delete("cut-short").await?;
    for member in [ONPREM, KWOK] {
        let left = sky.pods(&job.uid().unwrap_or_default(), member).await?;
        ensure!(left.is_empty(), "{member} has {} pods left", left.len());
    }
    Ok(())
}
