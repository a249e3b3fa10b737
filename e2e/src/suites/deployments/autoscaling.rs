//! An autoscaler of the host sets a SkyDeployment's replicas through its scale subresource. Part of the suite `deployments`.

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};

use super::{create, delete, serves, web};
use crate::metrics_api::MetricsApi;
use crate::runner::Context;
use crate::suites::jobs::shared;
use crate::suites::sky::{self, SOON, Sky};
use crate::wait;

const METRIC: &str = "queue_length";

pub(super) async fn an_autoscaler_of_the_host_scales_it_by_its_minimum_and_by_an_external_metric(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let api = MetricsApi::open(METRIC).await?;
    create(&sky, "scaled", web(2)).await?;
    serves(&sky, "scaled", "mluo-cloud:1,mluo-onprem:1").await?;
    let host = sky.lab.host()?;
    let outcome = tokio::select! {
        served = api.serve() => match served {
            Ok(()) => bail!("the metrics API ended"),
            Err(error) => Err(error),
        },
        scaled = scaled(&sky, &api) => scaled,
    };
    // An API that is registered and answers no more would hold up whoever asks the host for all its APIs.
    let gone = host
        .kubectl(&[
            "delete",
            "--ignore-not-found",
            "apiservice/v1beta1.external.metrics.k8s.io",
            "hpa/scaled",
            "service/stand-in-metrics",
        ])
        .await;
    outcome?;
    gone?;
    delete(&sky, "scaled").await
}

async fn scaled(sky: &Sky, api: &MetricsApi) -> Result<()> {
    let host = sky.lab.host()?;
    host.apply(&api.manifest()).await?;
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaled", "namespace": "default"},
        "spec": {
            "minReplicas": 4, "maxReplicas": 8,
            "scaleTargetRef": {"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment", "name": "scaled"},
            "metrics": [{"type": "External", "external": {
                "metric": {"name": METRIC}, "target": {"type": "AverageValue", "averageValue": "10"}}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
        },
    });
    host.apply(&autoscaler.to_string()).await?;
    // Nothing is queued: only the minimum asks for more.
    serves(sky, "scaled", "mluo-cloud:2,mluo-onprem:2").await?;
    api.set(60);
    serves(sky, "scaled", "mluo-cloud:3,mluo-onprem:3").await?;
    wait::until(
        "the autoscaler to say that it reads the metric",
        SOON,
        async || {
            let found = host.kubectl(&["get", "hpa/scaled", "-o", "json"]).await?;
            let found: Value = serde_json::from_str(&found)?;
            let conditions = found["status"]["conditions"].as_array().into_iter().flatten();
            let reads = conditions
                .filter(|condition| condition["type"] == "ScalingActive")
                .any(|condition| condition["status"] == "True" && condition["reason"] == "ValidMetricFound");
            ensure!(reads, "{}", found["status"]);
            Ok(())
        },
    )
    .await?;
    api.set(0);
    serves(sky, "scaled", "mluo-cloud:2,mluo-onprem:2")
        .await
        .map(drop)
}
