//! What documents written by hand mean, and that what the operator writes of a cluster means the same as its nodes.

use proptest::prelude::*;
use serde_json::{Value, json};
use sky_core::workload::AcceleratorNeed;

use super::*;

fn read(status: Value) -> Result<Cluster, FleetError> {
    let document = json!({"metadata": {"name": "c"}, "spec": {"manager": "kubernetes"}, "status": status});
    cluster(&serde_json::from_value(document).expect("a SkyCluster"))
}

/// Replicas of `cpu` millicores that fit; -1 when the cluster has not reported.
fn fits(status: Value, cpu: i64) -> i64 {
    let needs = Arc::new(Needs {
        resources: Resources::new(cpu, 0),
        ..Needs::default()
    });
    let cluster = read(status).expect("a status");
    cluster.room.map_or(-1, |room| room.fit(&needs))
}

#[test]
fn a_cluster_that_says_nothing_has_not_reported() {
    assert_eq!(fits(json!({}), 1000), -1);
    assert_eq!(fits(json!({"observedGeneration": -1}), 1000), -1);
    assert_eq!(fits(json!({"nodes": 3}), 1000), -1);
    assert_eq!(fits(json!({"nodes": 0}), 1000), 0);
}

#[test]
fn amounts_without_shapes_are_those_of_equal_nodes() {
    assert_eq!(fits(json!({"capacity": {"cpu": "4"}}), 1000), 4);
    assert_eq!(
        fits(
            json!({"allocatable": {"cpu": "4"}, "free": {"cpu": "2500m"}}),
            1000
        ),
        2
    );
    assert_eq!(fits(json!({"free": {"cpu": "4", "memory": "1Gi"}}), 3000), 1);
    assert_eq!(fits(json!({"nodes": 2, "free": {"cpu": "3"}}), 1000), 2);
}

#[test]
fn shapes_are_expanded_and_what_free_does_not_name_is_free() {
    let shape = json!({"count": 3, "allocatable": {"cpu": "4", "pods": "10"}, "free": {"cpu": "1500m"}});
    assert_eq!(fits(json!({"nodeShapes": [shape]}), 1000), 3);
    assert_eq!(
        fits(
            json!({"nodeShapes": [{"count": 1, "allocatable": {"cpu": "4"}}]}),
            1000
        ),
        4
    );
    let pods = json!({"count": 1, "allocatable": {"cpu": "4", "pods": "10"}, "free": {"pods": "2"}});
    assert_eq!(fits(json!({"nodeShapes": [pods]}), 1000), 2);
}

#[test]
fn nodes_that_no_shape_describes_hold_nothing_now_but_would_if_they_were_ready() {
    let status = json!({"nodes": 2, "allocatable": {"cpu": "10", "memory": "1Gi"},
        "nodeShapes": [{"count": 1, "allocatable": {"cpu": "2", "memory": "1Gi"}}]});
    let room = read(status).expect("a status").room.expect("nodes");
    let needs = Arc::new(Needs {
        resources: Resources::new(4000, 0),
        ..Needs::default()
    });
    assert_eq!((room.fit(&needs), room.empty_fit(&needs)), (0, 2));
}

