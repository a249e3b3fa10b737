//! Suite `deployments`: SkyDeployments on real containers, served, scaled, rolled over, meddled with, and moved.
//! Cases: `life` (created, scaled, deleted), `autoscaling` (by an autoscaler of the host), `rollout` (a changed template), `meddling` (what others do on members),
//! `loss` (a member that falls silent).

mod autoscaling;
mod life;
mod loss;
mod meddling;
mod rollout;

use anyhow::{Context as _, Result, anyhow, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use sky_crds::{SkyDeployment, SkyDeploymentStatus};

use super::Suite;
use super::jobs::{CLOUD, ONPREM};
use super::sky::{SOON, Sky, UID_LABEL, words};
use crate::wait;

pub const SUITE: Suite = Suite {
    name: "deployments",
    about: "SkyDeployments are spread, scaled, rolled over, put back and moved, on real containers",
    cases: &[
        case!(life::replicas_are_spread_and_kubectl_scales_them_without_moving_what_runs),
        case!(life::what_does_not_fit_waits_and_the_rest_serves),
        case!(meddling::what_others_change_is_put_back_what_is_theirs_is_left_and_then_it_is_quiet),
        case!(meddling::an_autoscaler_of_the_member_is_reported_and_not_fought),
        case!(autoscaling::an_autoscaler_of_the_host_scales_it_by_its_minimum_and_by_an_external_metric),
        case!(rollout::a_bad_image_stops_at_the_first_member_and_the_next_one_goes_round),
        case!(loss::the_replicas_of_a_lost_member_move_and_what_it_kept_goes_when_it_returns),
    ],
};

/// `count` small replicas on the two real members, evenly, each of which serves until it is stopped.
pub(super) fn web(count: i64) -> Value {
    let name = json!({"key": "skymanager.io/cluster-name", "operator": "In", "values": [ONPREM, CLOUD]});
    json!({
        "replicas": count, "run": "trap 'exit 0' TERM; sleep 600 & wait",
        "resources": {"cpu": "50m", "memory": "16Mi"},
        "placement": {"filters": [{"matchExpressions": [name]}], "spread": {"strategy": "Even"}},
    })
}

fn all(sky: &Sky) -> Api<SkyDeployment> {
    Api::namespaced(sky.client(), "default")
}

pub(super) async fn create(sky: &Sky, name: &str, spec: Value) -> Result<()> {
    let object: SkyDeployment = serde_json::from_value(json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment", "metadata": {"name": name}, "spec": spec,
    }))?;
    all(sky).create(&PostParams::default(), &object).await?;
    Ok(())
}

pub(super) async fn patch(sky: &Sky, name: &str, patch: Value) -> Result<()> {
    let params = PatchParams::default();
    all(sky).patch(name, &params, &Patch::Merge(patch)).await?;
    Ok(())
}

pub(super) fn status(of: &SkyDeployment) -> SkyDeploymentStatus {
    of.status.clone().unwrap_or_default()
}

pub(super) fn describe(of: &SkyDeployment) -> String {
    let status = status(of);
    let summary = status.summary.unwrap_or_default();
    let phase = status.phase.unwrap_or_default();
    format!("{phase} on [{summary}]: {}", words(&status.conditions))
}

/// Waits until the SkyDeployment is as `holds` wants it, for the spec that it has now.
pub(super) async fn until(
    sky: &Sky,
    name: &str,
    what: &str,
    holds: impl Fn(&SkyDeployment) -> bool,
) -> Result<SkyDeployment> {
    wait::until(&format!("{name}: {what}"), SOON, async || {
        let found = all(sky).get(name).await?;
        let current = status(&found).observed_generation == found.metadata.generation;
        ensure!(current && holds(&found), "{}", describe(&found));
        Ok(found)
    })
    .await
}

/// Waits until all replicas are available, placed like this.
pub(super) async fn serves(sky: &Sky, name: &str, summary: &str) -> Result<SkyDeployment> {
    until(sky, name, &format!("ready on {summary}"), |found| {
        let placed = status(found).summary.unwrap_or_default() == summary;
        placed && is_true(found, "Ready")
    })
    .await
}

pub(super) fn is_true(of: &SkyDeployment, kind: &str) -> bool {
    super::sky::is_true(&status(of).conditions, kind)
}

async fn uid(sky: &Sky, name: &str) -> Result<String> {
    all(sky).get(name).await?.uid().context("no uid")
}

/// The one Deployment that a member has of it.
async fn on(sky: &Sky, name: &str, member: &str) -> Result<Deployment> {
    let mut found = every(sky, &uid(sky, name).await?, member).await?;
    ensure!(
        found.len() == 1,
        "{member} has {} Deployments of {name}",
        found.len()
    );
    found.pop().ok_or_else(|| anyhow!("none"))
}

async fn every(sky: &Sky, uid: &str, member: &str) -> Result<Vec<Deployment>> {
    let of = ListParams::default().labels(&format!("{UID_LABEL}={uid}"));
    let api: Api<Deployment> = Api::all(client(sky, member).await?);
    Ok(api.list(&of).await?.items)
}

async fn client(sky: &Sky, member: &str) -> Result<Client> {
    sky.lab.member(member)?.client().await
}

/// Uids of its pods on both members that are not on their way out.
async fn pods(sky: &Sky, name: &str) -> Result<Vec<(String, Pod)>> {
    let uid = uid(sky, name).await?;
    let mut all = Vec::new();
    for member in [ONPREM, CLOUD] {
        let mut pods = sky.pods(&uid, member).await?;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        all.extend(pods.into_iter().map(|pod| (pod.uid().unwrap_or_default(), pod)));
    }
    Ok(all)
}

/// Deletes it, and waits until nothing of it is anywhere.
pub(super) async fn delete(sky: &Sky, name: &str) -> Result<()> {
    let uid = uid(sky, name).await?;
    all(sky).delete(name, &DeleteParams::default()).await?;
    wait::until(&format!("{name} to go"), SOON, async || {
        let found = all(sky).get_opt(name).await?;
        ensure!(found.is_none(), "still there");
        for member in [ONPREM, CLOUD] {
            let left = every(sky, &uid, member).await?.len() + sky.pods(&uid, member).await?.len();
            ensure!(left == 0, "{member} still has {left} objects");
        }
        Ok(())
    })
    .await
}
