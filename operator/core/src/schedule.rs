//! Computes a placement: filter, weigh, score, order, choose, spread. A pure function of workload and snapshot.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::decision::{Decision, Outcome, Points, Verdict, summary};
use crate::plugin::{Candidate, Context, Enabled, Refusal, SchedulerPlugin};
use crate::plugins;
use crate::snapshot::Snapshot;
use crate::spread;
use crate::workload::{Policy, Workload};

/// The scheduler: a list of plugins.
pub struct Scheduler {
    plugins: Vec<Seat>,
}

/// A plugin in use, its name ready to be shared.
struct Seat {
    name: Arc<str>,
    plugin: Arc<dyn SchedulerPlugin>,
    weight: i64,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new(plugins::builtin())
    }
}

impl Scheduler {
    /// A scheduler with these plugins, asked in this order.
    #[must_use]
    pub fn new(plugins: Vec<Enabled>) -> Self {
        let seats = plugins.into_iter().map(|enabled| Seat {
            name: enabled.plugin.name().into(),
            plugin: enabled.plugin,
            weight: enabled.weight,
        });
        Self {
            plugins: seats.collect(),
        }
    }

    /// Decides where the replicas of `workload` go. Same input, same answer.
    #[must_use]
    pub fn decide(&self, workload: &Workload, snapshot: &Snapshot) -> Decision {
        let policies = governing(workload, snapshot);
        let context = context(workload, snapshot, &policies);
        let verdicts: Vec<Verdict> = snapshot
            .clusters
            .values()
            .map(|cluster| self.judge(context, cluster))
            .collect();
        let candidates = order(workload, &verdicts);
        let outcome = match self.spread(context, &candidates) {
            Ok(parts) => Outcome::Placed(parts),
            Err(short) => {
                let mut message = summary(&verdicts, workload.replicas);
                if let Some(short) = short {
                    message = format!("{short}: {message}");
                }
                refuse(context, &self.allowed(context, &verdicts), message)
            }
        };
        Decision { outcome, verdicts }
    }

    /// Whether a share of `workload` that is on `cluster` may stay there. A cluster that the snapshot does not have is
    /// nobody's to judge.
    ///
    /// # Errors
    /// The plugin that forbids it, and why.
    pub fn retain(
        &self,
        workload: &Workload,
        snapshot: &Snapshot,
        cluster: &str,
    ) -> Result<(), (Arc<str>, Refusal)> {
        let Some(cluster) = snapshot.clusters.get(cluster) else {
            return Ok(());
        };
        let policies = governing(workload, snapshot);
        let context = context(workload, snapshot, &policies);
        for seat in &self.plugins {
            if let Err(refusal) = seat.plugin.retain(context, cluster) {
                return Err((seat.name.clone(), refusal));
            }
        }
        Ok(())
    }

    /// Clusters that nothing refuses but what may pass by itself. The first refusal does not tell: what a policy
    /// excludes may be cordoned besides.
    fn allowed<'s>(&self, context: Context<'s>, verdicts: &[Verdict]) -> Vec<&'s Cluster> {
        let passes = |refusal: &Refusal| PASSING.contains(&refusal.reason);
        let clusters = verdicts.iter().filter_map(|verdict| {
            let cluster = context.snapshot.clusters.get(&verdict.cluster)?;
            let first = verdict.refusal.as_ref().map(|(_, refusal)| refusal);
            let mut seats = self.plugins.iter();
            let open = first.is_none_or(|refusal| {
                passes(refusal)
                    && seats.all(|seat| {
                        seat.plugin
                            .filter(context, cluster)
                            .err()
                            .as_ref()
                            .is_none_or(passes)
                    })
            });
            open.then_some(cluster)
        });
        clusters.collect()
    }

    fn judge(&self, context: Context<'_>, cluster: &Cluster) -> Verdict {
        let workload = context.workload;
        let mut verdict = Verdict {
            cluster: cluster.name.clone(),
            weight: weight(workload, cluster),
            fit: 0,
            score: 0,
            scores: Vec::new(),
            refusal: None,
        };
        for seat in &self.plugins {
            if let Err(refusal) = seat.plugin.filter(context, cluster) {
                verdict.refusal = Some((seat.name.clone(), refusal));
                return verdict;
            }
        }
        let fit = cluster.room.as_ref().map_or(0, |room| room.fit(&workload.needs));
        verdict.fit = fit.min(workload.replicas);
        for seat in &self.plugins {
            if let Some(score) = seat.plugin.score(context, cluster) {
                let points = score.points.clamp(0, 100);
                verdict.score += points * seat.weight;
                verdict.scores.push(Points {
                    plugin: seat.name.clone(),
                    points,
                    weight: seat.weight,
                    note: score.note,
                });
            }
        }
        verdict
    }

    /// Replicas by cluster, in order; else what is short, in words, when it is not simply room.
    fn spread(
        &self,
        context: Context<'_>,
        candidates: &[Candidate],
    ) -> Result<Vec<(String, i64)>, Option<String>> {
        let workload = context.workload;
        let chosen = spread::choose(workload, candidates);
        let all;
        let used: &[Candidate] = if chosen.len() == candidates.len() {
            candidates
        } else {
            all = chosen
                .iter()
                .map(|&index| candidates[index].clone())
                .collect::<Vec<_>>();
            &all
        };
        let counts = self
            .plugins
            .iter()
            .find_map(|seat| seat.plugin.spread(context, used))
            .unwrap_or_default();
        let mut counts = cut(used, &counts, workload.replicas);
        let total: i64 = counts.iter().sum();
        let enough = if workload.gang {
            total == workload.replicas
        } else {
            total > 0
        };
        if !enough {
            return Err(short(workload, candidates, used, total));
        }
        let here = candidates.iter().filter(|candidate| candidate.placed > 0).count();
        let elsewhere = i64::try_from(workload.placed.len().saturating_sub(here)).unwrap_or(i64::MAX);
        let least = workload.spread.min_clusters;
        // What is not all or nothing takes what it can get, on fewer clusters too.
        if !spread::ensure_least(used, &mut counts, elsewhere, least) && workload.gang {
            return Err(Some(format!(
                "fewer than placement.spread.minClusters ({least}) clusters have room"
            )));
        }
        let parts = used.iter().zip(&counts).filter(|(_, count)| **count > 0);
        Ok(parts
            .map(|(candidate, count)| (candidate.cluster.to_string(), *count))
            .collect())
    }
}