#[test]
fn readiness_is_believed_where_it_is_said() {
    let condition = |kind: &str, status: &str| {
        json!({"conditions": [{"type": kind, "status": status, "reason": "Unreachable", "message": "no answer",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    };
    let health = |status: Value| read(status).expect("a status").health;
    assert_eq!(health(json!({})), Health::Ready);
    assert_eq!(health(condition("Ready", "True")), Health::Ready);
    let silent = Health::NotReady {
        reason: "Unreachable".into(),
        message: "no answer".into(),
    };
    assert_eq!(health(condition("Ready", "Unknown")), silent);
    assert!(matches!(
        health(condition("Reachable", "True")),
        Health::NotReady { .. }
    ));
}

#[test]
fn a_cluster_carries_the_labels_that_every_cluster_counts_as_carrying() {
    let labels = read(json!({})).expect("a cluster").labels;
    assert_eq!(labels["skymanager.io/cluster-name"], "c");
    assert_eq!(labels["skymanager.io/manager"], "kubernetes");
}

#[test]
fn a_bad_amount_is_named_by_its_field() {
    let words = |status: Value| read(status).map(|_| ()).expect_err("a refusal").to_string();
    let shape = |free: &str| json!({"nodeShapes": [{"count": 1, "free": {"cpu": free}}]});
    assert!(
        words(shape("four")).starts_with("status.nodeShapes[0].allocatable.cpu: failed to read \"four\"")
    );
    assert!(
        words(json!({"nodeShapes": [{"count": 1_000_000}]})).starts_with("status.nodeShapes: must be from 0")
    );
    assert!(words(json!({"nodes": -1})).starts_with("status.nodes: must be"));
}

#[test]
fn labels_that_no_status_shows_are_told() {
    let shape = json!({"count": 1, "allocatable": {"cpu": "4"}, "labels": {"disk": "ssd"}});
    let clusters = [read(json!({"nodeShapes": [shape]})).expect("a status")];
    let mut needs = Needs::default();
    for key in ["disk", "rack", "kubernetes.io/arch"] {
        needs.node_labels.insert(key.into(), "x".into());
    }
    let unseen: Vec<String> = unseen_labels(&needs, clusters.iter()).into_iter().collect();
    assert_eq!(unseen, ["rack"]);
}

fn resources(cpu: i64, memory: i64, gpus: i64, of: &str) -> Resources {
    let mut resources = Resources::new(cpu * 250, memory << 20);
    if gpus > 0 {
        resources.extended.insert(of.to_owned(), gpus);
    }
    resources
}

prop_compose! {
    fn any_node()(
        ready in prop::bool::weighted(0.8),
        unschedulable in prop::bool::weighted(0.2),
        zone in prop::sample::select(vec!["a", "b"]),
        tainted in prop::bool::weighted(0.2),
        (cpu, memory, gpus) in (0_i64..20, 0_i64..64, 0_i64..5),
        used in (-2_i64..20, 0_i64..64, 0_i64..5),
        (pods, used_pods) in (0_i64..12, 0_i64..12),
        nvidia in any::<bool>(),
    ) -> Node {
        let (resource, model) = if nvidia { ("nvidia.com/gpu", "NVIDIA-A100") } else { ("amd.com/gpu", "MI210") };
        let allocatable = resources(cpu, memory, gpus, resource);
        let mut free = allocatable.clone();
        free.subtract(&resources(used.0, used.1, used.2.min(gpus), resource));
        free.extended.retain(|name, _| allocatable.extended.contains_key(name));
        let taint = Taint { key: "dedicated".into(), value: "x".into(), effect: Effect::NoSchedule };
        Node {
            ready,
            unschedulable,
            labels: [("topology.kubernetes.io/zone".to_owned(), zone.to_owned())].into(),
            taints: tainted.then_some(taint).into_iter().collect(),
            accelerator: (gpus > 0).then(|| model.to_owned()),
            capacity: allocatable.clone(),
            allocatable,
            free,
            pods,
            free_pods: (pods - used_pods).max(0),
            ..Node::default()
        }
    }
}

prop_compose! {
    fn any_needs()(
        (cpu, memory) in (0_i64..8, 0_i64..32),
        zone in prop::option::of(prop::sample::select(vec!["a", "b"])),
        accelerator in prop::option::of((prop::option::of(Just("A100")), 1_i64..3)),
    ) -> Arc<Needs> {
        let zone = zone.map(|zone| ("topology.kubernetes.io/zone".to_owned(), zone.to_owned()));
        Arc::new(Needs {
            resources: resources(cpu, memory, 0, ""),
            accelerator: accelerator.map(|(model, count)| AcceleratorNeed { model: model.map(str::to_owned), count }),
            node_labels: zone.into_iter().collect(),
            ..Needs::default()
        })
    }
}

proptest! {
    #[test]
    fn what_a_status_describes_takes_what_its_nodes_take(
        nodes in prop::collection::vec(any_node(), 0..12),
        needs in any_needs(),
    ) {
        let nodes: Vec<Arc<Node>> = nodes.into_iter().map(Arc::new).collect();
        let ready = json!({"conditions": [{"type": "Ready", "status": "True", "reason": "Connected", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        let mut status: SkyClusterStatus = serde_json::from_value(ready).expect("a status");
        cluster::describe(&nodes, &mut status);
        let described = super::nodes(&status).expect("a status").expect("nodes");
        let (exact, read) = (Room::new(nodes.into()), Room::new(described.into()));
        prop_assert_eq!(exact.fit(&needs), read.fit(&needs));
        prop_assert_eq!(exact.allocatable(), read.allocatable());
        prop_assert_eq!(exact.accelerators(), read.accelerators());
    }
}
