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
        Steps::FILTER.when(matches!(context.workload.spread.strategy, Strategy::Weighted(_)))
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match &context.workload.spread.strategy {
            Strategy::Weighted(parts) if !has_part(parts, &cluster.name, &cluster.labels) => Err(
                Refusal::new("NotWeighted", "given no part by placement.spread.clusterWeights"),
            ),
            _ => Ok(()),
        }
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate<'_>]) -> Option<Vec<i64>> {
        let Strategy::Weighted(parts) = &context.workload.spread.strategy else {
            return None;
        };
        let each = candidates.iter().map(|candidate| Candidate {
            part: part(parts, candidate.cluster, candidate.labels),
            ..*candidate
        });
        let weighted: Vec<Candidate<'_>> = each.collect();
        Some(spread::proportional(&weighted, context.workload.replicas))
    }
}

/// The greatest weight of the entries that name the cluster; else of those whose selector matches it; else 0.
fn part(parts: &[Part], name: &str, labels: &Labels) -> i64 {
    let named = parts
        .iter()
        .filter(|part| part.names(name))
        .map(|part| part.weight);
    let matching = parts
        .iter()
        .filter(|part| part.matches(labels))
        .map(|part| part.weight);
    named.max().or_else(|| matching.max()).unwrap_or(0)
}

fn has_part(parts: &[Part], name: &str, labels: &Labels) -> bool {
    parts.iter().any(|part| part.names(name) || part.matches(labels))
}

impl Part {
    fn names(&self, name: &str) -> bool {
        matches!(&self.of, PartOf::Cluster(cluster) if cluster == name)
    }

    fn matches(&self, labels: &Labels) -> bool {
        matches!(&self.of, PartOf::Selector(selector) if selector.matches(labels))
    }
}
