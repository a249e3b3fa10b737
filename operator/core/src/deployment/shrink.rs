//! Takes replicas away when there are more than asked for: first those that do not run, then those in the places that
//! the workload likes least, so that as few running replicas as possible move. Called by `settle`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::placement::PlacedShare;
use crate::plugins;
use crate::workload::{Strategy, Workload};

/// How a cluster stands in a workload's placement rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// 0..100, from preferences.
    pub weight: i32,
    /// Its part under the strategy Weighted, else 1; 0: it has none any more.
    pub part: i64,
}

impl Default for Standing {
    fn default() -> Self {
        Self { weight: 0, part: 1 }
    }
}

/// How `cluster` stands in the placement rules of `workload`.
#[must_use]
pub fn standing(workload: &Workload, cluster: &Cluster) -> Standing {
    let matching = workload
        .preferences
        .iter()
        .filter(|preference| preference.selector.matches(&cluster.labels));
    Standing {
        weight: matching.map(|preference| preference.weight).max().unwrap_or(0),
        part: match &workload.spread.strategy {
            Strategy::Weighted(parts) => plugins::part(parts, &cluster.name, &cluster.labels).unwrap_or(0),
            Strategy::Pack | Strategy::Even => 1,
        },
    }
}

/// Takes `surplus` replicas out of `shares`. `idle` says how many of a share's replicas do not run.
pub(super) fn shrink(
    shares: &mut [PlacedShare],
    mut surplus: i64,
    strategy: &Strategy,
    standings: &BTreeMap<String, Standing>,
    idle: impl Fn(&PlacedShare) -> i64,
) {
    let standing = |share: &PlacedShare| standings.get(&share.cluster).copied().unwrap_or_default();
    // The least liked first.
    shares.sort_by(|a, b| {
        let weights = standing(a).weight.cmp(&standing(b).weight);
        weights.then_with(|| b.cluster.cmp(&a.cluster))
    });
    for share in shares.iter_mut() {
        let taken = idle(share).clamp(0, share.replicas).min(surplus);
        share.replicas -= taken;
        surplus -= taken;
    }
    for tier in shares.chunk_by_mut(|a, b| standing(a).weight == standing(b).weight) {
        match strategy {
            Strategy::Pack => {
                for share in tier.iter_mut() {
                    let taken = share.replicas.min(surplus);
                    share.replicas -= taken;
                    surplus -= taken;
                }
            }
            Strategy::Even | Strategy::Weighted(_) => {
                // One by one from the share that has most for its part.
                while surplus > 0 {
                    let fullest = (0..tier.len())
                        .filter(|&index| tier[index].replicas > 0)
                        .max_by_key(|&index| {
                            let per_part = i128::from(tier[index].replicas) * 1_000_000
                                / i128::from(standing(&tier[index]).part.max(1));
                            (standing(&tier[index]).part == 0, per_part, Reverse(index))
                        });
                    let Some(fullest) = fullest else { break };
                    tier[fullest].replicas -= 1;
                    surplus -= 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cluster replicas weight part idle`, then what is left.
    fn check(shares: &str, surplus: i64, strategy: &Strategy, left: &str) {
        let (mut placed, mut standings, mut idle) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for one in shares.split(',') {
            let words: Vec<&str> = one.split_whitespace().collect();
            let number = |index: usize| words.get(index).map_or(0, |word| word.parse().expect("a number"));
            placed.push(PlacedShare {
                cluster: words[0].into(),
                replicas: number(1),
                ..PlacedShare::default()
            });
            let weight = i32::try_from(number(2)).expect("a weight");
            standings.insert(
                words[0].to_owned(),
                Standing {
                    weight,
                    part: number(3),
                },
            );
            idle.insert(words[0].to_owned(), number(4));
        }
        shrink(&mut placed, surplus, strategy, &standings, |share| {
            idle[&share.cluster]
        });
        placed.sort_by(|a, b| a.cluster.cmp(&b.cluster));
        let each = placed
            .iter()
            .map(|share| format!("{} {}", share.cluster, share.replicas));
        assert_eq!(
            each.collect::<Vec<_>>().join(", "),
            left,
            "{shares} less {surplus}"
        );
    }

    #[test]
    fn what_does_not_run_goes_first_wherever_it_is() {
        check("a 4 90 1 2, b 4 10 1 0", 2, &Strategy::Pack, "a 2, b 4");
    }

    #[test]
    fn packed_replicas_leave_the_least_preferred_cluster() {
        check(
            "a 4 90 1 0, b 4 10 1 0, c 2 10 1 0",
            3,
            &Strategy::Pack,
            "a 4, b 3, c 0",
        );
        check("a 4 0 1 0, b 4 0 1 0", 9, &Strategy::Pack, "a 0, b 0");
    }

    #[test]
    fn even_and_weighted_stay_in_proportion() {
        check("a 5 0 1 0, b 3 0 1 0", 4, &Strategy::Even, "a 2, b 2");
        let weighted = Strategy::Weighted(Vec::new());
        check("a 6 0 3 0, b 2 0 1 0", 4, &weighted, "a 3, b 1");
        check("a 6 0 3 0, b 2 0 0 0", 3, &weighted, "a 5, b 0");
    }
}
