//! Where a SkyJob goes, and why it waits. Part of the suite `jobs`.

use anyhow::{Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{CLOUD, KWOK, ONPREM, nowhere, on, shared, simulated, with};
use crate::runner::Context;
use crate::suites::sky::{self, UID_LABEL, condition, message, phase, summary};

pub(super) async fn replicas_on_two_members_know_their_ranks(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let spec = json!({
        "replicas": 4, "resources": {"cpu": 1}, "placement": on(&[ONPREM, CLOUD]),
        "run": "echo \"rank $SKY_RANK of $SKY_REPLICAS\"",
    });
    sky.create("ranks", spec).await?;
    let job = sky.complete("ranks").await?;
    ensure!(
        summary(&job) == "mluo-cloud:2,mluo-onprem:2",
        "{}",
        sky::describe(&job)
    );
    let selector = format!("{}={}", UID_LABEL, job.uid().unwrap_or_default());
    let mut lines = Vec::new();
    for member in [ONPREM, CLOUD] {
        let member = sky.lab.member(member)?;
        let log = member.kubectl(&["logs", "-l", &selector, "--tail=-1"]).await?;
        ensure!(log.lines().count() == 2, "{} printed {log:?}", member.name());
        lines.extend(log.lines().map(str::to_owned));
    }
    lines.sort();
    let expected: Vec<String> = (0..4).map(|rank| format!("rank {rank} of 4")).collect();
    ensure!(lines == expected, "printed {lines:?}");
    sky.delete("ranks").await
}

pub(super) async fn the_original_job_goes_where_filters_and_preferences_say(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    // Preferred by name, so long as there is room.
    let placed = async |name: &str| -> Result<String> {
        sky.create(name, my_job()).await?;
        let job = sky.until_true(name, "Scheduled", "Placed").await?;
        Ok(summary(&job).to_owned())
    };
    let first = placed("my-job").await?;
    ensure!(first == "mluo-onprem:1", "the best preferred has room: {first}");
    sky.create("filler", with(my_job(), json!({"placement": on(&[ONPREM])})))
        .await?;
    sky.until_true("filler", "Scheduled", "Placed").await?;
    let second = placed("my-job-2").await?;
    ensure!(
        second == "mluo-cloud:1",
        "the next preferred when the first is full: {second}"
    );
    let location = |place: &str| json!({"metadata": {"labels": {"location": place}}});
    sky.patch_cluster(CLOUD, location("eu")).await?;
    sky.cluster_until(CLOUD, "in eu", |cluster| {
        cluster.labels().get("location").is_some_and(|l| l == "eu")
    })
    .await?;
    let third = placed("my-job-3").await?;
    ensure!(
        third == "cloud-2:1",
        "dev in eu is filtered out, staging in us is not: {third}"
    );
    sky.patch_cluster(CLOUD, location("na")).await?;
    for name in ["my-job", "filler", "my-job-2", "my-job-3"] {
        sky.delete(name).await?;
    }
    Ok(())
}

/// The job of the original text, in its spelling.
fn my_job() -> Value {
    let not_in = |values: &[&str]| json!([{"key": "location", "operator": "NotIn", "values": values}]);
    json!({
        "replicas": "1", "image": "ubuntu:latest", "imagePullPolicy": "IfNotPresent",
        "resources": {"cpus": "1", "memory": "128"}, "run": "echo hello_sky; sleep 12",
        "env": [{"name": "LAB_RUN_FOR", "value": "12"}],
        "placement": {
            "filters": [
                {"name": "filter-1", "match_labels": {"purpose": "dev"}, "match_expressions": not_in(&["eu"])},
                {"name": "filter-2", "match_labels": {"purpose": "staging"}, "match_expressions": not_in(&["eu", "ap"])},
            ],
            "preferences": [
                {"name": "pref-1", "match_labels": {"sky-cluster-name": "mycluster-dev-1"}, "weight": 100},
                {"name": "pref-2", "match_labels": {"purpose": "dev"}, "weight": 50,
                 "match_expressions": [{"key": "location", "operator": "In", "values": ["na"]}]},
                {"name": "pref-3", "match_labels": {"purpose": "dev"}, "weight": 25},
            ],
        },
    })
}

pub(super) async fn a_policy_keeps_matching_jobs_off_a_cluster(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let host = sky.lab.host()?;
    host.apply(
        "apiVersion: skymanager.io/v1alpha1\nkind: FilterPolicy\nmetadata: {name: remove-cloud-2}\nspec:\n  \
         clusterFilter: {include: [mluo-onprem, mluo-cloud, cloud-2], exclude: [cloud-2]}\n  \
         labelsSelector: {my_app: testing}\n",
    )
    .await?;
    host.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "--timeout=60s",
        "fpol/remove-cloud-2",
    ])
    .await?;
    let spec = with(simulated("1s"), json!({"placement": on(&[KWOK, ONPREM])}));
    sky.create_labelled("governed", json!({"my_app": "testing"}), spec.clone())
        .await?;
    sky.create("free", spec).await?;
    let governed = sky.complete("governed").await?;
    let free = sky.complete("free").await?;
    ensure!(
        summary(&governed) == "mluo-onprem:1",
        "{}",
        sky::describe(&governed)
    );
    ensure!(summary(&free) == "cloud-2:1", "{}", sky::describe(&free));
    host.kubectl(&["delete", "fpol", "remove-cloud-2"]).await?;
    sky.delete("governed").await?;
    sky.delete("free").await
}

