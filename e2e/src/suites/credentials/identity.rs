//! A Secret that leads to another cluster than before: what runs on the first one is not taken for deleted.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::super::sky::{Sky, cluster_conditions, describe, is_true, phase};
use super::{A, B, secrets, shared};
use crate::runner::Context;

pub(super) async fn another_cluster_under_the_same_name_is_not_used(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let right = secrets(&sky).get(&format!("member-{A}")).await?.data;
    let wrong = secrets(&sky).get(&format!("member-{B}")).await?.data;
    let spec = json!({
        "run": "true", "resources": {"cpu": "10m"}, "env": [{"name": "LAB_RUN_FOR", "value": "600s"}],
        "placement": {"filters": [{"matchLabels": {"skymanager.io/cluster-name": A}}]},
    });
    sky.create("stays", spec).await?;
    sky.until("stays", "Running", |job| phase(job) == "Running")
        .await?;

    lead(&sky, wrong).await?;
    let refused = |cluster: &_| {
        let conditions = cluster_conditions(cluster);
        conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.reason == "OtherCluster")
    };
    sky.cluster_until(A, "refused as another cluster", refused)
        .await?;
    let job = sky.job("stays").await?;
    ensure!(
        phase(&job) != "Failed",
        "the job was given up: {}",
        describe(&job)
    );

    lead(&sky, right).await?;
    let ready = |cluster: &_| is_true(&cluster_conditions(cluster), "Ready");
    sky.cluster_until(A, "Ready again", ready).await?;
    let job = sky.job("stays").await?;
    ensure!(phase(&job) == "Running", "the job goes on: {}", describe(&job));
    sky.delete("stays").await
}

/// Has the operator reach A by this Secret's content.
async fn lead(sky: &Sky, data: Option<BTreeMap<String, ByteString>>) -> Result<()> {
    let content = Secret {
        data,
        ..Secret::default()
    };
    let patch = Patch::Merge(json!({"data": content.data}));
    let name = format!("member-{A}");
    secrets(sky).patch(&name, &PatchParams::default(), &patch).await?;
    Ok(())
}
