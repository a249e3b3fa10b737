//! A pod whose node refuses it at the door, because the room went to somebody else after the pod was bound. Part of the
//! suite `evictions`.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::late::{OCCUPANT, PATIENCE, on_no_node};
use super::ledger::Ledger;
use super::{eviction, shares};
use crate::runner::Context;
use crate::suites::jobs::{CLOUD, ONPREM, on, shared};
use crate::suites::sky::{self, SOON, Sky, summary};
use crate::wait;

const NAME: &str = "turned-away";

/// The scheduler's part is played here: it sends the pod to a node that is full by then. The Job counts a failure and
/// makes another pod, which finds no room. Nothing ever ran, so that the share may still be evicted.
pub(super) async fn a_pod_that_its_node_turned_away_is_no_start_and_the_share_moves(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let ledger = Ledger::of(&sky);
    let member = sky.lab.member(ONPREM)?;
    let scheduler = member.daemon("kube-scheduler")?;
    scheduler.stop()?;
    let spec = json!({
        "template": ledger.template("true"), "placement": on(&[ONPREM, CLOUD]), "backoffLimit": 5,
        "pendingTimeoutSeconds": PATIENCE,
    });
    sky.create(NAME, spec).await?;
    on_no_node(&sky, NAME, 1).await?;
    member.apply(OCCUPANT).await?;
    member
        .kubectl(&["wait", "pod/occupant", "--for=condition=Ready", "--timeout=60s"])
        .await?;
    let uid = sky.job(NAME).await?.uid().unwrap_or_default();
    bind(&sky, member.client().await?, &uid, &member.node_name(0)).await?;
    turned_away(&sky, &uid).await?;
    scheduler.restart().await?;

    let job = sky.complete(NAME).await?;
    ensure!(summary(&job) == "mluo-cloud:1", "{}", sky::describe(&job));
    let placed = shares(&job);
    ensure!(
        placed.len() == 1 && placed.iter().all(|share| share.interruptions.is_none()),
        "no try was used: {placed:?}"
    );
    let eviction = eviction(&job)?;
    ensure!(
        (eviction.cluster.as_str(), eviction.reason.as_str()) == (ONPREM, "PendingTimeout"),
        "{eviction:?}"
    );
    let starts = ledger.starts(NAME)?;
    ensure!(starts == ["0 on mluo-cloud"], "started: {starts:?}");
    member
        .kubectl(&["delete", "pod", "occupant", "--timeout=30s"])
        .await?;
    sky.delete(NAME).await
}

/// Sends the only pod of the SkyJob to a node, as a scheduler does.
async fn bind(sky: &Sky, client: Client, uid: &str, node: &str) -> Result<()> {
    let pods = sky.pods(uid, ONPREM).await?;
    let pod = pods.first().context("no pod")?;
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap_or_default());
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "namespace": namespace},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    let api: Api<Pod> = Api::namespaced(client, &namespace);
    let _: serde_json::Value = api
        .create_subresource("binding", &name, &PostParams::default(), &binding)
        .await?;
    Ok(())
}

async fn turned_away(sky: &Sky, uid: &str) -> Result<()> {
    wait::until("the node to turn the pod away", SOON, async || {
        let pods = sky.pods(uid, ONPREM).await?;
        let mut reasons = pods
            .iter()
            .filter_map(|pod| pod.status.as_ref()?.reason.as_deref());
        ensure!(reasons.any(|reason| reason == "OutOfcpu"), "{} pods", pods.len());
        Ok(())
    })
    .await
}
