//! Puts equal numbers on each cluster of the best weight, as far as they have room, then on the next.

use crate::plugin::{Candidate, Context, SchedulerPlugin, Steps};
use crate::spread;
use crate::workload::Strategy;

pub(super) struct Even;

impl SchedulerPlugin for Even {
    fn name(&self) -> &str {
        "Even"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::NONE
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate<'_>]) -> Option<Vec<i64>> {
        let wanted = context.workload.spread.strategy == Strategy::Even;
        wanted.then(|| spread::proportional(candidates, context.workload.replicas))
    }
}
