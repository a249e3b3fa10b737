//! Room that is promised: it was there, and taking it in steps is taking it at once.

use proptest::prelude::*;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;

use crate::fleets::clusters::{fresh, snapshots};
use crate::fleets::workloads::{needs, workloads};
use crate::fleets::{cases, parts};

/// What is left on each node of each cluster.
fn left(snapshot: &Snapshot) -> Vec<String> {
    let rooms = snapshot
        .clusters
        .values()
        .filter_map(|cluster| cluster.room.as_ref());
    let each = rooms.flat_map(|room| {
        let rows = room.rows().zip(room.free_pods());
        let lines = rows.map(|((node, free), pods)| format!("{}: {free}, pods {pods}", node.name));
        lines.chain([format!("all: {}", room.free())]).collect::<Vec<_>>()
    });
    each.collect()
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn room_that_is_taken_was_there(snapshot in snapshots(), workload in workloads()) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let mut after = snapshot.clone();
        for (cluster, count) in parts(&decision) {
            after.reserve(cluster, &workload.needs, *count);
        }
        for (name, cluster) in &after.clusters {
            let before = snapshot.clusters[name].room.iter().flat_map(|room| room.rows().zip(room.free_pods()));
            let now = cluster.room.iter().flat_map(|room| room.rows().zip(room.free_pods()));
            for (((node, now), pods), ((_, then), then_pods)) in now.zip(before) {
                let cpu = now.cpu >= 0 || now.cpu == then.cpu;
                let memory = now.memory >= 0 || now.memory == then.memory;
                let extended = now.extended.iter().all(|(name, amount)| {
                    *amount >= 0 || then.extended.get(name) == Some(amount)
                });
                prop_assert!(cpu && memory && extended, "{} is over-committed", node.name);
                prop_assert!(pods >= 0 || pods == then_pods, "{} has too many pods", node.name);
            }
        }
    }

    #[test]
    fn in_steps_or_at_once_is_the_same(
        snapshot in snapshots(), needs in needs(), steps in prop::collection::vec(0..6_i64, 1..6), asked in workloads(),
    ) {
        // Of several vendors' accelerators each step takes those that are free then.
        let needs = sky_core::workload::Needs { accelerator: None, ..needs };
        let (mut by_steps, mut at_once) = (fresh(&snapshot), fresh(&snapshot));
        let names: Vec<_> = snapshot.clusters.keys().cloned().collect();
        for name in &names {
            for count in &steps {
                by_steps.reserve(name, &needs, *count);
                // What is asked in between must not matter either.
                let _ = Scheduler::default().decide(&asked, &by_steps);
            }
            at_once.reserve(name, &needs, steps.iter().sum());
        }
        prop_assert_eq!(left(&by_steps), left(&at_once));
        let decide = |snapshot: &Snapshot| Scheduler::default().decide(&asked, snapshot);
        prop_assert_eq!(decide(&by_steps), decide(&at_once));
    }

    #[test]
    fn what_is_placed_twice_is_placed_beside_each_other(snapshot in snapshots(), workload in workloads()) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let mut after = snapshot.clone();
        for (cluster, count) in parts(&decision) {
            after.reserve(cluster, &workload.needs, *count);
        }
        let again = Scheduler::default().decide(&workload, &after);
        for (before, now) in decision.verdicts.iter().zip(&again.verdicts) {
            let taken = parts(&decision).iter().find(|(cluster, _)| **cluster == *before.cluster);
            let room = snapshot.clusters[&before.cluster].room.as_ref();
            let all = room.map_or(0, |room| room.fit(&workload.needs));
            let expect = (all - taken.map_or(0, |(_, count)| *count)).min(workload.replicas);
            if before.refusal.is_none() && workload.needs.accelerator.is_none() {
                prop_assert_eq!(now.fit, expect, "{} has as much less as was taken", before.cluster);
            } else if before.refusal.is_none() {
                // Those of another vendor are left besides.
                prop_assert!(now.fit >= expect, "{} has no more less than was taken", before.cluster);
            }
        }
    }
}
