//! Shares that do not start in time: somebody else took their room, or gives it back in the very instant in which they
//! are held back. Part of the suite `evictions`.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::ledger::Ledger;
use super::{eviction, evictions, shares, tombstone};
use crate::runner::Context;
use crate::suites::jobs::{CLOUD, ONPREM, UNTIL_STOPPED, on, shared};
use crate::suites::sky::{self, SOON, Sky, message, summary};
use crate::wait;

/// Seconds in which a share is to start: enough for a pod that has room, also on a machine that is busy.
pub(super) const PATIENCE: u32 = 10;

/// A pod that fills the node of a member, put there past its scheduler.
pub(super) const OCCUPANT: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: occupant}\nspec:\n  \
    nodeName: mluo-onprem-node-0\n  terminationGracePeriodSeconds: 0\n  containers:\n  \
    - {name: main, image: 'lab/busybox:1', command: [sleep, '600'], resources: {requests: {cpu: 2}}}\n";

pub(super) async fn room_taken_from_outside_after_the_bind_sends_the_share_elsewhere_once(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let ledger = Ledger::of(&sky);
    let member = sky.lab.member(ONPREM)?;
    let scheduler = member.daemon("kube-scheduler")?;
    // Bound, but on no node yet.
    scheduler.stop()?;
    let spec = json!({
        "replicas": 2, "template": ledger.template("true"), "placement": on(&[ONPREM, CLOUD]),
        "pendingTimeoutSeconds": PATIENCE,
    });
    sky.create("squeezed", spec).await?;
    on_no_node(&sky, "squeezed", 2).await?;
    member.apply(OCCUPANT).await?;
    // Started anew it knows of the occupant before it sends a pod anywhere; one that just went on might not yet.
    scheduler.restart().await?;
    let job = sky.complete("squeezed").await?;
    ensure!(summary(&job) == "mluo-cloud:2", "{}", sky::describe(&job));
    let placed = shares(&job);
    ensure!(
        placed.len() == 1
            && placed
                .iter()
                .all(|share| share.attempt == 2 && share.interruptions.is_none()),
        "{placed:?}"
    );
    let eviction = eviction(&job)?;
    let words = eviction.message.clone().unwrap_or_default();
    ensure!(
        (eviction.cluster.as_str(), eviction.replicas, eviction.attempt) == (ONPREM, 2, 1)
            && eviction.reason == "PendingTimeout"
            && words.starts_with(&format!(
                "no replica started within {PATIENCE} s: Unschedulable: "
            ))
            && words.contains("Insufficient cpu"),
        "{eviction:?}"
    );
    let status = job.status.clone().unwrap_or_default();
    let cooling: Vec<_> = status
        .cool_downs
        .iter()
        .map(|one| (one.cluster.as_str(), one.count))
        .collect();
    ensure!(cooling == [(ONPREM, 1)], "cooling down: {cooling:?}");
    tombstone(&sky, "squeezed", ONPREM).await?;
    let starts = ledger.starts("squeezed")?;
    ensure!(
        starts == ["0 on mluo-cloud", "1 on mluo-cloud"],
        "started: {starts:?}"
    );
    member
        .kubectl(&["delete", "pod", "occupant", "--timeout=30s"])
        .await?;
    sky.delete("squeezed").await
}

/// Waits until a member's controllers have made this many pods of a SkyJob there, while its scheduler is stopped.
pub(super) async fn on_no_node(sky: &Sky, name: &str, count: usize) -> Result<()> {
    let uid = sky.job(name).await?.uid().unwrap_or_default();
    wait::until(&format!("pods of {name}"), SOON, async || {
        let pods = sky.pods(&uid, ONPREM).await?;
        let bound = pods
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.node_name.as_ref());
        let bound = bound.count();
        ensure!(
            pods.len() == count && bound == 0,
            "{} pods, {bound} on nodes",
            pods.len()
        );
        Ok(())
    })
    .await
}

