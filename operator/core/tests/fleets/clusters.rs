//! Random members: nodes with little room and some accelerators, few of them cordoned, silent or tainted.

use std::sync::Arc;

use proptest::prelude::*;
use sky_core::cluster::{Cluster, Health, Manager, Node};
use sky_core::resources::Resources;
use sky_core::room::Room;
use sky_core::snapshot::Snapshot;

use super::rules;
use super::{chance, one_of};

/// Memory comes in pieces of this size.
pub const PIECE: i64 = 1 << 28;

/// Models of accelerators and the resource by which a node offers them.
const ACCELERATORS: [(&str, &str); 3] = [
    ("NVIDIA-A100-SXM4-80GB", "nvidia.com/gpu"),
    ("NVIDIA-T4", "nvidia.com/gpu"),
    ("AMD_Instinct_MI210", "amd.com/gpu"),
];

/// A node; `name` makes it one of its kind.
pub fn node(name: String) -> impl Strategy<Value = Node> {
    let resources = (
        0..=4_i64,
        0..=4_i64,
        -200..=2000_i64,
        -1..=4_i64,
        0..=6_i64,
        0..=6_i64,
    );
    let accelerators = (prop::option::weighted(0.3, 0..3_usize), 1..=4_i64, 0..=4_i64);
    let state = (
        chance(92),
        chance(8),
        rules::labels(),
        rules::taints(),
        chance(10),
    );
    (resources, accelerators, state).prop_map(move |(resources, accelerators, state)| {
        let (cpu, memory, less_cpu, less_memory, pods, less_pods) = resources;
        let (kind, pieces, less_pieces) = accelerators;
        let (ready, unschedulable, labels, taints, has_fpga) = state;
        let mut allocatable = Resources::new(cpu * 1000, memory * 4 * PIECE);
        let mut free = Resources::new(cpu * 1000 - less_cpu, (memory * 4 - less_memory) * PIECE);
        if let Some(kind) = kind {
            let name = ACCELERATORS[kind].1;
            allocatable.extended.insert(name.into(), pieces);
            free.extended.insert(name.into(), pieces - less_pieces);
        }
        if has_fpga {
            allocatable.extended.insert("example.com/fpga".into(), 2);
            free.extended.insert("example.com/fpga".into(), 1);
        }
        Node {
            name: name.clone(),
            ready,
            unschedulable,
            labels,
            taints,
            accelerator: kind.map(|kind| ACCELERATORS[kind].0.to_owned()),
            capacity: allocatable.clone(),
            allocatable,
            free,
            pods: pods + 2,
            free_pods: pods + 2 - less_pods,
        }
    })
}

/// The room on these nodes, nothing promised.
pub fn room(nodes: impl IntoIterator<Item = Node>) -> Arc<Room> {
    Arc::new(Room::new(Arc::new(nodes.into_iter().map(Arc::new).collect())))
}

fn nodes(cluster: usize) -> impl Strategy<Value = Vec<Node>> {
    (0..=4_usize).prop_flat_map(move |count| {
        let each: Vec<_> = (0..count)
            .map(|index| node(format!("c{cluster}-n{index}")))
            .collect();
        each
    })
}

fn cluster(index: usize) -> impl Strategy<Value = Cluster> {
    let state = (chance(8), chance(4), chance(8), chance(5), chance(4));
    let rules = (rules::labels(), rules::taints());
    (state, rules, nodes(index)).prop_map(move |(state, (mut labels, taints), nodes)| {
        let (cordoned, leaving, silent, unreported, slurm) = state;
        let name = format!("c{index}");
        let manager = if slurm { "slurm" } else { "kubernetes" };
        labels.insert("skymanager.io/cluster-name".into(), name.clone());
        labels.insert("skymanager.io/manager".into(), manager.into());
        let silence = Health::NotReady {
            reason: "Unreachable".into(),
            message: "no answer".into(),
        };
        Cluster {
            name: name.into(),
            slurm: None,
            manager: if slurm {
                Manager::Slurm
            } else {
                Manager::Kubernetes
            },
            labels: labels.into(),
            taints,
            unschedulable: cordoned,
            leaving,
            health: if silent { silence } else { Health::Ready },
            room: (!unreported).then(|| room(nodes)),
        }
    })
}

/// Up to six members, the policies of two namespaces and perhaps a SkyNamespace.
pub fn snapshots() -> impl Strategy<Value = Snapshot> {
    let clusters = (0..=6_usize).prop_flat_map(|count| (0..count).map(cluster).collect::<Vec<_>>());
    (clusters, rules::policies(), rules::namespaces()).prop_map(|(clusters, policies, namespaces)| Snapshot {
        clusters: clusters
            .into_iter()
            .map(|cluster| (cluster.name.clone(), cluster))
            .collect(),
        policies,
        namespaces,
    })
}

/// A model as users call it.
pub fn model() -> impl Strategy<Value = String> {
    one_of(&["A100", "t4", "mi210", "H100", "NVIDIA"])
}

/// The same with nothing worked out and nothing promised.
pub fn fresh(snapshot: &Snapshot) -> Snapshot {
    let mut fresh = snapshot.clone();
    for cluster in fresh.clusters.values_mut() {
        cluster.room = cluster
            .room
            .as_ref()
            .map(|room| Arc::new(Room::new(room.nodes().clone())));
    }
    fresh
}
