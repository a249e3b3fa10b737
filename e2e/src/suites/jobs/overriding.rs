//! One SkyJob whose pods differ by member. Part of the suite `jobs`.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{CLOUD, ONPREM, on, shared};
use crate::runner::Context;
use crate::suites::sky::{self, SOON, Sky, is_true, message, summary};
use crate::wait;

/// A patch of the only container.
fn main(fields: Value) -> Value {
    let mut container = json!({"name": "main"});
    for (field, value) in fields.as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    json!({"spec": {"containers": [container]}})
}

pub(super) async fn pods_differ_by_member_as_overrides_say(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let site = |site: &str| json!([{"name": "SITE", "value": site}]);
    let spec = json!({
        "replicas": 2, "resources": {"cpu": "100m"}, "placement": {
            "filters": on(&[ONPREM, CLOUD])["filters"], "spread": {"strategy": "Even"}},
        "run": "echo rank $SKY_RANK of $SKY_JOB at $SITE", "imagePullPolicy": "IfNotPresent",
        "env": site("nowhere"),
        "overrides": [
            {"clusterSelector": {"matchLabels": {"location": "us"}}, "strategicMerge": main(json!({"env": site("us")}))},
            {"clusters": [CLOUD], "strategicMerge": main(json!({"imagePullPolicy": "Never", "env": site("na"),
                "resources": {"requests": {"cpu": "200m"}}}))},
            {"clusters": [CLOUD], "jsonPatch": [
                {"op": "test", "path": "/spec/containers/0/env/0/value", "value": "na"},
                {"op": "replace", "path": "/spec/containers/0/env/0/value", "value": "north america"},
                {"op": "add", "path": "/metadata/labels/site", "value": "na"}]},
        ],
    });
    sky.create("differs", spec).await?;
    let job = sky.complete("differs").await?;
    ensure!(
        summary(&job) == "mluo-cloud:1,mluo-onprem:1",
        "{}",
        sky::describe(&job)
    );
    let uid = job.uid().unwrap_or_default();
    let printed = async |member: &str| -> Result<String> {
        let selector = format!("{}={uid}", sky::UID_LABEL);
        sky.lab
            .member(member)?
            .kubectl(&["logs", "-l", &selector, "--tail=-1"])
            .await
    };
    let (onprem, cloud) = (printed(ONPREM).await?, printed(CLOUD).await?);
    ensure!(onprem.ends_with(" of differs at us\n"), "on {ONPREM}: {onprem:?}");
    ensure!(
        cloud.ends_with(" of differs at north america\n"),
        "on {CLOUD}: {cloud:?}"
    );
    let (onprem, cloud) = (only(&sky, &uid, ONPREM).await?, only(&sky, &uid, CLOUD).await?);
    ensure!(
        shape(&onprem) == "IfNotPresent, cpu 100m, site -",
        "{}",
        shape(&onprem)
    );
    ensure!(shape(&cloud) == "Never, cpu 200m, site na", "{}", shape(&cloud));
    sky.delete("differs").await
}

/// The only pod of this SkyJob on a member.
async fn only(sky: &Sky, uid: &str, member: &str) -> Result<Pod> {
    let mut pods = sky.pods(uid, member).await?;
    ensure!(pods.len() == 1, "{} pods on {member}", pods.len());
    Ok(pods.remove(0))
}

/// What overrides change, in one line.
fn shape(pod: &Pod) -> String {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    let policy = container.and_then(|container| container.image_pull_policy.clone());
    let requests = container.and_then(|container| container.resources.as_ref()?.requests.as_ref());
    let cpu = requests.and_then(|requests| requests.get("cpu"));
    format!(
        "{}, cpu {}, site {}",
        policy.unwrap_or_default(),
        cpu.map_or("-", |cpu| &cpu.0),
        pod.labels().get("site").map_or("-", String::as_str)
    )
}

pub(super) async fn an_override_that_cannot_be_applied_fails_the_job_in_words(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let test = json!({"op": "test", "path": "/spec/containers/0/image", "value": "another"});
    let spec = json!({"run": "true", "resources": {"cpu": "100m"}, "placement": on(&[ONPREM]),
        "overrides": [{"clusters": [ONPREM], "jsonPatch": [test]}]});
    sky.create("untestable", spec).await?;
    wait::until("the job to fail", SOON, async || {
        let job = sky.job("untestable").await?;
        let conditions = job.status.clone().unwrap_or_default().conditions;
        let words = message(&job, "Stalled");
        ensure!(is_true(&conditions, "Stalled"), "{}", sky::describe(&job));
        ensure!(
            words.contains("test /spec/containers/0/image: value did not match"),
            "{words}"
        );
        Ok(())
    })
    .await?;
    sky.delete("untestable").await
}
