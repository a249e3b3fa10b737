//! What others do on members to what is ours, and beside it. Part of the suite `deployments`.

use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use tokio::time::Instant;

use super::{create, delete, describe, on, serves, until, web};
use crate::runner::Context;
use crate::suites::counts::tally::Mark;
use crate::suites::jobs::{CLOUD, shared};
use crate::suites::sky::{self, SOON, condition_words};
use crate::wait;

/// How long it is to be quiet.
const QUIET: Duration = Duration::from_secs(60);

pub(super) async fn what_others_change_is_put_back_what_is_theirs_is_left_and_then_it_is_quiet(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    create(&sky, "kept", web(2)).await?;
    serves(&sky, "kept", "mluo-cloud:1,mluo-onprem:1").await?;
    let before = on(&sky, "kept", CLOUD).await?;
    let object = format!("deployment/{}", before.name_any());
    let member = sky.lab.member(CLOUD)?;
    let theirs = r#"{"spec":{"minReadySeconds":1,"template":{"metadata":{"annotations":{"theirs":"1"}}}}}"#;
    member.kubectl(&["patch", &object, "-p", theirs]).await?;
    member.kubectl(&["scale", &object, "--replicas=3"]).await?;
    member
        .kubectl(&["set", "image", &object, "main=nothing:1"])
        .await?;
    wait::until("ours to be put back", SOON, async || {
        let now = on(&sky, "kept", CLOUD).await?;
        let spec = now.spec.clone().unwrap_or_default();
        let image = |of: &k8s_openapi::api::apps::v1::Deployment| {
            let template = of.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
            template.and_then(|pod| pod.containers.first()?.image.clone())
        };
        ensure!(
            spec.replicas == Some(1) && image(&now) == image(&before),
            "{:?} replicas of {:?}",
            spec.replicas,
            image(&now)
        );
        let annotations = spec
            .template
            .metadata
            .unwrap_or_default()
            .annotations
            .unwrap_or_default();
        ensure!(
            annotations.contains_key("theirs") && spec.min_ready_seconds == Some(1),
            "what is theirs was taken away: {annotations:?}"
        );
        Ok(())
    })
    .await?;
    serves(&sky, "kept", "mluo-cloud:1,mluo-onprem:1").await?;
    quiet(&sky).await?;
    delete(&sky, "kept").await
}

/// What a SkyDeployment has us write.
const OURS: [&str; 4] = [
    "skydeployments",
    "deployments",
    "controllerrevisions",
    "horizontalpodautoscalers",
];

/// Fails at the first such write in a minute that begins when there has been none for ten seconds. Other kinds are not
/// counted: what earlier cases left is still being tidied up.
async fn quiet(sky: &sky::Sky) -> Result<()> {
    let (mut mark, mut begun) = (Mark::now(&sky.lab)?, Instant::now());
    wait::until("the operator to come to rest", SOON, async || {
        if !mark.story(&sky.lab, &OURS)?.is_empty() {
            (mark, begun) = (Mark::now(&sky.lab)?, Instant::now());
        }
        ensure!(begun.elapsed() >= Duration::from_secs(10), "it still writes");
        Ok(())
    })
    .await?;
    let (mark, begun) = (Mark::now(&sky.lab)?, Instant::now());
    let writes = wait::until("a minute to pass", 2 * QUIET, async || {
        let writes = mark.story(&sky.lab, &OURS)?;
        ensure!(!writes.is_empty() || begun.elapsed() >= QUIET, "not over");
        Ok(writes)
    })
    .await?;
    ensure!(writes.is_empty(), "in a quiet minute: {writes:?}");
    Ok(())
}

pub(super) async fn an_autoscaler_of_the_member_is_reported_and_not_fought(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    create(&sky, "fought", web(2)).await?;
    serves(&sky, "fought", "mluo-cloud:1,mluo-onprem:1").await?;
    let name = on(&sky, "fought", CLOUD).await?.name_any();
    let member = sky.lab.member(CLOUD)?;
    member
        .apply(&format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: rival}}\nspec:\n  minReplicas: 3\n  \
             maxReplicas: 4\n  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {name}}}\n  metrics:\n  - type: \
             Resource\n    resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 50}}}}\n"
        ))
        .await?;
    let found = until(&sky, "fought", "the autoscaler is named", |found| {
        condition_words(&super::status(found).conditions, "Stalled")
            .contains("HorizontalPodAutoscaler rival there sets 3")
    })
    .await?;
    ensure!(
        describe(&found).contains("Stalled=True Conflict"),
        "{}",
        describe(&found)
    );
    // Not one write more on that member: it keeps its number.
    let mark = Mark::now(&sky.lab)?;
    let begun = Instant::now();
    wait::until("twenty seconds to pass", SOON, async || {
        ensure!(begun.elapsed() >= Duration::from_secs(20), "not over");
        Ok(())
    })
    .await?;
    let written = mark.tally(&sky.lab)?.on_members();
    ensure!(written == 0, "{written} writes on members");
    member.kubectl(&["delete", "hpa", "rival"]).await?;
    serves(&sky, "fought", "mluo-cloud:1,mluo-onprem:1").await?;
    delete(&sky, "fought").await
}
