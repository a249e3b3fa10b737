//! A changed template. Part of the suite `deployments`.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{create, delete, describe, is_true, on, patch, serves, status, until, web};
use crate::runner::Context;
use crate::suites::jobs::{CLOUD, ONPREM, shared};
use crate::suites::sky;

pub(super) async fn a_bad_image_stops_at_the_first_member_and_the_next_one_goes_round(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let mut spec = web(4);
    spec["progressDeadlineSeconds"] = json!(8);
    spec["image"] = json!("lab/busybox:1");
    create(&sky, "rolled", spec).await?;
    serves(&sky, "rolled", "mluo-cloud:2,mluo-onprem:2").await?;
    let first = [image(&sky, CLOUD).await?, image(&sky, ONPREM).await?];

    let bad = json!({"spec": {"image": "lab/nothing:1", "imagePullPolicy": "Never"}});
    patch(&sky, "rolled", bad).await?;
    let found = until(&sky, "rolled", "stalled", |found| is_true(found, "Stalled")).await?;
    ensure!(
        describe(&found).contains("Stalled=True ProgressDeadlineExceeded: on mluo-cloud:"),
        "{}",
        describe(&found)
    );
    let reasons: Vec<_> = status(&found)
        .clusters
        .iter()
        .map(|cluster| (cluster.cluster.clone(), cluster.reason.clone()))
        .collect();
    ensure!(
        reasons.contains(&(CLOUD.to_owned(), Some("ErrImageNeverPull".to_owned()))),
        "{reasons:?}"
    );
    ensure!(
        status(&found).available_replicas.unwrap_or(0) >= 3,
        "what served goes on: {}",
        describe(&found)
    );
    ensure!(
        image(&sky, ONPREM).await? == first[1],
        "the other member was touched"
    );

    let good = json!({"spec": {"image": "lab/busybox:1", "imagePullPolicy": null, "env": [{"name": "V", "value": "2"}]}});
    patch(&sky, "rolled", good).await?;
    serves(&sky, "rolled", "mluo-cloud:2,mluo-onprem:2").await?;
    for member in [CLOUD, ONPREM] {
        let deployment = on(&sky, "rolled", member).await?;
        let template = json!(deployment.spec.map(|spec| spec.template));
        ensure!(
            template.to_string().contains(r#"{"name":"V","value":"2"}"#),
            "{member}: {template}"
        );
    }
    let listed = sky.lab.sky(&["rollout", "history", "skyd/rolled"]).await?;
    ensure!(
        listed.lines().count() == 4,
        "three revisions under a heading: {listed}"
    );
    sky.lab
        .sky(&["rollout", "undo", "skyd/rolled", "--to-revision", "1"])
        .await?;
    sky.lab
        .sky(&["rollout", "status", "skyd/rolled", "--timeout", "60"])
        .await?;
    for member in [CLOUD, ONPREM] {
        let deployment = on(&sky, "rolled", member).await?;
        let template = json!(deployment.spec.map(|spec| spec.template)).to_string();
        ensure!(
            !template.contains(r#""name":"V""#),
            "{member} is not back: {template}"
        );
    }
    delete(&sky, "rolled").await
}

/// The image that a member is told to run.
async fn image(sky: &sky::Sky, member: &str) -> Result<Option<String>> {
    let deployment = on(sky, "rolled", member).await?;
    let pod = deployment.spec.and_then(|spec| spec.template.spec);
    Ok(pod.and_then(|pod| pod.containers.first()?.image.clone()))
}
