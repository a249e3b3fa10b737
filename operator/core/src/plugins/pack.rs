//! Fills the best cluster, then the next. Candidates come ordered by weight, then score, then name.

use crate::plugin::{Candidate, Context, SchedulerPlugin, Steps};
use crate::spread;
use crate::workload::Strategy;

pub(super) struct Pack;

impl SchedulerPlugin for Pack {
    fn name(&self) -> &str {
        "Pack"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::NONE
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate<'_>]) -> Option<Vec<i64>> {
        let wanted = context.workload.spread.strategy == Strategy::Pack;
        wanted.then(|| spread::pack(candidates, context.workload.replicas))
    }
}
