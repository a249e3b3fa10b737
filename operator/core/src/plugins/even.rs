//! Puts equal numbers on each cluster of the best weight, as far as they have room, then on the next.

use crate::plugin::{Candidate, Context, SchedulerPlugin};
use crate::spread;
use crate::workload::Strategy;

pub(super) struct Even;

impl SchedulerPlugin for Even {
    fn name(&self) -> &str {
        "Even"
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate]) -> Option<Vec<i64>> {
        let wanted = context.workload.spread.strategy == Strategy::Even;
        wanted.then(|| spread::proportional(candidates, context.workload.replicas))
    }
}
