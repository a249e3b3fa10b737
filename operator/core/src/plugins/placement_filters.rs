//! Refuses clusters that satisfy none of the workload's `placement.filters`.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin};

pub(super) struct PlacementFilters;

impl SchedulerPlugin for PlacementFilters {
    fn name(&self) -> &'static str {
        "PlacementFilters"
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let filters = &context.workload.filters;
        if filters.is_empty() || filters.iter().any(|filter| filter.matches(&cluster.labels)) {
            Ok(())
        } else {
            Err(Refusal::new(
                "PlacementFilters",
                "not matched by placement.filters",
            ))
        }
    }
}
