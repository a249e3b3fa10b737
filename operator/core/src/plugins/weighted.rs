//! Puts numbers in proportion to `placement.spread.clusterWeights` on the clusters of the best weight, then on the
//! next. A cluster that no entry names gets none.

use crate::cluster::Cluster;
use crate::labels::Labels;
use crate::plugin::{Candidate, Context, Refusal, SchedulerPlugin, Steps};
use crate::spread;
use crate::workload::{Part, PartOf, Strategy};

pub(super) struct Weighted;

impl SchedulerPlugin for Weighted {
    fn name(&self) -> &str {
        "Weighted"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::PART.when(matches!(context.workload.spread.strategy, Strategy::Weighted(_)))
    }

    fn part(&self, context: Context<'_>, cluster: &Cluster) -> Result<Option<i64>, Refusal> {
        let Strategy::Weighted(parts) = &context.workload.spread.strategy else {
            return Ok(None);
        };
        match part(parts, &cluster.name, &cluster.labels) {
            None => Err(Refusal::new(
                "NotWeighted",
                "given no part by placement.spread.clusterWeights",
            )),
            part => Ok(part),
        }
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate<'_>]) -> Option<Vec<i64>> {
        matches!(context.workload.spread.strategy, Strategy::Weighted(_))
            .then(|| spread::proportional(candidates, context.workload.replicas))
    }
}

/// The greatest weight of the entries that name the cluster; else of those whose selector matches it.
pub(crate) fn part(parts: &[Part], name: &str, labels: &Labels) -> Option<i64> {
    let named = parts.iter().filter(|part| part.names(name));
    named.map(|part| part.weight).max().or_else(|| {
        let mut greatest = None;
        for part in parts {
            // Labels are looked at only where that could change the answer.
            if greatest < Some(part.weight) && part.matches(labels) {
                greatest = Some(part.weight);
            }
        }
        greatest
    })
}

impl Part {
    fn names(&self, name: &str) -> bool {
        matches!(&self.of, PartOf::Cluster(cluster) if cluster == name)
    }

    fn matches(&self, labels: &Labels) -> bool {
        matches!(&self.of, PartOf::Selector(selector) if selector.matches(labels))
    }
}
