//! Suite `namespaces`: SkyNamespaces and the namespaces that shares need, on real API servers. Cases: `kept` (made,
//! adopted, kept in step, quiet), `left` (a selection that changes, a deletion that is held, what nobody needs).

mod kept;
mod left;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sky_crds::SkyNamespace;
use tokio::time::timeout;

use super::Suite;
use super::sky::{self, Sky};
use crate::cluster::Cluster;
use crate::runner::Context;
use crate::wait;

pub(super) const A: &str = "cloud-1";
pub(super) const B: &str = "cloud-2";
/// What nobody needs goes after a minute; twice that is enough also on a slow machine.
const LEFT: Duration = Duration::from_secs(150);
const CALL: Duration = Duration::from_secs(30);

pub const SUITE: Suite = Suite {
    name: "namespaces",
    about: "namespaces are made, adopted, kept in step, left and removed; nothing goes with what it holds",
    cases: &[
        case!(kept::it_is_made_where_it_is_selected_and_what_drifts_is_put_back),
        case!(kept::what_was_there_is_adopted_but_for_pod_security_and_stays),
        case!(kept::a_quiet_minute_has_no_write),
        case!(left::a_changed_selection_moves_it_and_the_job_in_it),
        case!(left::a_deletion_is_held_by_a_running_job_and_then_leaves_nothing_of_ours),
        case!(left::a_namespace_made_for_a_share_goes_with_the_last_one_unless_it_holds_something),
    ],
};

async fn shared(context: &Context) -> Result<Sky> {
    Sky::on(context, &super::counts::plan()).await
}

/// Writes a SkyNamespace with these labels for these members.
async fn apply(sky: &Sky, name: &str, labels: Value, members: &[&str]) -> Result<()> {
    let object = json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyNamespace", "metadata": {"name": name},
        "spec": {"labels": labels, "clusterFilter": {"include": members}},
    });
    sky.lab.host()?.apply(&object.to_string()).await.map(drop)
}

/// Labels of a namespace; `None`: it is not there, or on its way out.
async fn labels(cluster: &Cluster, name: &str) -> Result<Option<BTreeMap<String, String>>> {
    let all: Api<Namespace> = Api::all(cluster.client().await?);
    let found = timeout(CALL, all.get_opt(name)).await??;
    let present = found.filter(|found| found.metadata.deletion_timestamp.is_none());
    Ok(present.map(|present| present.labels().clone()))
}

/// Waits until a namespace has (`Some`) or lacks (`None`) this label.
async fn labelled(cluster: &Cluster, name: &str, key: &str, value: Option<&str>) -> Result<()> {
    let what = format!("{key}={value:?} on namespace {name} of {}", cluster.name());
    wait::until(&what, sky::SOON, async || {
        let labels = labels(cluster, name).await?;
        let found = labels.as_ref().map(|labels| labels.get(key).map(String::as_str));
        ensure!(found == Some(value), "{labels:?}");
        Ok(())
    })
    .await
}

/// Waits until there is no such namespace.
async fn gone(cluster: &Cluster, name: &str) -> Result<()> {
    wait::until(
        &format!("namespace {name} to go from {}", cluster.name()),
        LEFT,
        async || {
            let all: Api<Namespace> = Api::all(cluster.client().await?);
            match timeout(CALL, all.get_opt(name)).await?? {
                None => Ok(()),
                Some(left) => bail!("{:?} {:?}", left.annotations(), left.status),
            }
        },
    )
    .await
}

/// What the status of a SkyNamespace says: conditions that are True, and the state on each cluster.
fn line(namespace: &SkyNamespace) -> String {
    let status = namespace.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter().filter(|c| c.status == "True");
    let conditions = conditions.map(|c| format!("{}={}", c.type_, c.reason));
    let clusters = status
        .clusters
        .iter()
        .map(|c| format!("{}:{}", c.cluster, c.state));
    conditions.chain(clusters).collect::<Vec<_>>().join(" ")
}

/// Waits until the status of a SkyNamespace reads so.
async fn reads(sky: &Sky, name: &str, wanted: &str) -> Result<SkyNamespace> {
    wait::until(
        &format!("SkyNamespace {name} to read {wanted}"),
        LEFT,
        async || {
            let all: Api<SkyNamespace> = Api::all(sky.client());
            let found = timeout(CALL, all.get(name)).await??;
            ensure!(line(&found) == wanted, "{}: {:?}", line(&found), found.status);
            Ok(found)
        },
    )
    .await
}

/// Deletes a SkyNamespace without waiting for what takes a minute and another case shows.
async fn dismiss(sky: &Sky, name: &str) -> Result<()> {
    let host = sky.lab.host()?;
    host.kubectl(&["delete", "skyns", name, "--wait=false"])
        .await
        .map(drop)
}

/// Deletes a SkyNamespace and waits until it is gone.
async fn delete(sky: &Sky, name: &str) -> Result<()> {
    let bound = format!("--timeout={}s", LEFT.as_secs());
    let host = sky.lab.host()?;
    host.kubectl(&["delete", "skyns", name, &bound]).await.map(drop)
}

/// Writes a SkyJob of one replica in a namespace, for one member, that runs this long.
async fn job(sky: &Sky, namespace: &str, name: &str, member: Option<&str>, run_for: &str) -> Result<()> {
    let mut spec = json!({
        "run": "true", "resources": {"cpu": "10m"}, "backoffLimit": 1,
        "env": [{"name": "LAB_RUN_FOR", "value": run_for}],
    });
    if let Some(member) = member {
        spec["placement"] = super::jobs::on(&[member]);
    }
    let job = json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    sky.lab.host()?.apply(&job.to_string()).await.map(drop)
}

/// Waits until a SkyJob is in this phase on this member.
async fn is_on(sky: &Sky, namespace: &str, name: &str, phase: &str, member: &str) -> Result<()> {
    let wanted = format!("{phase} {member}:1");
    let path = "jsonpath={.status.phase} {.status.summary}";
    wait::until(&format!("{name} to be {wanted}"), sky::SOON, async || {
        let host = sky.lab.host()?;
        let found = host
            .kubectl(&["get", "-n", namespace, "skyj", name, "-o", path])
            .await?;
        ensure!(found == wanted, "{found}");
        Ok(())
    })
    .await
}
