//! Refuses clusters that satisfy none of the workload's `placement.filters`. A share whose cluster was relabelled so
//! that none holds any more does not stay.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};

pub(super) struct PlacementFilters;

impl SchedulerPlugin for PlacementFilters {
    fn name(&self) -> &str {
        "PlacementFilters"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::FILTER.when(!context.workload.filters.is_empty())
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

    fn retain(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        self.filter(context, cluster)
    }
}
