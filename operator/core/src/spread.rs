//! Distributes replicas over candidates: which clusters within `minClusters` and `maxClusters`, and how many on each.
//! Called by the scheduler and by the plugins Pack, Even and Weighted.

use std::cmp::Reverse;

use crate::plugin::Candidate;
use crate::workload::Workload;

/// The candidates to use, by index and in order: all of them, or with `maxClusters` the best ones. A gang passes over a
/// better one where it would not find room as a whole; for what is not all or nothing capacity never outweighs
/// preference.
#[must_use]
pub fn choose(workload: &Workload, candidates: &[Candidate<'_>]) -> Vec<usize> {
    let all = || (0..candidates.len()).collect();
    let Some(most) = workload.spread.max_clusters else {
        return all();
    };
    let used = i64::try_from(workload.placed.len()).unwrap_or(i64::MAX);
    let slots = usize::try_from(most.saturating_sub(used).max(0)).unwrap_or(usize::MAX);
    let fresh: Vec<usize> = (0..candidates.len())
        .filter(|&index| candidates[index].placed == 0)
        .collect();
    if slots >= fresh.len() {
        return all();
    }
    // A cluster that has a share already costs no slot.
    let mut taken: i64 = candidates
        .iter()
        .filter(|candidate| candidate.placed > 0)
        .fold(0, |sum, candidate| sum.saturating_add(candidate.fit));
    let mut roomiest = fresh.clone();
    roomiest.sort_by_key(|&index| (Reverse(candidates[index].fit), index));
    let mut passed = vec![false; candidates.len()];
    let top = |count: usize, passed: &[bool]| {
        let open = roomiest.iter().filter(|&&index| !passed[index]).take(count);
        open.fold(0_i64, |sum, &index| sum.saturating_add(candidates[index].fit))
    };
    let target = if workload.gang {
        workload.replicas.min(taken.saturating_add(top(slots, &passed)))
    } else {
        0
    };
    let mut chosen: Vec<usize> = (0..candidates.len())
        .filter(|&index| candidates[index].placed > 0)
        .collect();
    let mut left = slots;
    for index in fresh {
        if left == 0 {
            break;
        }
        passed[index] = true;
        let with = taken.saturating_add(candidates[index].fit);
        if with.saturating_add(top(left - 1, &passed)) >= target {
            taken = with;
            left -= 1;
            chosen.push(index);
        }
    }
    chosen.sort_unstable();
    chosen
}

/// Fills the first, then the next.
#[must_use]
pub fn pack(candidates: &[Candidate<'_>], replicas: i64) -> Vec<i64> {
    let mut left = replicas;
    let counts = candidates.iter().map(|candidate| {
        let count = candidate.fit.min(left).max(0);
        left -= count;
        count
    });
    counts.collect()
}

/// Numbers in proportion to the candidates' parts, what they have already counted in, within one weight and then the
/// next. What a full cluster cannot take goes to the others of its weight.
#[must_use]
pub fn proportional(candidates: &[Candidate<'_>], replicas: i64) -> Vec<i64> {
    let mut counts = Vec::with_capacity(candidates.len());
    let mut left = replicas;
    for tier in candidates.chunk_by(|a, b| a.weight == b.weight) {
        let of_tier = level(tier, left);
        left -= of_tier.iter().sum::<i64>();
        counts.extend(of_tier);
    }
    counts
}

/// Raises a level over the candidates of one weight, as water fills vessels, until the replicas are used up.
fn level(tier: &[Candidate<'_>], replicas: i64) -> Vec<i64> {
    let fit = |candidate: &Candidate<'_>| if candidate.part > 0 { candidate.fit } else { 0 };
    if sum(tier, fit) <= replicas {
        return tier.iter().map(fit).collect();
    }
    // At level L a cluster has L x part / greatest part, to the nearest whole number, so that neither large nor small
    // parts gain by it: one more level adds at most one replica to each.
    let greatest = tier.iter().map(|c| c.part).max().unwrap_or(1).max(1);
    let at = |candidate: &Candidate<'_>, level: i64| {
        if candidate.part == greatest {
            return (level - candidate.placed).clamp(0, candidate.fit);
        }
        let twice = level.saturating_mul(candidate.part.max(0)).saturating_mul(2);
        let want = twice.saturating_add(greatest) / greatest.saturating_mul(2);
        (want - candidate.placed).clamp(0, candidate.fit)
    };
    let parts = sum(tier, |candidate| candidate.part.max(0)).max(1);
    // The highest level that does not give too many, between one that holds and one that does not. What is left says how
    // far up the next guess is, as if nobody were full; halving in between keeps that from creeping.
    let (mut low, mut given, mut high) = (0_i64, 0_i64, None);
    let (mut leap, mut halve) = (1_i64, false);
    loop {
        let up = (replicas - given).saturating_mul(greatest) / parts + 1;
        let guess = match high {
            None => low.saturating_add(up.max(leap)),
            Some(high) if high - low <= 1 => break,
            Some(high) if halve => low + (high - low) / 2,
            Some(high) => low.saturating_add(up).min(high - 1),
        };
        leap = leap.saturating_mul(2);
        halve = !halve;
        let would = sum(tier, |candidate| at(candidate, guess));
        if would <= replicas {
            (low, given) = (guess, would);
        } else {
            high = Some(guess);
        }
    }
    let mut counts: Vec<i64> = tier.iter().map(|candidate| at(candidate, low)).collect();
    // Those that get one more at the next level, in the order in which they reach it.
    let mut next: Vec<usize> = (0..tier.len())
        .filter(|&i| at(&tier[i], low + 1) > counts[i])
        .collect();
    let reached = |i: usize| i128::from(tier[i].placed.saturating_add(counts[i])) * 2 + 1;
    let part = |i: usize| i128::from(tier[i].part);
    next.sort_by(|&a, &b| (reached(a) * part(b)).cmp(&(reached(b) * part(a))));
    let left = usize::try_from(replicas - counts.iter().sum::<i64>()).unwrap_or(0);
    for index in next.into_iter().take(left) {
        counts[index] += 1;
    }
    counts
}

fn sum(tier: &[Candidate<'_>], of: impl Fn(&Candidate<'_>) -> i64) -> i64 {
    tier.iter()
        .fold(0, |sum: i64, candidate| sum.saturating_add(of(candidate)))
}

/// Moves single replicas to unused candidates until `least` clusters are used; answers whether they are.
pub fn ensure_least(candidates: &[Candidate<'_>], counts: &mut [i64], elsewhere: i64, least: i64) -> bool {
    let is_used = |index: usize, counts: &[i64]| counts[index] > 0 || candidates[index].placed > 0;
    let here = (0..candidates.len())
        .filter(|&index| is_used(index, counts))
        .count();
    let mut used = elsewhere.saturating_add(i64::try_from(here).unwrap_or(i64::MAX));
    for index in 0..candidates.len() {
        if used >= least {
            break;
        }
        if is_used(index, counts) {
            continue;
        }
        // From the least preferred; of those from the one that gets most, of equals from the last.
        let donor = (0..candidates.len())
            .filter(|&donor| counts[donor] > 1 || (counts[donor] == 1 && candidates[donor].placed > 0))
            .max_by_key(|&donor| (Reverse(candidates[donor].weight), counts[donor], donor));
        let Some(donor) = donor else { break };
        counts[donor] -= 1;
        counts[index] += 1;
        used += 1;
    }
    used >= least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::Labels;

    /// `cluster fit` or `cluster fit weight part placed`.
    fn candidates(text: &str) -> Vec<Candidate<'_>> {
        static NONE: Labels = Labels::new();
        let each = text.split(',').map(|one| {
            let words: Vec<&str> = one.split_whitespace().collect();
            let number =
                |index: usize, or: i64| words.get(index).map_or(or, |w| w.parse().expect("a number"));
            Candidate {
                cluster: words[0],
                labels: &NONE,
                fit: number(1, 0),
                weight: i32::try_from(number(2, 0)).expect("a weight"),
                score: 0,
                part: number(3, 1),
                placed: number(4, 0),
            }
        });
        each.collect()
    }

    #[test]
    fn equal_parts_fill_up_evenly_and_what_is_full_is_left() {
        assert_eq!(proportional(&candidates("a 9, b 9, c 9"), 6), [2, 2, 2]);
        assert_eq!(proportional(&candidates("a 9, b 9, c 9"), 7), [3, 2, 2]);
        assert_eq!(proportional(&candidates("a 1, b 9, c 9"), 7), [1, 3, 3]);
        assert_eq!(proportional(&candidates("a 1, b 1, c 1"), 7), [1, 1, 1]);
    }

    #[test]
    fn the_next_weight_gets_what_the_better_one_cannot_take() {
        assert_eq!(proportional(&candidates("a 2 50, b 2 50, c 9 10"), 6), [2, 2, 2]);
        assert_eq!(proportional(&candidates("a 2 50, b 2 50, c 9 10"), 3), [2, 1, 0]);
    }

    #[test]
    fn parts_are_kept_in_proportion() {
        assert_eq!(proportional(&candidates("a 99 0 3, b 99 0 1"), 8), [6, 2]);
        assert_eq!(proportional(&candidates("a 2 0 3, b 99 0 1"), 8), [2, 6]);
        assert_eq!(
            proportional(&candidates("a 100000 0 1000, b 100000 0 1"), 100_000),
            [99_900, 100]
        );
        assert_eq!(proportional(&candidates("b 99 0 4, a 99 0 3"), 3), [2, 1]);
        assert_eq!(proportional(&candidates("b 99 0 3, a 99 0 2"), 2), [1, 1]);
    }

    #[test]
    fn what_a_cluster_has_already_counts() {
        assert_eq!(proportional(&candidates("a 9 0 1 3, b 9 0 1 0"), 3), [0, 3]);
        assert_eq!(proportional(&candidates("a 9 0 1 3, b 9 0 1 0"), 5), [1, 4]);
    }

    #[test]
    fn least_clusters_take_from_the_fullest() {
        let all = candidates("a 9, b 9, c 9");
        let mut counts = vec![4, 0, 0];
        assert!(ensure_least(&all, &mut counts, 0, 3));
        assert_eq!(counts, [2, 1, 1]);
        let mut counts = vec![3, 2, 0];
        assert!(ensure_least(
            &candidates("a 3 50, b 2 20, c 9"),
            &mut counts,
            0,
            3
        ));
        assert_eq!(counts, [3, 1, 1], "the less preferred pays");
        assert!(!ensure_least(&all, &mut [1, 0, 0], 0, 2));
        assert!(ensure_least(&all, &mut [1, 0, 0], 1, 2));
    }

    proptest::proptest! {
        #[test]
        fn everything_that_fits_is_spread_and_nothing_more(
            each in proptest::collection::vec((0_i64..20, 0_i32..3, 1_i64..1000, 0_i64..20), 0..8),
            replicas in 0_i64..100,
        ) {
            let labels = Labels::new();
            let mut candidates: Vec<Candidate<'_>> = each
                .into_iter()
                .map(|(fit, weight, part, placed)| Candidate {
                    cluster: "c",
                    labels: &labels,
                    fit,
                    weight,
                    score: 0,
                    part,
                    placed,
                })
                .collect();
            candidates.sort_by_key(|candidate| Reverse(candidate.weight));
            let counts = proportional(&candidates, replicas);
            let room: i64 = candidates.iter().map(|candidate| candidate.fit).sum();
            proptest::prop_assert_eq!(counts.iter().sum::<i64>(), replicas.min(room));
            let mut each = counts.iter().zip(&candidates);
            proptest::prop_assert!(each.all(|(count, candidate)| (0..=candidate.fit).contains(count)));
        }
    }
}
