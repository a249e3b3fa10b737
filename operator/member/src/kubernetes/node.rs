//! A Kubernetes node as core sees it, without what pods use of it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node as ApiNode;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use sky_core::cluster::{Effect, Node, Taint};
use sky_core::quantity;
use sky_core::resources::Resources;

use super::pod::amounts;

/// Labels under which an accelerator's model is published, the most exact first: by the feature discovery of NVIDIA, AMD
/// (the older name too) and Intel, then by GKE, EKS, Karpenter and ACK. A node's model is the first that it has; `object`
/// asks for models by the same labels. (AKS publishes the vendor only.)
pub(super) const ACCELERATOR_LABELS: [&str; 10] = [
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "beta.amd.com/gpu.product-name",
    "gpu.intel.com/product",
    "cloud.google.com/gke-accelerator",
    "eks.amazonaws.com/instance-gpu-name",
    "karpenter.k8s.aws/instance-gpu-name",
    "karpenter.azure.com/sku-gpu-name",
    "aliyun.accelerator/nvidia_name",
    "alibabacloud.com/gpu-model-series",
];

/// Taints that repeat what a node's readiness and cordon say already.
const SAID_ALREADY: [&str; 3] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
];

/// The node as if nothing ran on it: `free` equals `allocatable`.
pub(super) fn read(node: &ApiNode) -> Node {
    let spec = node.spec.clone().unwrap_or_default();
    let status = node.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let taints = spec.taints.unwrap_or_default().into_iter().filter_map(|taint| {
        let effect = match taint.effect.as_str() {
            "NoSchedule" => Effect::NoSchedule,
            "NoExecute" => Effect::NoExecute,
            _ => return None,
        };
        let own = SAID_ALREADY.contains(&taint.key.as_str());
        (!own).then(|| Taint {
            key: taint.key,
            value: taint.value.unwrap_or_default(),
            effect,
        })
    });
    let labels = node.labels().clone();
    let allocatable = status.allocatable.unwrap_or_default();
    let pods = allocatable
        .get("pods")
        .and_then(|pods| quantity::units(&pods.0).ok())
        .unwrap_or(0);
    let room = sum(&allocatable);
    Node {
        name: node.name_any(),
        ready,
        unschedulable: spec.unschedulable.unwrap_or(false),
        taints: taints.collect(),
        accelerator: ACCELERATOR_LABELS
            .iter()
            .find_map(|key| labels.get(*key).cloned()),
        labels,
        capacity: sum(&status.capacity.unwrap_or_default()),
        free: room.clone(),
        allocatable: room,
        pods,
        free_pods: pods,
    }
}

fn sum(quantities: &BTreeMap<String, Quantity>) -> Resources {
    amounts(
        &quantities
            .iter()
            .map(|(name, quantity)| (name.clone(), quantity.0.clone()))
            .collect(),
    )
}
