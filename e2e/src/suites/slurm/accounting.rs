//! A Slurm cluster with accounting: what ended and was forgotten while the operator was away is still known. What follows
//! without it is shown in `trouble`. Part of the suite `slurm`.

use std::fs;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::json;

use super::{HPC, forgotten, join_at, joined, ledger, spec};
use crate::operator;
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::suites::sky::{self, Sky, need_real};

/// A Slurm cluster that soon forgets what ended and has accounting, reached by slurmrestd's unix socket.
async fn shared(context: &Context) -> Result<Sky> {
    need_real()?;
    let mut hpc = MemberSpec::slurm(HPC);
    (hpc.slurm.accounting, hpc.slurm.min_job_age) = (true, 2);
    hpc.slurm.extra = vec!["JobRequeue=0".to_owned()];
    let plan = Plan {
        operator: true,
        ..Plan::bare(vec![hpc])
    };
    let sky = Sky::on(context, &plan).await?;
    if sky.clusters().get_opt(HPC).await?.is_none() {
        let cluster = sky.lab.slurm(HPC)?;
        let url = format!("unix://{}", cluster.rest_socket().display());
        join_at(&sky, HPC, &url, &cluster.token_file()).await?;
    }
    joined(context, &plan, &[HPC]).await
}

/// Accounting is silent at first when the operator is back: that is no answer.
pub(super) async fn an_end_that_nobody_saw_is_told_by_accounting_and_waited_for_while_that_is_silent(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let cluster = sky.lab.slurm(HPC)?;
    let ledger = ledger(&cluster, "accounted")?;
    // Exit codes are not told by v0.0.38: that of rank 1 of `struck` is beside its output.
    let ends = [("kept", "true"), ("struck", "[ $SKY_RANK = 0 ] || exit 3")];
    for (name, end) in ends {
        let run = format!(
            "echo {name}-$SKY_RANK >> {}; while [ ! -e {}.go ]; do sleep 0.2; done; {end}",
            ledger.display(),
            ledger.display()
        );
        sky.create(name, spec(2, &run, HPC)).await?;
    }
    for (name, _) in ends {
        sky.until(name, "running", |job| {
            job.status
                .as_ref()
                .and_then(|status| status.totals.as_ref())
                .is_some_and(|totals| totals.running == 2)
        })
        .await?;
    }
    let operator = sky.lab.host()?.daemon(operator::NAME)?;
    operator.kill().await?;
    fs::write(ledger.with_extension("go"), "")?;
    forgotten(&cluster, &["kept-", "struck-"]).await?;
    cluster.daemon("slurmdbd")?.kill().await?;
    operator.restart().await?;
    operator::ready(&sky.lab.host()?).await?;
    try_join_all(ends.map(|(name, _)| {
        sky.until(name, "that accounting is silent", |job| {
            let clusters = job.status.as_ref().map(|status| status.clusters.as_slice());
            let mut clusters = clusters.unwrap_or_default().iter();
            clusters.any(|cluster| cluster.reason.as_deref() == Some("AccountingUnclear"))
                && sky::condition(job, "Failed").is_none_or(|failed| failed.status != "True")
        })
    }))
    .await?;
    cluster.daemon("slurmdbd")?.restart().await?;
    let job = sky.complete("kept").await?;
    ensure!(sky::summary(&job) == "hpc-1:2", "{}", sky::describe(&job));
    let job = sky.until_true("struck", "Failed", "NonZeroExitCode").await?;
    let words = sky::message(&job, "Failed");
    ensure!(words.contains("replica 1: exit code 3"), "{words}");
    let mut ran: Vec<String> = fs::read_to_string(&ledger)?.lines().map(str::to_owned).collect();
    ran.sort();
    ensure!(
        json!(ran) == json!(["kept-0", "kept-1", "struck-0", "struck-1"]),
        "{ran:?}"
    );
    for (name, _) in ends {
        sky.delete(name).await?;
    }
    Ok(())
}