/// The race between the operator, which looks and then suspends, and a node that becomes free, made to happen: the
/// member's Job controller is stopped, so that the suspended Job keeps its pod; then the scheduler gives it its node.
/// When the controller goes on, it deletes a pod that has started.
pub(super) async fn a_replica_that_starts_while_it_is_held_back_is_a_failed_try_never_a_silent_second_run(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let ledger = Ledger::of(&sky);
    let member = sky.lab.member(ONPREM)?;
    let scheduler = member.daemon("kube-scheduler")?;
    let controllers = member.daemon("kube-controller-manager")?;
    let script = format!("[ $(wc -l < /ledger/$SKY_JOB) = 2 ] && exit 0; {UNTIL_STOPPED}");
    let spec = |limit: u32| {
        json!({
            "template": ledger.template(&script), "placement": on(&[ONPREM, CLOUD]), "backoffLimit": limit,
            "pendingTimeoutSeconds": PATIENCE,
        })
    };
    scheduler.stop()?;
    let names = ["one-more-try", "no-more-try"];
    sky.create(names[0], spec(1)).await?;
    sky.create(names[1], spec(0)).await?;
    for name in names {
        on_no_node(&sky, name, 1).await?;
    }
    controllers.stop()?;
    for name in names {
        held_back(&sky, name).await?;
        on_no_node(&sky, name, 1).await?;
    }
    scheduler.cont()?;
    for name in names {
        started(&sky, &ledger, name).await?;
    }
    controllers.cont()?;

    let job = sky
        .until_true(names[1], "Failed", "InterruptedByEviction")
        .await?;
    let words = message(&job, "Failed");
    let begin = format!("on mluo-onprem: evicted (PendingTimeout: no replica started within {PATIENCE} s");
    ensure!(
        words.starts_with(&begin) && words.ends_with("backoffLimit 0 leaves no other try"),
        "{}",
        sky::describe(&job)
    );
    let starts = ledger.starts(names[1])?;
    ensure!(starts == ["0 on mluo-onprem"], "{} started: {starts:?}", names[1]);

    let job = sky.complete(names[0]).await?;
    let tries: Vec<_> = shares(&job)
        .into_iter()
        .map(|share| (share.cluster, share.attempt, share.interruptions))
        .collect();
    ensure!(
        tries == [(ONPREM.to_owned(), 1, Some(1))] && evictions(&job).is_empty(),
        "the shares are {tries:?}, evictions {:?}",
        evictions(&job)
    );
    let starts = ledger.starts(names[0])?;
    ensure!(
        starts == ["0 on mluo-onprem", "0 on mluo-onprem"],
        "{} started: {starts:?}",
        names[0]
    );
    for name in names {
        sky.delete(name).await?;
    }
    Ok(())
}

/// Waits until the operator has suspended what a SkyJob has on premises.
async fn held_back(sky: &Sky, name: &str) -> Result<()> {
    wait::until(&format!("{name} to be held back"), SOON, async || {
        let jobs = sky.shares(name, ONPREM).await?;
        let suspended = jobs.iter().filter_map(|job| job.spec.as_ref()?.suspend);
        ensure!(suspended.eq([true]), "{}", sky::describe(&sky.job(name).await?));
        Ok(())
    })
    .await
}

/// Waits until the only replica of a SkyJob has begun to run, and its node has said so.
async fn started(sky: &Sky, ledger: &Ledger, name: &str) -> Result<()> {
    let uid = sky.job(name).await?.uid().unwrap_or_default();
    wait::until(&format!("{name} to start"), SOON, async || {
        let pods = sky.pods(&uid, ONPREM).await?;
        let running = pods.iter().filter(|pod| sky::is_running(pod)).count();
        let starts = ledger.starts(name)?;
        ensure!(
            running == 1 && starts.len() == 1,
            "{running} run, started: {starts:?}"
        );
        Ok(())
    })
    .await
}
