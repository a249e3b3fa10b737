//! Charts of users with SkyJobs and SkyDeployments in them: what Helm waits for. Part of the suite `helm`.

use anyhow::{Result, bail, ensure};

use super::{BOUND, MEMBER, Stage, TIMEOUT};
use crate::runner::Context;
use crate::wait;

const CHART: &str = "e2e/tests/work";

pub(super) async fn helm_4_waits_for_work_and_fails_promptly_with_it(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    stage.install(4, &[]).await?;
    let sky = stage.joined().await?;
    let wait = ["--wait", "--timeout", TIMEOUT];
    let chart = async |major: u32, verb: &str, release: &str, flags: &[&str]| {
        let of = if verb == "install" {
            &[release, CHART][..]
        } else {
            &[release][..]
        };
        stage.helm(major, &[&[verb], of, &wait, flags].concat()).await
    };
    chart(4, "install", "good", &[]).await?;
    is_true(&stage, "skyjob/good", "Complete").await?;
    is_true(&stage, "skydeployment/good", "Ready").await?;
    match chart(4, "install", "bad", &["--set", "run=exit 3"]).await {
        Ok(_) => bail!("Helm 4 takes a failed SkyJob for a success"),
        Err(refusal) => {
            let words = refusal.to_string();
            // Promptly: it was told, its time was not up.
            let promptly = !words.contains("deadline exceeded");
            ensure!(promptly && words.contains("SkyJob/default/bad"), "{words}");
            ensure!(words.contains("exit code 3"), "it does not say why: {words}");
        }
    }
    // Helm 3 waits for none of it; the page's lines do.
    chart(3, "install", "third", &["--set", "run=sleep 8"]).await?;
    let waited = is_true(&stage, "skyjob/third", "Complete").await;
    ensure!(waited.is_err(), "Helm 3 has waited");
    for line in ["Complete skyjob/third", "Ready skydeployment/third"] {
        let (condition, object) = line.split_once(' ').unwrap_or_default();
        let condition = format!("--for=condition={condition}");
        stage
            .host
            .kubectl(&["wait", &condition, object, "--timeout=120s"])
            .await?;
    }
    for (major, release) in [(4, "good"), (4, "bad"), (3, "third")] {
        chart(major, "uninstall", release, &[]).await?;
    }
    sky.all_gone(BOUND).await?;
    empty(&stage).await?;
    stage.sky(&["unjoin", MEMBER]).await?;
    stage.uninstall(4).await?;
    Ok(())
}

/// Waits until the member has nothing left in the namespace of these charts.
async fn empty(stage: &Stage) -> Result<()> {
    wait::until("the member to be empty", BOUND, async || {
        let get = ["get", "jobs,deployments", "--output=name"];
        let left = stage.lab.member(MEMBER)?.kubectl(&get).await?;
        ensure!(left.trim().is_empty(), "{left}");
        Ok(())
    })
    .await
}

/// Fails unless the condition is True now.
async fn is_true(stage: &Stage, object: &str, condition: &str) -> Result<()> {
    let path = format!("jsonpath={{.status.conditions[?(@.type==\"{condition}\")].status}}");
    let status = stage.host.kubectl(&["get", object, "-o", &path]).await?;
    ensure!(status.trim() == "True", "{object}: {condition}={status}");
    Ok(())
}
