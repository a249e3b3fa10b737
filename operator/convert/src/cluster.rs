//! SkyCluster as core sees it, and nodes as a SkyCluster's status shows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sky_core::cluster::{Cluster, Effect, Health, Images, Manager, Node, SlurmRoom, Taint};
use sky_core::resources::{CPU, MEMORY, Resources};
use sky_crds::SkyCluster;
use sky_crds::cluster::{
    ContainerRuntime, Manager as ApiManager, NodeShape, NodeTaint, SkyClusterStatus, SlurmAccess,
};
use sky_crds::names;

/// Shapes that a status holds at most.
const MOST_SHAPES: usize = 64;

/// Node labels that a shape keeps.
pub(crate) const SHAPE_LABELS: [&str; 4] = [
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
];

/// Seconds of silence after which a cluster is lost, unless it says otherwise.
pub const LOST_AFTER: i64 = 300;

/// Replicas that an array of a Slurm cluster may have unless it says otherwise: Slurm's own MaxArraySize.
pub const MAX_ARRAY_SIZE: i32 = 1001;

/// The cluster of `api`, without nodes and not ready: the fleet knows those.
#[must_use]
pub fn cluster(api: &SkyCluster) -> Cluster {
    let name = api.metadata.name.clone().unwrap_or_default();
    let (manager, word) = match api.spec.manager {
        ApiManager::Kubernetes => (Manager::Kubernetes, "kubernetes"),
        ApiManager::Slurm => (Manager::Slurm, "slurm"),
    };
    let mut labels = api.metadata.labels.clone().unwrap_or_default();
    labels.insert(names::CLUSTER_NAME_LABEL.into(), name.clone());
    labels.insert(names::CLUSTER_MANAGER_LABEL.into(), word.into());
    let taints = api.spec.taints.iter().map(|taint| Taint {
        key: taint.key.clone(),
        value: taint.value.clone().unwrap_or_default(),
        effect: crate::selector::effect(taint.effect),
    });
    Cluster {
        name: name.into(),
        manager,
        slurm: api.spec.slurm.as_ref().map(|slurm| Arc::new(slurm_room(slurm))),
        labels: labels.into(),
        taints: taints.collect(),
        leaving: api.metadata.deletion_timestamp.is_some(),
        unschedulable: api.spec.unschedulable.unwrap_or(false),
        health: Health::NotReady {
            reason: "NotConnected".into(),
            message: "not connected yet".into(),
        },
        room: None,
    }
}

fn slurm_room(slurm: &SlurmAccess) -> SlurmRoom {
    let listed = || Images::Listed(slurm.image_map.keys().cloned().collect());
    SlurmRoom {
        images: match slurm.container_runtime {
            None | Some(ContainerRuntime::None) => Images::None,
            Some(ContainerRuntime::Oci) => listed(),
            Some(ContainerRuntime::Apptainer | ContainerRuntime::Pyxis) => Images::Any,
        },
        most_replicas: Some(i64::from(slurm.max_array_size.unwrap_or(MAX_ARRAY_SIZE))),
    }
}

/// Puts what `nodes` add up to into `status`: counts, sums and shapes.
pub fn describe(nodes: &[Arc<Node>], status: &mut SkyClusterStatus) {
    let sum = |part: fn(&Node) -> &Resources, which: fn(&Node) -> bool| {
        let mut total = Resources::default();
        nodes
            .iter()
            .filter(|node| which(node))
            .for_each(|node| total.add(part(node)));
        quantities(&total)
    };
    status.nodes = i64::try_from(nodes.len()).ok();
    status.capacity = sum(|node| &node.capacity, |_| true);
    status.allocatable = sum(|node| &node.allocatable, |_| true);
    status.free = sum(|node| &node.free, |node| node.ready && !node.unschedulable);
    let mut shapes = shapes(nodes);
    status.shapes_truncated = (shapes.len() > MOST_SHAPES).then_some(true);
    shapes.truncate(MOST_SHAPES);
    status.node_shapes = shapes.into_iter().map(|(_, shape)| shape).collect();
}

