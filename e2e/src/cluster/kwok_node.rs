//! Simulated nodes: kwok plays the kubelet of any number of nodes, after the stages in `assets/`.
//! Called by `Cluster::up` for members of kind kwok.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::control_plane::launch;
use super::{Cluster, node};
use crate::plan::MemberSpec;
use crate::slot::Port;
use crate::wait;

/// Starts kwok, makes the nodes and waits until they are Ready.
pub(super) async fn start(cluster: &Cluster, spec: &MemberSpec) -> Result<()> {
    let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/kwok/stages.yaml");
    launch(
        cluster,
        "kwok",
        &[
            "--kubeconfig=admin.kubeconfig".to_owned(),
            format!("--config={}", stages.display()),
            "--manage-all-nodes".to_owned(),
            // Without leases the nodes turn NotReady after 40 s.
            "--node-lease-duration-seconds=40".to_owned(),
            format!("--server-address=127.0.0.1:{}", cluster.port(Port::Kwok)),
        ],
    )?;
    let nodes: Api<Node> = Api::all(cluster.client().await?);
    let params = PostParams::default();
    try_join_all((0..spec.nodes).map(async |index| {
        let node: Node = serde_json::from_value(document(&cluster.node_name(index), spec))?;
        wait::until("a node to be made", Duration::from_secs(30), async || match nodes
            .create(&params, &node)
            .await
        {
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
            other => Ok(other.map(|_| ())?),
        })
        .await
    }))
    .await?;
    node::ready(cluster, &cluster.daemon("kwok")?, spec).await
}

fn document(name: &str, spec: &MemberSpec) -> Value {
    let mut labels = spec.labels.clone();
    for (key, value) in [
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("type", "kwok"),
    ] {
        labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let room = json!({
        "cpu": spec.cpu.to_string(),
        "memory": spec.memory,
        "pods": spec.pods.to_string(),
    });
    json!({
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "status": {"capacity": room, "allocatable": room},
    })
}
