//! What is not selected any more, or is deleted, or was made for a share that is gone.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{A, B, apply, dismiss, gone, is_on, job, labelled, labels, reads, shared};
use crate::runner::Context;
use crate::suites::sky;
use crate::wait;

pub(super) async fn a_changed_selection_moves_it_and_the_job_in_it(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let (a, b) = (sky.lab.member(A)?, sky.lab.member(B)?);
    apply(&sky, "moving", json!({"team": "m"}), &[A]).await?;
    reads(&sky, "moving", "Ready=InPlace cloud-1:Created").await?;
    job(&sky, "moving", "rider", None, "600").await?;
    is_on(&sky, "moving", "rider", "Running", A).await?;
    apply(&sky, "moving", json!({"team": "m"}), &[B]).await?;
    labelled(&b, "moving", "team", Some("m")).await?;
    is_on(&sky, "moving", "rider", "Running", B).await?;
    // What keeps the name of the moved share taken is there, and the namespace with it.
    reads(
        &sky,
        "moving",
        "Ready=InPlace Reconciling=Leaving cloud-1:Leaving cloud-2:Created",
    )
    .await?;
    ensure!(
        labels(&a, "moving").await?.is_some(),
        "the tombstone's namespace is gone"
    );
    let host = sky.lab.host()?;
    host.kubectl(&["delete", "-n", "moving", "skyj/rider", "--timeout=150s"])
        .await?;
    gone(&a, "moving").await?;
    reads(&sky, "moving", "Ready=InPlace cloud-2:Created").await?;
    dismiss(&sky, "moving").await
}

pub(super) async fn a_deletion_is_held_by_a_running_job_and_then_leaves_nothing_of_ours(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let (host, a, b) = (sky.lab.host()?, sky.lab.member(A)?, sky.lab.member(B)?);
    apply(&sky, "held", json!({"team": "h"}), &[A, B]).await?;
    reads(&sky, "held", "Ready=InPlace cloud-1:Created cloud-2:Created").await?;
    b.kubectl(&["create", "-n", "held", "secret", "generic", "theirs"])
        .await?;
    job(&sky, "held", "runner", Some(A), "600").await?;
    is_on(&sky, "held", "runner", "Running", A).await?;
    host.kubectl(&["delete", "skyns", "held", "--wait=false"]).await?;
    job(&sky, "held", "late", Some(A), "1s").await?;
    let words = "jsonpath={.status.conditions[?(@.type=='Reconciling')].message}";
    wait::until("the deletion to name what remains", sky::SOON, async || {
        let found = host.kubectl(&["get", "skyns", "held", "-o", words]).await?;
        let named = [
            "not ended: SkyJob late, SkyJob runner",
            "cloud-1: holds SkyJob runner",
        ];
        ensure!(named.iter().all(|name| found.contains(name)), "{found}");
        Ok(())
    })
    .await?;
    let scheduled = "jsonpath={.status.conditions[?(@.type=='Scheduled')].message}";
    wait::until("the late job to be kept out", sky::SOON, async || {
        let found = host
            .kubectl(&["get", "-n", "held", "skyj", "late", "-o", scheduled])
            .await?;
        ensure!(found.contains("the SkyNamespace is being deleted"), "{found}");
        Ok(())
    })
    .await?;
    labelled(&a, "held", "team", Some("h")).await?;
    host.kubectl(&["delete", "-n", "held", "skyj", "--all", "--timeout=60s"])
        .await?;
    host.kubectl(&["wait", "--for=delete", "skyns/held", "--timeout=150s"])
        .await?;
    gone(&a, "held").await?;
    gone(&host, "held").await?;
    ensure!(labels(&b, "held").await?.is_some(), "their Secret went with it");
    b.kubectl(&["get", "-n", "held", "secret", "theirs"])
        .await
        .map(drop)
}

pub(super) async fn a_namespace_made_for_a_share_goes_with_the_last_one_unless_it_holds_something(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let (host, a) = (sky.lab.host()?, sky.lab.member(A)?);
    for name in ["visit", "visit-kept", "visit-theirs"] {
        host.kubectl(&["create", "namespace", name]).await?;
    }
    a.kubectl(&["create", "namespace", "visit-theirs"]).await?;
    for name in ["visit", "visit-kept", "visit-theirs"] {
        job(&sky, name, "guest", Some(A), "1s").await?;
    }
    for name in ["visit", "visit-kept", "visit-theirs"] {
        is_on(&sky, name, "guest", "Complete", A).await?;
    }
    a.kubectl(&["create", "-n", "visit-kept", "secret", "generic", "theirs"])
        .await?;
    for name in ["visit", "visit-kept", "visit-theirs"] {
        host.kubectl(&["delete", "-n", name, "skyj/guest", "--timeout=60s"])
            .await?;
    }
    // One that comes back before the minute is over finds its namespace.
    let uid = ["get", "ns", "visit", "-o", "jsonpath={.metadata.uid}"];
    let before = a.kubectl(&uid).await?;
    job(&sky, "visit", "guest", Some(A), "1s").await?;
    is_on(&sky, "visit", "guest", "Complete", A).await?;
    ensure!(a.kubectl(&uid).await? == before, "it was made anew");
    host.kubectl(&["delete", "-n", "visit", "skyj/guest", "--timeout=60s"])
        .await?;
    gone(&a, "visit").await?;
    for name in ["visit-kept", "visit-theirs"] {
        ensure!(labels(&a, name).await?.is_some(), "{name} is gone");
    }
    Ok(())
}
