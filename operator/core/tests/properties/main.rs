//! What holds of every decision, whatever the fleet and the workload.
#![expect(clippy::expect_used, reason = "what a property cannot find is a failed test")]

#[path = "../fleets/mod.rs"]
mod fleets;
mod growth;
mod placements;
mod purity;
mod reservations;
mod spreading;
