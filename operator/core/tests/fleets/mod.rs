//! Random fleets and workloads: few labels, taints and sizes, so that rules meet often. Shared by the properties and
//! the comparison with the reference.

pub mod clusters;
pub mod rules;
pub mod workloads;

use proptest::prelude::*;
use proptest::test_runner::Config;
use sky_core::decision::{Decision, Outcome};

/// A configuration with `cases` cases, or as many as PROPTEST_CASES says.
pub fn cases(cases: u32) -> Config {
    let asked = std::env::var("PROPTEST_CASES").ok();
    Config {
        cases: asked.and_then(|text| text.parse().ok()).unwrap_or(cases),
        // A failing case is printed; what it shows becomes a test of its own.
        failure_persistence: None,
        ..Config::default()
    }
}

/// True so many times in a hundred.
pub fn chance(hundredths: u32) -> impl Strategy<Value = bool> {
    prop::bool::weighted(f64::from(hundredths) / 100.0)
}

/// One of these.
pub fn one_of(all: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(all).prop_map(str::to_owned)
}

/// Where the replicas go; nothing when they wait.
pub fn parts(decision: &Decision) -> &[(String, i64)] {
    match &decision.outcome {
        Outcome::Placed(parts) => parts,
        Outcome::Queued(_) | Outcome::TooLarge(_) => &[],
    }
}
