//! Members are cut, frozen, slowed down, or lose their API server. Part of the suite `faults`.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{A, B, burst, ledger, pinned, report, shared, tried};
use crate::network::Network;
use crate::runner::Context;
use crate::suites::counts::tally::Mark;
use crate::suites::sky::{SOON, Sky, cluster_conditions, is_true};
use crate::wait;

const MODES: [Network; 4] = [
    Network::Refuse,
    Network::Hang,
    Network::Reset,
    Network::Delay(Duration::from_millis(400)),
];

pub(super) async fn a_member_cut_at_any_time_delays_only_its_own(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    for mode in MODES {
        cut(&sky, mode)
            .await
            .with_context(|| format!("the network of {A}: {mode}"))?;
    }
    report(context);
    Ok(())
}

/// Jobs that are there, on their way, and yet to come when the member is cut.
async fn cut(sky: &Sky, mode: Network) -> Result<()> {
    let member = sky.lab.member(A)?;
    let mark = Mark::now(&sky.lab)?;
    sky.create("after", pinned(A, "3s")).await?;
    wait::until("its pods to run", SOON, async || {
        let running = [
            "get",
            "pods",
            "--field-selector=status.phase=Running",
            "-o",
            "name",
        ];
        let count = member.kubectl(&running).await?.lines().count();
        ensure!(count == 2, "{count} run");
        Ok(())
    })
    .await?;
    burst(sky, "during", 5, &pinned(A, "1s")).await?;
    member.network(mode).await?;
    tried();
    burst(sky, "before", 3, &pinned(A, "1s")).await?;
    sky.create("elsewhere", pinned(B, "1s")).await?;
    sky.complete("elsewhere")
        .await
        .context("the other member goes on")?;
    if !matches!(mode, Network::Delay(_)) {
        unreachable(sky).await?;
        let job = sky.job("after").await?;
        ensure!(
            !is_true(&job.status.unwrap_or_default().conditions, "Failed"),
            "a cut member fails no job"
        );
    }
    member.network(Network::Pass).await?;
    sky.cluster_until(A, "Ready again", |cluster| {
        is_true(&cluster_conditions(cluster), "Ready")
    })
    .await?;
    ledger::close(sky, &mark).await
}

/// Waits until the SkyCluster says that it does not answer, and what to look at.
async fn unreachable(sky: &Sky) -> Result<()> {
    sky.cluster_until(A, "Reachable False, in words", |cluster| {
        let conditions = cluster_conditions(cluster);
        let silent = |kind: &str| {
            conditions.iter().any(|c| {
                c.type_ == kind
                    && c.status == "False"
                    && c.message
                        .contains("check that the server of its kubeconfig is up")
            })
        };
        silent("Reachable") && silent("Ready")
    })
    .await
    .map(|_| ())
}

pub(super) async fn a_member_whose_api_server_dies_is_found_again(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let member = sky.lab.member(A)?;
    let mark = Mark::now(&sky.lab)?;
    for program in ["kube-apiserver", "etcd"] {
        burst(&sky, &format!("with-{}", &program[..4]), 4, &pinned(A, "2s")).await?;
        member.daemon(program)?.kill().await?;
        tried();
        let other = format!("other-{}", &program[..4]);
        sky.create(&other, pinned(B, "1s")).await?;
        sky.complete(&other).await.context("the other member goes on")?;
        member.daemon(program)?.restart().await?;
        member.api_ready(SOON).await?;
    }
    ledger::close(&sky, &mark).await?;
    report(context);
    Ok(())
}
