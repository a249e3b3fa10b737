//! Puts numbers in proportion to `placement.spread.clusterWeights` on the clusters of the best weight, then on the
//! next. A cluster that no entry names gets none.

use crate::cluster::Cluster;
use crate::labels::Labels;
use crate::plugin::{Candidate, Context, Refusal, SchedulerPlugin};
use crate::spread;
use crate::workload::{Part, PartOf, Strategy};

pub(super) struct Weighted;

impl SchedulerPlugin for Weighted {
    fn name(&self) -> &str {
        "Weighted"
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match &context.workload.spread.strategy {
            Strategy::Weighted(parts) if part(parts, &cluster.name, &cluster.labels) == 0 => Err(
                Refusal::new("NotWeighted", "given no part by placement.spread.clusterWeights"),
            ),
            _ => Ok(()),
        }
    }

    fn spread(&self, context: Context<'_>, candidates: &[Candidate]) -> Option<Vec<i64>> {
        let Strategy::Weighted(parts) = &context.workload.spread.strategy else {
            return None;
        };
        let clusters = &context.snapshot.clusters;
        let each = candidates.iter().map(|candidate| {
            let cluster = clusters.get(&candidate.cluster);
            let part = cluster.map_or(0, |cluster| part(parts, &cluster.name, &cluster.labels));
            Candidate {
                part,
                ..candidate.clone()
            }
        });
        let weighted: Vec<Candidate> = each.collect();
        Some(spread::proportional(&weighted, context.workload.replicas))
    }
}

/// The weight of the entry that names the cluster; else the greatest of those whose selector matches it; else 0.
fn part(parts: &[Part], name: &str, labels: &Labels) -> i64 {
    let named = parts
        .iter()
        .find(|part| matches!(&part.of, PartOf::Cluster(cluster) if cluster == name));
    let matching = parts
        .iter()
        .filter(|part| matches!(&part.of, PartOf::Selector(selector) if selector.matches(labels)));
    match named {
        Some(part) => part.weight,
        None => matching.map(|part| part.weight).max().unwrap_or(0),
    }
}