/// The policies that govern `workload`.
fn governing<'s>(workload: &Workload, snapshot: &'s Snapshot) -> Vec<&'s Policy> {
    let policies = snapshot.policies.get(&workload.namespace);
    let policies = policies.into_iter().flatten();
    policies.filter(|policy| policy.governs(workload)).collect()
}

fn context<'a>(workload: &'a Workload, snapshot: &'a Snapshot, policies: &'a [&'a Policy]) -> Context<'a> {
    Context {
        workload,
        snapshot,
        policies,
        namespace: snapshot.namespaces.get(&workload.namespace),
    }
}

/// What a plugin of anybody's may answer, cut to what is possible.
fn cut(candidates: &[Candidate], counts: &[i64], replicas: i64) -> Vec<i64> {
    let mut left = replicas;
    let each = candidates.iter().enumerate().map(|(index, candidate)| {
        let count = counts
            .get(index)
            .copied()
            .unwrap_or(0)
            .clamp(0, candidate.fit)
            .min(left);
        left -= count;
        count
    });
    each.collect()
}

/// The highest weight among the preferences that `cluster` satisfies; 0 when none.
fn weight(workload: &Workload, cluster: &Cluster) -> i32 {
    let matching = workload
        .preferences
        .iter()
        .filter(|preference| preference.selector.matches(&cluster.labels));
    matching.map(|preference| preference.weight).max().unwrap_or(0)
}

/// Feasible clusters: weight descending, score descending, name ascending. Verdicts come by name, so that their index
/// is their name's order.
fn order(workload: &Workload, verdicts: &[Verdict]) -> Vec<Candidate> {
    let mut keys: Vec<(std::cmp::Reverse<i32>, std::cmp::Reverse<i64>, usize)> = verdicts
        .iter()
        .enumerate()
        .filter(|(_, verdict)| verdict.refusal.is_none() && verdict.fit > 0)
        .map(|(index, verdict)| {
            let (weight, score) = (verdict.weight, verdict.score);
            (std::cmp::Reverse(weight), std::cmp::Reverse(score), index)
        })
        .collect();
    keys.sort_unstable();
    let each = keys.into_iter().map(|(_, _, index)| {
        let verdict = &verdicts[index];
        Candidate {
            cluster: verdict.cluster.clone(),
            fit: verdict.fit,
            weight: verdict.weight,
            score: verdict.score,
            placed: workload.placed.get(&*verdict.cluster).copied().unwrap_or(0),
            part: 1,
        }
    });
    each.collect()
}

/// Refusals that say nothing against the cluster for good: by labels and policies these clusters are allowed.
const PASSING: [&str; 7] = [
    "ClusterNotReady",
    "NotReported",
    "Cordoned",
    "Tainted",
    "InsufficientCapacity",
    "CoolingDown",
    "Expression",
];

/// What keeps replicas from their places when it is not simply room: `maxClusters`, or a plugin that spreads fewer.
fn short(workload: &Workload, candidates: &[Candidate], used: &[Candidate], total: i64) -> Option<String> {
    let room = |of: &[Candidate]| {
        of.iter()
            .fold(0_i64, |sum, candidate| sum.saturating_add(candidate.fit))
    };
    let replicas = workload.replicas;
    let wanted = if workload.gang { replicas } else { 1 };
    if room(used) >= wanted {
        return Some(format!(
            "the plugins in use spread {total} of {replicas} replicas"
        ));
    }
    let most = workload
        .spread
        .max_clusters
        .filter(|_| room(candidates) >= wanted)?;
    Some(format!(
        "placement.spread.maxClusters ({most}) leaves room for {total} of {replicas} replicas"
    ))
}

/// TooLarge when at least one cluster is allowed, every allowed one has reported, and none would hold one replica
/// (with gang: all together not all of them) even if empty. Else queued.
fn refuse(context: Context<'_>, allowed: &[&Cluster], message: String) -> Outcome {
    let workload = context.workload;
    let reported = allowed.iter().all(|cluster| cluster.room.is_some());
    if allowed.is_empty() || !reported {
        return Outcome::Queued(message);
    }
    let wanted = if workload.gang { workload.replicas } else { 1 };
    let mut empty: Vec<i64> = allowed
        .iter()
        .filter_map(|cluster| Some(cluster.room.as_ref()?.empty_fit(&workload.needs)))
        .collect();
    if let Some(most) = workload.spread.max_clusters {
        empty.sort_unstable_by_key(|fit| std::cmp::Reverse(*fit));
        empty.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    }
    let held = empty.iter().fold(0_i64, |sum, fit| sum.saturating_add(*fit));
    if held >= wanted {
        Outcome::Queued(message)
    } else {
        let would =
            format!("even if empty, the allowed clusters would hold {held} of {wanted} replicas; {message}");
        Outcome::TooLarge(would)
    }
}

#[cfg(test)]
mod tests;
