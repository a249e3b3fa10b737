//! What holds of every decision, whatever the clusters and the workload.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::placement::Placement;

/// Clusters of nodes with free millicores between nothing and 4 cpus, some cordoned or not ready.
fn snapshots() -> impl Strategy<Value = Snapshot> {
    let nodes = prop::collection::vec(-500_i64..4000, 0..5);
    let one = (
        nodes,
        any::<bool>(),
        0..10_u8,
        prop::sample::select(vec!["", "zone=eu", "zone=us"]),
    );
    prop::collection::vec(one, 0..6).prop_map(|parts| {
        let clusters = parts
            .into_iter()
            .enumerate()
            .map(|(index, (nodes, ready, luck, zone))| {
                let mut cluster = cluster(&format!("c{index}"), zone, &nodes);
                cluster.unschedulable = luck == 0;
                if luck == 1 && !ready {
                    cluster.health = Health::NotReady {
                        reason: "Unreachable".into(),
                        message: "no answer".into(),
                    };
                }
                (cluster.name.clone(), cluster)
            });
        Snapshot {
            clusters: clusters.collect(),
            ..Snapshot::default()
        }
    })
}

fn workloads() -> impl Strategy<Value = Workload> {
    (1_i64..12, 1_i64..2500, any::<bool>(), any::<bool>()).prop_map(|(replicas, cpu, gang, eu)| {
        let mut workload = job(replicas, cpu);
        workload.gang = gang;
        workload.preferences = vec![Preference {
            selector: Selector {
                labels: labels(if eu { "zone=eu" } else { "zone=us" }),
                expressions: vec![],
            },
            weight: 50,
        }];
        workload
    })
}

fn parts(decision: &crate::decision::Decision) -> &[(String, i64)] {
    match &decision.outcome {
        Outcome::Placed(parts) => parts,
        Outcome::Queued(_) | Outcome::TooLarge(_) => &[],
    }
}

proptest! {
    #[test]
    fn a_decision_is_a_function_of_its_input(snapshot in snapshots(), workload in workloads()) {
        let scheduler = Scheduler::default();
        prop_assert_eq!(scheduler.decide(&workload, &snapshot), scheduler.decide(&workload, &snapshot));
    }

    #[test]
    fn a_placement_never_exceeds_what_fits_and_uses_no_refused_cluster(
        snapshot in snapshots(), workload in workloads(),
    ) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let mut used = BTreeSet::new();
        for (cluster, count) in parts(&decision) {
            let verdict = decision.verdicts.iter().find(|verdict| *verdict.cluster == **cluster);
            let verdict = verdict.expect("a verdict for each cluster used");
            prop_assert!(verdict.refusal.is_none());
            prop_assert!(*count > 0 && *count <= verdict.fit);
            prop_assert!(used.insert(cluster), "each cluster at most once");
        }
    }

    #[test]
    fn a_gang_is_placed_whole_or_not_at_all_and_nothing_more_than_asked_for(
        snapshot in snapshots(), workload in workloads(),
    ) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let total: i64 = parts(&decision).iter().map(|(_, count)| count).sum();
        prop_assert!(total <= workload.replicas);
        if workload.gang {
            prop_assert!(total == 0 || total == workload.replicas);
            let room: i64 = decision.verdicts.iter().map(|verdict| verdict.fit).sum();
            prop_assert_eq!(total > 0, room >= workload.replicas, "it waits only when there is no room");
        }
    }

    #[test]
    fn room_that_is_taken_was_there(snapshot in snapshots(), workload in workloads()) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let mut after = snapshot.clone();
        for (cluster, count) in parts(&decision) {
            after.reserve(cluster, &workload.needs, *count);
        }
        for (name, cluster) in &after.clusters {
            let before = &snapshot.clusters[name];
            let nodes = cluster.room.iter().flat_map(|room| room.rows());
            let known = before.room.iter().flat_map(|room| room.rows());
            for ((node, now), (_, then)) in nodes.zip(known) {
                prop_assert!(now.cpu >= 0 || now == then, "{} is over-committed", node.name);
            }
        }
    }

    #[test]
    fn a_better_preferred_cluster_with_room_is_filled_first(snapshot in snapshots(), workload in workloads()) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let used: BTreeSet<&str> = parts(&decision).iter().map(|(cluster, _)| cluster.as_str()).collect();
        let weight_of = |used_or_not: bool| {
            let verdicts = decision.verdicts.iter().filter(|verdict| verdict.refusal.is_none() && verdict.fit > 0);
            let picked = verdicts.filter(|verdict| used.contains(&*verdict.cluster) == used_or_not);
            picked.map(|verdict| verdict.weight).collect::<Vec<_>>()
        };
        let least_used = weight_of(true).into_iter().min();
        let most_unused = weight_of(false).into_iter().max();
        if let (Some(used), Some(unused)) = (least_used, most_unused) {
            prop_assert!(used >= unused);
        }
    }

    #[test]
    fn ranks_are_dealt_out_once_each(counts in prop::collection::vec(1_i64..50, 1..8), revision in 1_i64..100) {
        let parts: Vec<(String, i64)> =
            counts.iter().enumerate().map(|(index, count)| (format!("c{index}"), *count)).collect();
        let placement = Placement::of_all(revision, &parts);
        let ranks: Vec<u32> = placement.shares.iter().flat_map(|share| share.ranks.iter()).collect();
        let total = u32::try_from(counts.iter().sum::<i64>()).expect("few");
        prop_assert_eq!(ranks, (0..total).collect::<Vec<_>>());
        prop_assert!(placement.shares.iter().all(|share| share.ranks.count() == share.replicas));
        let ids: BTreeSet<&str> = placement.shares.iter().map(|share| share.id.as_str()).collect();
        prop_assert_eq!(ids.len(), placement.shares.len());
    }
}