pub(super) async fn a_queued_job_counts_its_reasons_and_starts_when_a_cordon_is_lifted(
    context: &Context,
) -> Result<()> {
    let sky = shared(context).await?;
    let cordon = |yes: bool| json!({"spec": {"unschedulable": yes}});
    sky.patch_cluster(ONPREM, cordon(true)).await?;
    sky.lab
        .host()?
        .apply(
            "apiVersion: skymanager.io/v1alpha1\nkind: FilterPolicy\nmetadata: {name: not-there}\nspec:\n  \
             clusterFilter: {exclude: [mluo-cloud]}\n  workloadSelector: {matchLabels: {my_app: waiting}}\n",
        )
        .await?;
    sky.create("occupant", with(simulated("600"), json!({"replicas": 2})))
        .await?;
    sky.until("occupant", "running", |job| phase(job) == "Running")
        .await?;
    let spec = json!({"run": "true", "resources": {"cpu": 1}});
    sky.create_labelled("waiter", json!({"my_app": "waiting"}), spec)
        .await?;
    let words = "0/3 clusters: 1 cordoned, 1 excluded by FilterPolicy not-there, 1 insufficient cpu";
    let job = sky
        .until("waiter", words, |job| message(job, "Scheduled") == words)
        .await?;
    let scheduled = condition(&job, "Scheduled");
    ensure!(
        scheduled.is_some_and(|c| c.status == "False" && c.reason == "Queued"),
        "{}",
        sky::describe(&job)
    );
    let status = job.status.clone().unwrap_or_default();
    let reasons: Vec<_> = status
        .diagnosis
        .iter()
        .map(|d| (d.cluster.as_str(), d.reason.as_str()))
        .collect();
    ensure!(
        reasons
            == [
                (KWOK, "InsufficientCapacity"),
                (CLOUD, "FilterPolicy"),
                (ONPREM, "Cordoned")
            ],
        "the diagnosis is {reasons:?}"
    );
    nowhere(&sky, "waiter").await?;
    sky.patch_cluster(ONPREM, cordon(false)).await?;
    let job = sky.complete("waiter").await?;
    ensure!(summary(&job) == "mluo-onprem:1", "{}", sky::describe(&job));
    sky.lab.host()?.kubectl(&["delete", "fpol", "not-there"]).await?;
    sky.delete("waiter").await?;
    sky.delete("occupant").await
}

pub(super) async fn a_gang_waits_whole_and_starts_when_room_comes(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.create("before", simulated("8s")).await?;
    sky.until_true("before", "Scheduled", "Placed").await?;
    sky.create("gang", with(simulated("1s"), json!({"replicas": 2})))
        .await?;
    let words = "1 of 2 replicas fit (cloud-2:1)";
    sky.until("gang", words, |job| message(job, "Scheduled").starts_with(words))
        .await?;
    nowhere(&sky, "gang").await?;
    sky.complete("before").await?;
    let job = sky.complete("gang").await?;
    ensure!(summary(&job) == "cloud-2:2", "{}", sky::describe(&job));
    sky.delete("before").await?;
    sky.delete("gang").await
}

pub(super) async fn a_label_added_to_a_cluster_starts_a_queued_job(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let spec = json!({
        "run": "true", "resources": {"cpu": 1},
        "placement": {"filters": [{"matchExpressions": [{"key": "licence", "operator": "Exists"}]}]},
    });
    sky.create("picky", spec).await?;
    let words = "0/3 clusters: 3 not matched by placement.filters";
    sky.until("picky", words, |job| message(job, "Scheduled") == words)
        .await?;
    sky.patch_cluster(KWOK, json!({"metadata": {"labels": {"licence": "7"}}}))
        .await?;
    let job = sky.complete("picky").await?;
    ensure!(summary(&job) == "cloud-2:1", "{}", sky::describe(&job));
    sky.patch_cluster(KWOK, json!({"metadata": {"labels": {"licence": null}}}))
        .await?;
    sky.delete("picky").await
}

pub(super) async fn a_node_selector_in_a_template_decides(context: &Context) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let template = |selector: Value| {
        json!({"spec": {"nodeSelector": selector, "containers": [{"name": "main", "image": "lab/busybox:1",
            "command": ["true"], "resources": {"requests": {"cpu": "100m"}}}]}})
    };
    // Only the nodes of the kwok member have this label.
    let spec =
        json!({"template": template(json!({"type": "kwok"})), "placement": on(&[ONPREM, CLOUD, KWOK])});
    sky.create("selective", spec).await?;
    let job = sky.complete("selective").await?;
    ensure!(summary(&job) == "cloud-2:1", "{}", sky::describe(&job));
    sky.create("hopeless", json!({"template": template(json!({"type": "none"}))}))
        .await?;
    let job = sky
        .until("hopeless", "queued", |job| condition(job, "Scheduled").is_some())
        .await?;
    ensure!(
        condition(&job, "Scheduled")
            .is_some_and(|c| c.status == "False" && c.message.contains("3 no node with the labels asked for")),
        "{}",
        sky::describe(&job)
    );
    sky.delete("selective").await?;
    sky.delete("hopeless").await
}

pub(super) async fn what_no_cluster_could_ever_hold_is_too_large(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    sky.create("wide", json!({"run": "true", "resources": {"cpu": 4096}}))
        .await?;
    sky.create(
        "many",
        json!({"run": "true", "resources": {"cpu": 1}, "replicas": 500}),
    )
    .await?;
    sky.until_true("wide", "Stalled", "TooLarge").await?;
    let job = sky.until_true("many", "Stalled", "TooLarge").await?;
    ensure!(
        message(&job, "Stalled").contains("even if empty, the allowed clusters would hold"),
        "{}",
        sky::describe(&job)
    );
    nowhere(&sky, "many").await?;
    sky.delete("wide").await?;
    sky.delete("many").await
}
