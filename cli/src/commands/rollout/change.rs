//! Restart, pause and resume: one fenced patch each.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sky_crds::{SkyDeployment, names};

use super::Target;
use crate::errors::At;
use crate::output;

/// Asks for all replicas to be started anew. The time goes into an annotation, which a Git repository does not own.
pub(super) async fn restart(target: &Target, now: Timestamp) -> anyhow::Result<()> {
    let deployment = target.get().await?;
    let reference = target.reference();
    anyhow::ensure!(
        deployment.spec.paused != Some(true),
        "{reference} is paused: nothing would be restarted; kubectl sky rollout resume skyd/{} first",
        target.name
    );
    let at = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let metadata = json!({"metadata": {"annotations": {names::RESTARTED_AT_ANNOTATION: at}}});
    patch(target, &deployment, metadata, "restart").await?;
    output::line(&format!("{reference} restarted"))?;
    Ok(())
}

/// Lets a changed template wait, or go on.
pub(super) async fn pause(target: &Target, paused: bool) -> anyhow::Result<()> {
    let deployment = target.get().await?;
    let reference = target.reference();
    let (doing, done) = if paused {
        ("pause", "paused")
    } else {
        ("resume", "resumed")
    };
    if deployment.spec.paused.unwrap_or(false) == paused {
        let state = if paused {
            "is paused already"
        } else {
            "is not paused"
        };
        anyhow::bail!("{reference} {state}");
    }
    patch(target, &deployment, json!({"spec": {"paused": paused}}), doing).await?;
    output::line(&format!("{reference} {done}"))?;
    Ok(())
}

/// Merges `change` into the deployment if it is still as it was seen.
async fn patch(target: &Target, seen: &SkyDeployment, mut change: Value, doing: &str) -> anyhow::Result<()> {
    let at = &target.host.connection;
    change["metadata"]["resourceVersion"] = json!(seen.resource_version());
    let api: Api<SkyDeployment> = Api::namespaced(at.client.clone(), &target.host.namespace);
    api.patch(&target.name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .at(at, format!("{doing} {}", target.reference()))?;
    Ok(())
}
