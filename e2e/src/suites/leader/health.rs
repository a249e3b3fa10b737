//! What operators say of themselves: metrics, and why they cannot work. Part of the suite `leader`.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

use super::replicas::Replicas;
use crate::operator;
use crate::packages;
use crate::runner::Context;
use crate::slot::{Port, Replica};
use crate::suites::counts;
use crate::suites::sky::Sky;

/// Exit code of an operator whose host is not as it must be.
const UNFIT: i32 = 78;

pub(super) async fn metrics_of_both_pass_promtool_and_tell_who_leads(context: &Context) -> Result<()> {
    let promtool = packages::promtool(&context.reporter).await?;
    let sky = Sky::on(context, &counts::plan()).await?;
    let replicas = Replicas::start(&sky).await?;
    sky.create("measured", counts::tiny("1s")).await?;
    sky.complete("measured").await?;
    let host = sky.lab.host()?;
    for (replica, leads) in [(Replica::First, 1), (Replica::Second, 0)] {
        let text = operator::get(host.port(Port::Replica(replica)), "/metrics").await?;
        let path = sky.lab.dir().join("metrics.txt");
        fs::write(&path, &text)?;
        let output = Command::new(&promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::from(fs::File::open(&path)?))
            .output()
            .await
            .context("run promtool")?;
        if !output.status.success() {
            bail!("{}\n{text}", String::from_utf8_lossy(&output.stderr));
        }
        let status = format!("sky_leader_election_master_status{{name=\"sky-operator\"}} {leads}");
        let ready = "sky_members{state=\"ready\"} 2";
        for line in [status.as_str(), ready] {
            ensure!(text.lines().any(|of| of == line), "no {line} in\n{text}");
        }
        let calls = text
            .lines()
            .filter(|line| line.starts_with("sky_member_requests_total{"));
        ensure!(
            (calls.count() > 0) == (leads == 1),
            "who stands by calls nobody:\n{text}"
        );
    }
    sky.delete("measured").await?;
    replicas.end(&sky).await
}

pub(super) async fn an_operator_without_rights_says_which_and_ends(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &counts::plan()).await?;
    let daemon = operator::powerless(&sky.lab)?;
    let code = daemon.exit(Duration::from_secs(120), |_| Ok(())).await?;
    let log = daemon.log_tail(3);
    daemon.discard().await?;
    ensure!(code == UNFIT, "it ended with {code}: {log}");
    for words in [
        "list skyjobs",
        "update secrets in namespace sky-system",
        "rbac.create=true",
    ] {
        ensure!(log.contains(words), "no {words:?} in {log}");
    }
    Ok(())
}
