//! Pods run: really in real members, as asked in kwok members. Part of the suite `lab`.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{KWOK, REAL, job, need_real, shared};
use crate::machine;
use crate::plan::NodeKind;
use crate::runner::Context;
use crate::wait;

const BOUND: Duration = Duration::from_secs(60);

pub(super) async fn ready(context: &Context) -> Result<()> {
    let lab = shared(context).await?;
    for cluster in lab.clusters() {
        cluster.kubectl(&["get", "serviceaccount", "default"]).await?;
        let Some(node) = cluster.node() else { continue };
        let format = "jsonpath={range .items[*]}{.status.allocatable.cpu} \
                      {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}";
        let nodes = cluster.kubectl(&["get", "nodes", "-o", format]).await?;
        let limit = if node.kind == NodeKind::Real {
            machine::cores()
        } else {
            u32::MAX
        };
        let expect = format!("{} True\n", node.cpu.min(limit));
        ensure!(
            nodes == expect.repeat(node.nodes as usize),
            "{}: nodes are {nodes:?}",
            cluster.name()
        );
    }
    // The user's kubeconfig knows each cluster by its name, members through their proxies.
    for name in ["host", REAL, KWOK] {
        lab.kubectl(&["--context", name, "get", "namespace", "default"])
            .await?;
    }
    Ok(())
}

pub(super) async fn real_containers(context: &Context) -> Result<()> {
    need_real()?;
    let member = shared(context).await?.member(REAL)?;
    member.apply(&job("echo", "echo Sky!", &[])).await?;
    member
        .kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", "job/echo"])
        .await?;
    let log = member.kubectl(&["logs", "job/echo"]).await?;
    ensure!(log == "Sky!\n", "the log is {log:?}");
    member.apply(&job("sleeper", "echo up; sleep 600", &[])).await?;
    wait::until("the sleeper's log", BOUND, async || {
        let log = member.kubectl(&["logs", "job/sleeper"]).await?;
        if log == "up\n" { Ok(()) } else { bail!("{log:?}") }
    })
    .await?;
    let said = member
        .kubectl(&["exec", "job/sleeper", "--", "sh", "-c", "echo in $0", "here"])
        .await?;
    ensure!(said == "in here\n", "exec said {said:?}");
    member
        .kubectl(&[
            "delete",
            "job",
            "echo",
            "sleeper",
            "--wait",
            "--cascade=foreground",
        ])
        .await?;
    Ok(())
}

pub(super) async fn kwok_jobs(context: &Context) -> Result<()> {
    let member = shared(context).await?.member(KWOK)?;
    for (name, env) in [
        ("plain", &[][..]),
        ("long", &[("OTHER", "x"), ("LAB_RUN_FOR", "4s")]),
        ("plain-seconds", &[("LAB_RUN_FOR", "3")]),
        ("failing", &[("LAB_EXIT", "3"), ("LAB_RUN_FOR", "500ms")]),
    ] {
        member.apply(&job(name, "x", env)).await?;
    }
    // Environment entries without a value are no obstacle.
    let without = job("from-field", "x", &[]).replace(
        "env: []",
        "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: LAB_EXIT, value: \"0\"}]",
    );
    member.apply(&without).await?;
    for name in ["plain", "long", "plain-seconds", "from-field"] {
        let job = format!("job/{name}");
        member
            .kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", &job])
            .await?;
    }
    member
        .kubectl(&["wait", "--for=condition=Failed", "--timeout=60s", "job/failing"])
        .await?;
    for (name, least, exit) in [
        ("plain", 1, 0),
        ("long", 4, 0),
        ("plain-seconds", 3, 0),
        ("failing", 0, 3),
        ("from-field", 1, 0),
    ] {
        let selector = format!("job-name={name}");
        let path = "jsonpath={.items[0].status.containerStatuses[0].state.terminated}";
        let text = member
            .kubectl(&["get", "pods", "-l", &selector, "-o", path])
            .await?;
        let ended: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(ended["exitCode"] == exit, "{name} ended with {text}");
        let time = |key: &str| ended[key].as_str().unwrap_or_default().parse::<jiff::Timestamp>();
        // Kubernetes keeps whole seconds.
        let seconds = (time("finishedAt")? - time("startedAt")?).total(jiff::Unit::Second)?;
        ensure!(
            seconds >= f64::from(least) - 1.0,
            "{name} ran {seconds} s: {text}"
        );
        ensure!(
            seconds <= f64::from(least) + 10.0,
            "{name} ran {seconds} s: {text}"
        );
    }
    member
        .kubectl(&["delete", "jobs", "--all", "--wait", "--cascade=foreground"])
        .await?;
    Ok(())
}

/// With podReplacementPolicy Failed a Job waits for the deleted pod's last state.
pub(super) async fn kwok_deletion(context: &Context) -> Result<()> {
    let member = shared(context).await?.member(KWOK)?;
    let retried = job("retried", "x", &[("LAB_RUN_FOR", "1h")]).replace("backoffLimit: 0", "backoffLimit: 1");
    member.apply(&retried).await?;
    let names = [
        "get",
        "pods",
        "-l",
        "job-name=retried",
        "--field-selector=status.phase=Running",
        "-o",
        "name",
    ];
    let running = async |before: &str| {
        wait::until("a running pod", BOUND, async || {
            let found = member.kubectl(&names).await?;
            if found.lines().count() == 1 && found != before {
                Ok(found)
            } else {
                bail!("{found:?}")
            }
        })
        .await
    };
    let first = running("").await?;
    member.kubectl(&["delete", first.trim(), "--timeout=30s"]).await?;
    running(&first).await?;
    let failed = member
        .kubectl(&["get", "job", "retried", "-o", "jsonpath={.status.failed}"])
        .await?;
    ensure!(failed == "1", "failed is {failed:?}");
    member
        .kubectl(&["patch", "job", "retried", "-p", r#"{"spec":{"suspend":true}}"#])
        .await?;
    wait::until("no pods", BOUND, async || {
        let left = member.kubectl(&["get", "pods", "-o", "name"]).await?;
        if left.is_empty() {
            Ok(())
        } else {
            bail!("{left:?}")
        }
    })
    .await?;
    member
        .kubectl(&["delete", "job", "retried", "--cascade=foreground"])
        .await?;
    Ok(())
}
