//! More room never makes a workload wait that would have been placed.
//!
//! But for accelerators asked for without the name of a resource, on a cluster of several vendors: a share is one
//! object with one template, so it asks by one name, the one the nodes have most of, be they free or not. A node of
//! another vendor may change that name: the last test shows it.

use proptest::prelude::*;
use sky_core::cluster::Node;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{AcceleratorNeed, Needs, Workload};

use crate::fleets::cases;
use crate::fleets::clusters::{fresh, node, room, snapshots};
use crate::fleets::parts;
use crate::fleets::workloads::{plain, workloads};

/// Gives the cluster at `index` other nodes.
fn renewed(snapshot: &Snapshot, index: usize, change: impl FnOnce(Vec<Node>) -> Vec<Node>) -> Snapshot {
    let mut other = fresh(snapshot);
    let count = other.clusters.len();
    if count > 0
        && let Some(cluster) = other.clusters.values_mut().nth(index % count)
        && let Some(old) = &cluster.room
    {
        let nodes = old.nodes().iter().map(|node| (**node).clone()).collect();
        cluster.room = Some(room(change(nodes)));
    }
    other
}

/// The name by which the cluster offers what the workload asks for stays the same.
fn same_names(workload: &Workload, before: &Snapshot, after: &Snapshot) -> bool {
    let name = |snapshot: &Snapshot, cluster: &str| {
        let room = snapshot
            .clusters
            .get(cluster)
            .and_then(|cluster| cluster.room.clone());
        room.and_then(|room| room.accelerator(&workload.needs))
    };
    let mut clusters = before.clusters.keys();
    clusters.all(|cluster| name(before, cluster).is_none() || name(before, cluster) == name(after, cluster))
}

fn stays_placed(workload: &Workload, before: &Snapshot, after: &Snapshot) -> Result<(), TestCaseError> {
    let scheduler = Scheduler::default();
    let (then, now) = (
        scheduler.decide(workload, before),
        scheduler.decide(workload, after),
    );
    for (then, now) in then.verdicts.iter().zip(&now.verdicts) {
        prop_assert!(
            then.refusal.is_some() || now.refusal.is_none(),
            "{} became infeasible",
            then.cluster
        );
        prop_assert!(now.fit >= then.fit, "{} takes fewer", then.cluster);
    }
    // A better-preferred cluster is used rather than a roomier one when not all can be, unless all must be placed.
    if workload.spread.max_clusters.is_some() && !workload.gang {
        return Ok(());
    }
    let total = |decision| parts(decision).iter().map(|(_, count)| count).sum::<i64>();
    prop_assert!(
        total(&now) >= total(&then),
        "{:?} became {:?}",
        then.outcome,
        now.outcome
    );
    Ok(())
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_node_more_hurts_nobody(
        snapshot in snapshots(), workload in workloads(), index in 0..6_usize, more in node("more".into()),
    ) {
        let after = renewed(&snapshot, index, |mut nodes| {
            nodes.push(more);
            nodes
        });
        if same_names(&workload, &snapshot, &after) {
            stays_placed(&workload, &snapshot, &after)?;
        }
    }

    #[test]
    fn what_becomes_free_hurts_nobody(
        snapshot in snapshots(), workload in workloads(), index in 0..6_usize, cpu in 0..2000_i64, pieces in 0..3_i64,
    ) {
        let after = renewed(&snapshot, index, |mut nodes| {
            for node in &mut nodes {
                node.free.cpu += cpu;
                node.free_pods += pieces;
                node.free.extended.values_mut().for_each(|amount| *amount += pieces);
            }
            nodes
        });
        stays_placed(&workload, &snapshot, &after)?;
    }

    #[test]
    fn a_node_that_recovers_hurts_nobody(snapshot in snapshots(), workload in workloads(), index in 0..6_usize) {
        let after = renewed(&snapshot, index, |mut nodes| {
            for node in &mut nodes {
                node.ready = true;
                node.unschedulable = false;
                node.taints.clear();
            }
            nodes
        });
        stays_placed(&workload, &snapshot, &after)?;
    }

    #[test]
    fn a_cluster_more_hurts_nobody(snapshot in snapshots(), workload in workloads(), index in 0..6_usize) {
        // A better-preferred cluster is used rather than a roomier one when not all can be, unless all must be placed.
        if workload.spread.max_clusters.is_some() && !workload.gang {
            return Ok(());
        }
        let mut before = fresh(&snapshot);
        let name = snapshot.clusters.keys().nth(index).cloned();
        if let Some(name) = name {
            before.clusters.remove(&name);
        }
        let scheduler = Scheduler::default();
        let total = |snapshot| parts(&scheduler.decide(&workload, snapshot)).iter().map(|(_, count)| count).sum::<i64>();
        prop_assert!(total(&snapshot) >= total(&before));
    }
}

#[test]
fn more_of_another_vendor_hides_nothing_that_is_free() {
    let gpus = |name: &str, resource: &str, all: i64, free: i64| {
        let mut node = Node {
            name: name.into(),
            ready: true,
            pods: 10,
            free_pods: 10,
            ..Node::default()
        };
        node.allocatable.extended.insert(resource.into(), all);
        node.free.extended.insert(resource.into(), free);
        node
    };
    let need = AcceleratorNeed {
        model: None,
        count: 1,
    };
    let needs = std::sync::Arc::new(Needs {
        accelerator: Some(need),
        ..plain().needs.as_ref().clone()
    });
    let nvidia = gpus("a", "nvidia.com/gpu", 2, 2);
    let busy = gpus("b", "amd.com/gpu", 4, 0);
    assert_eq!(room([nvidia.clone()]).fit(&needs), 2);
    let mixed = room([nvidia, busy]);
    assert_eq!(
        (mixed.fit(&needs), mixed.accelerator(&needs).as_deref()),
        (2, Some("nvidia.com/gpu"))
    );
}
