//! Even and Weighted within one weight, and counts of any candidates.

use proptest::prelude::*;
use sky_core::labels::Labels;
use sky_core::plugin::Candidate;
use sky_core::schedule::Scheduler;
use sky_core::spread;
use sky_core::workload::{Spread, Strategy as Proportions, Workload};

use crate::fleets::clusters::snapshots;
use crate::fleets::workloads::workloads;
use crate::fleets::{cases, parts};

/// Candidates in order of weight, of any fit and part.
fn candidates() -> impl Strategy<Value = Vec<Candidate<'static>>> {
    static NONE: Labels = Labels::new();
    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let one = (
        1..=40_i64,
        0..3_i32,
        1..=1000_i64,
        prop_oneof![3 => Just(0), 1 => 1..9_i64],
    );
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let each = all
            .into_iter()
            .enumerate()
            .map(|(index, (fit, weight, part, placed))| Candidate {
                cluster: NAMES[index],
                labels: &NONE,
                fit,
                weight,
                score: 0,
                placed,
                part,
            });
        let mut candidates: Vec<Candidate<'static>> = each.collect();
        candidates.sort_by_key(|candidate| -candidate.weight);
        candidates
    })
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn even_differs_by_at_most_one_among_clusters_that_are_not_full(
        snapshot in snapshots(), workload in workloads(),
    ) {
        let spread = Spread { strategy: Proportions::Even, min_clusters: 0, max_clusters: workload.spread.max_clusters };
        let even = Workload { spread, ..workload };
        let decision = Scheduler::default().decide(&even, &snapshot);
        if parts(&decision).is_empty() {
            return Ok(());
        }
        let of = |cluster: &str| parts(&decision).iter().find(|(name, _)| name == cluster).map_or(0, |(_, count)| *count);
        let before = |cluster: &str| even.placed.get(cluster).copied().unwrap_or(0);
        for (getter, count) in parts(&decision) {
            let weight = decision.verdicts.iter().find(|verdict| *verdict.cluster == **getter).expect("a verdict").weight;
            for other in decision.verdicts.iter().filter(|verdict| verdict.weight == weight) {
                let (name, given) = (&*other.cluster, of(&other.cluster));
                // With maxClusters a cluster may get none although it has room.
                let usable = even.spread.max_clusters.is_none() || given > 0;
                if usable && given < other.fit {
                    prop_assert!(count + before(getter) <= given + before(name) + 1, "{getter} has more than {name}");
                }
            }
        }
    }

    #[test]
    fn all_that_fits_is_given_and_no_more(candidates in candidates(), replicas in 1..400_i64) {
        let room: i64 = candidates.iter().map(|candidate| candidate.fit).sum();
        for counts in [spread::pack(&candidates, replicas), spread::proportional(&candidates, replicas)] {
            prop_assert_eq!(counts.iter().sum::<i64>(), replicas.min(room));
            prop_assert!(counts.iter().zip(&candidates).all(|(count, candidate)| (0..=candidate.fit).contains(count)));
        }
    }

    #[test]
    fn nobody_is_passed_over_for_one_that_has_more_of_its_part(candidates in candidates(), replicas in 1..400_i64) {
        let counts = spread::proportional(&candidates, replicas);
        let all: Vec<(&Candidate<'_>, i64)> = candidates.iter().zip(counts).collect();
        for (getter, got) in all.iter().filter(|(_, count)| *count > 0) {
            for (other, given) in all.iter().filter(|(other, count)| other.weight == getter.weight && *count < other.fit) {
                // Its last replica was due before the other's next one: a part of 1.5 is where the second is due.
                let (last, next) = (got + getter.placed, given + other.placed + 1);
                let due = (2 * last - 1) * other.part <= (2 * next - 1) * getter.part;
                prop_assert!(due, "{getter:?} {got}, {other:?} {given}");
            }
        }
    }

    #[test]
    fn one_replica_more_takes_none_from_anybody(candidates in candidates(), replicas in 1..400_i64) {
        let (now, more) = (spread::proportional(&candidates, replicas), spread::proportional(&candidates, replicas + 1));
        prop_assert!(now.iter().zip(&more).all(|(now, more)| now <= more), "{now:?} {more:?}");
    }

    #[test]
    fn most_clusters_hold_most_replicas(
        candidates in candidates(), replicas in 1..400_i64, most in 1..6_i64,
    ) {
        let workload = |max| Workload {
            replicas,
            spread: Spread { max_clusters: max, ..Spread::default() },
            placed: candidates.iter().filter(|c| c.placed > 0).map(|c| (c.cluster.to_string(), c.placed)).collect(),
            ..crate::fleets::workloads::plain()
        };
        let chosen = spread::choose(&workload(Some(most)), &candidates);
        prop_assert!(chosen.is_sorted());
        let placed = candidates.iter().filter(|candidate| candidate.placed > 0);
        let old: i64 = placed.clone().map(|candidate| candidate.fit).sum();
        let slots = usize::try_from(most).expect("few").saturating_sub(placed.count());
        let mut fresh: Vec<i64> = candidates.iter().filter(|c| c.placed == 0).map(|c| c.fit).collect();
        fresh.sort_by_key(|fit| -fit);
        let best = old + fresh.iter().take(slots).sum::<i64>();
        let held: i64 = chosen.iter().map(|&index| candidates[index].fit).sum();
        prop_assert_eq!(held.min(replicas), best.min(replicas));
        prop_assert_eq!(spread::choose(&workload(None), &candidates).len(), candidates.len());
    }
}
