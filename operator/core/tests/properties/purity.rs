//! A decision is a function of its input: not of what was asked before, nor of the order in which lists come.

use proptest::prelude::*;
use sky_core::cluster::Node;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Strategy as Proportions, Workload};

use crate::fleets::clusters::{fresh, room, snapshots};
use crate::fleets::workloads::{needs, workloads};
use crate::fleets::{cases, parts};

/// The same clusters with nodes, and the same policies, in another order.
fn shuffled(snapshot: &Snapshot) -> Snapshot {
    let mut other = snapshot.clone();
    for cluster in other.clusters.values_mut() {
        cluster.room = cluster.room.as_ref().map(|old| {
            let nodes: Vec<Node> = old.nodes().iter().rev().map(|node| (**node).clone()).collect();
            room(nodes)
        });
    }
    for policies in other.policies.values_mut() {
        policies.reverse();
    }
    other
}

/// The same rules in another order.
fn reversed(workload: &Workload) -> Workload {
    let mut other = workload.clone();
    for filter in &mut other.filters {
        filter.expressions.reverse();
    }
    other.filters.reverse();
    other.preferences.reverse();
    other.tolerations.reverse();
    if let Proportions::Weighted(parts) = &mut other.spread.strategy {
        parts.reverse();
    }
    let mut needs = (*other.needs).clone();
    needs.node_terms.reverse();
    needs.tolerations.reverse();
    other.needs = needs.into();
    other
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_other_shapes_asked_before_changes_nothing(
        snapshot in snapshots(), workload in workloads(), others in prop::collection::vec(needs(), 100),
    ) {
        let scheduler = Scheduler::default();
        let cold = scheduler.decide(&workload, &fresh(&snapshot));
        let first = scheduler.decide(&workload, &snapshot);
        prop_assert_eq!(&first, &cold);
        for needs in others {
            let _ = scheduler.decide(&Workload { needs: needs.into(), ..workload.clone() }, &snapshot);
        }
        prop_assert_eq!(&scheduler.decide(&workload, &snapshot), &cold);
        prop_assert_eq!(&scheduler.decide(&workload, &snapshot), &cold, "asked again");
    }

    #[test]
    fn after_a_reservation_a_warm_fleet_answers_as_a_cold_one(
        snapshot in snapshots(), workloads in prop::collection::vec(workloads(), 2..8),
    ) {
        let scheduler = Scheduler::default();
        let (mut warm, mut cold) = (snapshot.clone(), fresh(&snapshot));
        for workload in &workloads {
            let _ = scheduler.decide(workload, &warm);
        }
        for workload in &workloads {
            let decision = scheduler.decide(workload, &warm);
            prop_assert_eq!(&decision, &scheduler.decide(workload, &cold));
            cold = fresh(&snapshot);
            for (cluster, count) in parts(&decision) {
                warm.reserve(cluster, &workload.needs, *count);
            }
            for (name, cluster) in &mut cold.clusters {
                // What is left on each node becomes what is free there: nothing else may matter.
                cluster.room = warm.clusters[name].room.as_ref().map(|old| {
                    room(old.rows().zip(old.free_pods()).map(|((node, free), free_pods)| Node {
                        free: free.clone(),
                        free_pods,
                        ..node.clone()
                    }))
                });
            }
        }
    }

    #[test]
    fn the_order_of_lists_changes_nothing(
        snapshot in snapshots(), workloads in prop::collection::vec(workloads(), 1..4),
    ) {
        let scheduler = Scheduler::default();
        let (mut one, mut other) = (fresh(&snapshot), shuffled(&snapshot));
        for workload in &workloads {
            let decision = scheduler.decide(workload, &one);
            prop_assert_eq!(&decision, &scheduler.decide(&reversed(workload), &other));
            for (cluster, count) in parts(&decision) {
                one.reserve(cluster, &workload.needs, *count);
                other.reserve(cluster, &workload.needs, *count);
            }
        }
    }
}
