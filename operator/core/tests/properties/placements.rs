//! Bounds of a placement: fit, the replicas asked for, refusals, gangs, numbers of clusters, tiers.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sky_core::decision::{Decision, Verdict};
use sky_core::placement::Placement;
use sky_core::schedule::Scheduler;
use sky_core::workload::{Spread, Strategy as Proportions, Workload};

use crate::fleets::clusters::snapshots;
use crate::fleets::workloads::workloads;
use crate::fleets::{cases, parts};

fn verdict<'d>(decision: &'d Decision, cluster: &str) -> &'d Verdict {
    let mut verdicts = decision.verdicts.iter();
    verdicts
        .find(|verdict| *verdict.cluster == *cluster)
        .expect("a verdict for each cluster")
}

/// Clusters that have replicas: those placed before and those chosen now.
fn used(workload: &Workload, decision: &Decision) -> usize {
    let chosen = parts(decision).iter().map(|(cluster, _)| cluster);
    chosen
        .chain(workload.placed.keys())
        .collect::<BTreeSet<_>>()
        .len()
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_placement_is_within_what_fits_and_on_no_refused_cluster(
        snapshot in snapshots(), workload in workloads(),
    ) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let mut seen = BTreeSet::new();
        for (cluster, count) in parts(&decision) {
            let verdict = verdict(&decision, cluster);
            prop_assert!(verdict.refusal.is_none());
            prop_assert!(*count > 0 && *count <= verdict.fit);
            prop_assert!(seen.insert(cluster), "each cluster at most once");
        }
        for verdict in &decision.verdicts {
            prop_assert!((0..=workload.replicas).contains(&verdict.fit));
            prop_assert_eq!(verdict.fit > 0, verdict.refusal.is_none(), "feasible means that one replica fits");
        }
    }

    #[test]
    fn a_gang_is_placed_whole_or_not_at_all(snapshot in snapshots(), workload in workloads()) {
        let gang = Workload { gang: true, ..workload };
        let decision = Scheduler::default().decide(&gang, &snapshot);
        let total: i64 = parts(&decision).iter().map(|(_, count)| count).sum();
        prop_assert!(total == 0 || total == gang.replicas);
        if gang.spread.min_clusters <= 1 && gang.spread.max_clusters.is_none() {
            let room: i64 = decision.verdicts.iter().map(|verdict| verdict.fit).sum();
            prop_assert_eq!(total > 0, room >= gang.replicas, "it waits only when there is no room");
        }
    }

    #[test]
    fn without_gang_all_that_fits_is_placed(snapshot in snapshots(), workload in workloads()) {
        let bounds = Spread { min_clusters: 0, max_clusters: None, ..workload.spread.clone() };
        let loose = Workload { gang: false, spread: bounds, ..workload };
        let decision = Scheduler::default().decide(&loose, &snapshot);
        let total: i64 = parts(&decision).iter().map(|(_, count)| count).sum();
        let room: i64 = decision.verdicts.iter().map(|verdict| verdict.fit).sum();
        prop_assert_eq!(total, room.min(loose.replicas));
    }

    #[test]
    fn numbers_of_clusters_hold_with_those_placed_before(snapshot in snapshots(), workload in workloads()) {
        let decision = Scheduler::default().decide(&workload, &snapshot);
        if parts(&decision).is_empty() {
            return Ok(());
        }
        let used = i64::try_from(used(&workload, &decision)).expect("few");
        let before = i64::try_from(workload.placed.len()).expect("few");
        // What is not all or nothing takes what it can get.
        prop_assert!(!workload.gang || used >= workload.spread.min_clusters);
        if let Some(most) = workload.spread.max_clusters {
            prop_assert!(used <= most.max(before));
        }
    }

    #[test]
    fn a_better_preferred_cluster_with_room_is_filled_first(snapshot in snapshots(), workload in workloads()) {
        let bounds = Spread { min_clusters: 0, max_clusters: None, strategy: workload.spread.strategy.clone() };
        let workload = Workload { spread: bounds, ..workload };
        let decision = Scheduler::default().decide(&workload, &snapshot);
        let count_of = |verdict: &Verdict| {
            let part = parts(&decision).iter().find(|(cluster, _)| **cluster == *verdict.cluster);
            part.map_or(0, |(_, count)| *count)
        };
        let least_used = decision.verdicts.iter().filter(|verdict| count_of(verdict) > 0).map(|verdict| verdict.weight).min();
        for verdict in decision.verdicts.iter().filter(|verdict| count_of(verdict) < verdict.fit) {
            if let Some(least) = least_used {
                prop_assert!(verdict.weight <= least, "{} has room and a better weight than one used", verdict.cluster);
            }
        }
    }

    #[test]
    fn pack_leaves_at_most_one_cluster_partly_filled(snapshot in snapshots(), workload in workloads()) {
        let bounds = Spread { strategy: Proportions::Pack, min_clusters: 0, max_clusters: None };
        let decision = Scheduler::default().decide(&Workload { spread: bounds, ..workload }, &snapshot);
        let all = parts(&decision);
        for (cluster, count) in all.iter().take(all.len().saturating_sub(1)) {
            prop_assert_eq!(*count, verdict(&decision, cluster).fit, "{} is filled before the next", cluster);
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
