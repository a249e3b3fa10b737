//! What both kinds of node need from outside: to be waited for, and patched with what they cannot say
//! themselves. Called by `real_node` and `kwok_node`.

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::Cluster;
use crate::daemon::Daemon;
use crate::plan::MemberSpec;

const BOUND: Duration = Duration::from_secs(120);
/// Set by a kubelet whose cloud provider is somebody else; that is us.
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// Waits until all nodes are Ready and without taints; ends early when `daemon` ends.
pub(super) async fn ready(cluster: &Cluster, daemon: &Daemon, spec: &MemberSpec) -> Result<()> {
    let nodes: Api<Node> = Api::all(cluster.client().await?);
    let wanted = usize::try_from(spec.nodes)?;
    daemon
        .ready(BOUND, async || {
            let list = nodes.list(&ListParams::default()).await?;
            let ready = list.items.iter().filter(|node| is_ready(node)).count();
            if ready >= wanted {
                Ok(())
            } else {
                bail!("{ready} of {wanted} nodes Ready")
            }
        })
        .await
}

/// Finishes a real node once its kubelet has registered it: a loopback address can only be set from outside.
pub(super) async fn initialize(client: Client, daemon: &Daemon, name: &str, spec: &MemberSpec) -> Result<()> {
    let nodes: Api<Node> = Api::all(client);
    let params = PatchParams::default();
    daemon
        .ready(BOUND, async || {
            let node = nodes.get(name).await?;
            let addresses = json!({"status": {"addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ]}});
            nodes
                .patch_status(name, &params, &Patch::Strategic(addresses))
                .await?;
            let taints: Vec<_> = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
            let kept: Vec<_> = taints
                .into_iter()
                .filter(|taint| taint.key != UNINITIALIZED)
                .collect();
            // The version keeps us from undoing what the node controller does at the same time.
            let version = nodes.get(name).await?.metadata.resource_version;
            let patch = json!({
                "metadata": {"labels": spec.labels, "resourceVersion": version},
                "spec": {"taints": kept},
            });
            nodes.patch(name, &params, &Patch::Merge(patch)).await?;
            Ok(())
        })
        .await
}

fn is_ready(node: &Node) -> bool {
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let tainted = node
        .spec
        .as_ref()
        .is_some_and(|spec| spec.taints.iter().flatten().next().is_some());
    !tainted
        && conditions
            .into_iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
