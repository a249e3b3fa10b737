//! Created, scaled, deleted. Part of the suite `deployments`.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::json;

use super::{create, delete, describe, is_true, patch, pods, serves, status, until, web};
use crate::runner::Context;
use crate::suites::jobs::{CLOUD, ONPREM, shared};
use crate::suites::sky;

pub(super) async fn replicas_are_spread_and_kubectl_scales_them_without_moving_what_runs(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    create(&sky, "web", web(2)).await?;
    serves(&sky, "web", "mluo-cloud:1,mluo-onprem:1").await?;
    let uids = async || -> Result<BTreeSet<String>> {
        Ok(pods(&sky, "web").await?.into_iter().map(|(uid, _)| uid).collect())
    };
    let two = uids().await?;
    let host = sky.lab.host()?;
    host.kubectl(&["scale", "skydeployment/web", "--replicas=10"])
        .await?;
    let found = serves(&sky, "web", "mluo-cloud:5,mluo-onprem:5").await?;
    let counts = status(&found);
    ensure!(
        (counts.replicas, counts.ready_replicas, counts.available_replicas) == (Some(10), Some(10), Some(10)),
        "{}",
        describe(&found)
    );
    let ten = uids().await?;
    ensure!(
        ten.is_superset(&two),
        "the first two were replaced: {two:?} {ten:?}"
    );
    host.kubectl(&["scale", "skydeployment/web", "--replicas=1"])
        .await?;
    until(&sky, "web", "one replica", |found| {
        status(found).replicas == Some(1) && is_true(found, "Ready")
    })
    .await?;
    let one = uids().await?;
    ensure!(
        one.len() == 1 && ten.is_superset(&one),
        "one of ten is left: {one:?}"
    );
    let seen = host
        .kubectl(&["get", "skydeployment/web", "-o", "jsonpath={.status.selector}"])
        .await?;
    ensure!(seen.starts_with("skymanager.io/uid="), "selector {seen}");
    delete(&sky, "web").await
}

/// A node of 2 cpus holds one replica of 1.5.
pub(super) async fn what_does_not_fit_waits_and_the_rest_serves(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let mut spec = web(3);
    spec["resources"] = json!({"cpu": "1500m", "memory": "16Mi"});
    create(&sky, "large", spec).await?;
    let found = until(&sky, "large", "two of three serve", |found| {
        status(found).available_replicas == Some(2)
    })
    .await?;
    let words = describe(&found);
    ensure!(
        words.contains("Scheduled=False Queued: 1 of 3 replicas wait: ")
            && words.contains("insufficient cpu"),
        "{words}"
    );
    ensure!(!is_true(&found, "Ready"), "{words}");
    patch(&sky, "large", json!({"spec": {"replicas": 2}})).await?;
    serves(&sky, "large", &format!("{CLOUD}:1,{ONPREM}:1")).await?;
    delete(&sky, "large").await
}
