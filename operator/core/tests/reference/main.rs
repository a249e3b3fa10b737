//! The scheduler against a slow, obvious reference that was written from the design alone: on random fleets both must
//! place the same replicas on the same clusters, and find the same of each cluster.
#![expect(
    clippy::expect_used,
    reason = "a reference that cannot go on is a failed test"
)]

#[path = "../fleets/mod.rs"]
mod fleets;
mod model;
mod rules;

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use sky_core::decision::Outcome;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::Workload;

use fleets::clusters::{fresh, snapshots};
use fleets::workloads::workloads;
use model::{Answer, Finding, Fleet};

/// Fleets, each with several workloads one after the other.
const CASES: u32 = 2_000;

/// How often which answer was given.
type Tally = Mutex<BTreeMap<&'static str, usize>>;

/// Both decide one workload after the other; what is placed is reserved before the next.
fn compare(snapshot: &Snapshot, workloads: &[Workload], tally: &Tally) -> Result<(), TestCaseError> {
    let mut snapshot = fresh(snapshot);
    let mut fleet = Fleet::new(&snapshot);
    for workload in workloads {
        let decision = Scheduler::default().decide(workload, &snapshot);
        let (answer, findings) = fleet.decide(workload, &snapshot);
        let each = decision.verdicts.iter().map(|verdict| Finding {
            cluster: verdict.cluster.to_string(),
            feasible: verdict.refusal.is_none(),
            fit: verdict.fit,
        });
        prop_assert_eq!(each.collect::<Vec<_>>(), findings);
        let (name, given) = match &decision.outcome {
            Outcome::Placed(parts) => ("placed", Answer::Placed(parts.clone())),
            Outcome::Queued(_) => ("queued", Answer::Queued),
            Outcome::TooLarge(_) => ("too large", Answer::TooLarge),
        };
        prop_assert_eq!(given, answer, "{:?}", decision.outcome);
        *tally.lock().expect("a tally").entry(name).or_default() += 1;
        for (cluster, count) in fleets::parts(&decision) {
            snapshot.reserve(cluster, &workload.needs, *count);
            fleet.reserve(cluster, workload, *count);
        }
    }
    Ok(())
}

#[test]
fn the_scheduler_places_as_the_reference_does() {
    let config = fleets::cases(CASES);
    let cases = usize::try_from(config.cases).expect("a count");
    let tally = Tally::default();
    let input = (snapshots(), prop::collection::vec(workloads(), 1..=4));
    TestRunner::new(config)
        .run(&input, |(snapshot, workloads)| {
            compare(&snapshot, &workloads, &tally)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
    let tally = tally.into_inner().expect("a tally");
    println!("{cases} fleets: {tally:?}");
    for answer in ["placed", "queued", "too large"] {
        let count = tally.get(answer).copied().unwrap_or(0);
        assert!(
            count * 20 > cases,
            "{answer} came {count} times in {cases} fleets: this compares too little of it"
        );
    }
}