/// Equal schedulable nodes merged, those with most free first.
fn shapes(nodes: &[Arc<Node>]) -> Vec<((i64, i64), NodeShape)> {
    let mut shapes: Vec<((i64, i64), NodeShape)> = Vec::new();
    for node in nodes.iter().filter(|node| node.ready && !node.unschedulable) {
        let shape = shape(node);
        let known = shapes.iter_mut().find(|(_, known)| {
            NodeShape {
                count: 1,
                ..known.clone()
            } == shape
        });
        match known {
            Some((_, known)) => known.count += 1,
            None => shapes.push(((node.free.cpu, node.free.memory), shape)),
        }
    }
    shapes.sort_by(|(a, _), (b, _)| b.cmp(a));
    shapes
}

fn shape(node: &Node) -> NodeShape {
    let labels = SHAPE_LABELS
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), node.labels.get(*key)?.clone())));
    let taints = node.taints.iter().map(|taint| NodeTaint {
        key: taint.key.clone(),
        value: (!taint.value.is_empty()).then(|| taint.value.clone()),
        effect: match taint.effect {
            Effect::NoSchedule => "NoSchedule".into(),
            Effect::NoExecute => "NoExecute".into(),
        },
    });
    NodeShape {
        count: 1,
        allocatable: with_pods(&node.allocatable, node.pods),
        free: with_pods(&node.free, node.free_pods),
        accelerator: node.accelerator.clone(),
        taints: taints.collect(),
        labels: labels.collect(),
    }
}

fn with_pods(resources: &Resources, pods: i64) -> BTreeMap<String, Quantity> {
    let mut all = quantities(resources);
    all.insert("pods".into(), Quantity(pods.max(0).to_string()));
    all
}

/// Integers as quantities; what is over-committed shows as 0.
#[must_use]
pub fn quantities(resources: &Resources) -> BTreeMap<String, Quantity> {
    let mut all = BTreeMap::from([
        (CPU.to_owned(), Quantity(cpu(resources.cpu.max(0)))),
        (MEMORY.to_owned(), Quantity(bytes(resources.memory.max(0)))),
    ]);
    for (name, amount) in &resources.extended {
        let text = if name == "ephemeral-storage" {
            bytes((*amount).max(0))
        } else {
            (*amount).max(0).to_string()
        };
        all.insert(name.clone(), Quantity(text));
    }
    all
}

fn cpu(milli: i64) -> String {
    if milli % 1000 == 0 {
        (milli / 1000).to_string()
    } else {
        format!("{milli}m")
    }
}

/// In the largest unit that keeps it exact.
fn bytes(bytes: i64) -> String {
    for (unit, shift) in [("Gi", 30), ("Mi", 20), ("Ki", 10)] {
        if bytes > 0 && bytes % (1 << shift) == 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, free: i64) -> Node {
        Node {
            name: name.into(),
            ready: true,
            allocatable: Resources::new(2000, 2 << 30),
            free: Resources::new(free, 2 << 30),
            pods: 10,
            free_pods: 10,
            ..Node::default()
        }
    }

    #[test]
    fn equal_nodes_are_one_shape_and_cordoned_ones_are_not_free() {
        let mut cordoned = node("d", 2000);
        cordoned.unschedulable = true;
        let mut status = SkyClusterStatus::default();
        describe(
            &[node("a", 500), node("b", 2000), node("c", 2000), cordoned].map(Arc::new),
            &mut status,
        );
        let counts: Vec<i64> = status.node_shapes.iter().map(|shape| shape.count).collect();
        assert_eq!(counts, [2, 1]);
        assert_eq!(status.free["cpu"].0, "4500m");
        assert_eq!(status.allocatable["cpu"].0, "8");
        assert_eq!(status.nodes, Some(4));
    }

    #[test]
    fn amounts_are_exact_and_short() {
        assert_eq!((cpu(2000), cpu(1500)), ("2".into(), "1500m".into()));
        assert_eq!(
            (bytes(3 << 30), bytes(3 << 20), bytes(1001), bytes(0)),
            ("3Gi".into(), "3Mi".into(), "1001".into(), "0".into())
        );
    }
}
