//! Fills the best cluster, then the next. Candidates come ordered by weight, then score, then name.

use crate::plugin::{Candidate, Context, SchedulerPlugin};

pub(super) struct Pack;

impl SchedulerPlugin for Pack {
    fn name(&self) -> &'static str {
        "Pack"
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate]) -> Option<Vec<i64>> {
        let mut left = context.workload.replicas;
        let counts = candidates.iter().map(|candidate| {
            let count = candidate.fit.min(left);
            left -= count;
            count
        });
        Some(counts.collect())
    }
}
