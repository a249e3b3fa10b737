//! Computes a placement: filter, weigh, score, order, choose, spread. A pure function of workload and snapshot.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::decision::{Decision, Outcome, Points, Scores, Verdict, summary};
use crate::plugin::{Candidate, Context, Enabled, Refusal, SchedulerPlugin};
use crate::plugins;
use crate::snapshot::Snapshot;
use crate::spread;
use crate::workload::{Policy, Preference, Workload};

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

/// The plugins that have something to say about one workload.
struct Asked<'s> {
    filters: Vec<&'s Seat>,
    scores: Vec<&'s Seat>,
    parts: Vec<&'s Seat>,
    /// The workload's preferences, the greatest weight first.
    preferences: Vec<&'s Preference>,
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
        let asked = self.asked(context);
        let clusters: Vec<&Cluster> = snapshot.clusters.values().collect();
        let (mut verdicts, mut parts) = (
            Vec::with_capacity(clusters.len()),
            Vec::with_capacity(clusters.len()),
        );
        for cluster in &clusters {
            let (verdict, part) = asked.judge(context, cluster);
            verdicts.push(verdict);
            parts.push(part);
        }
        let candidates = order(workload, &clusters, &verdicts, &parts);
        let outcome = match self.spread(context, &candidates) {
            Ok(parts) => Outcome::Placed(parts),
            Err(short) => refuse(context, &asked, &clusters, &verdicts, short),
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

    fn asked<'s>(&'s self, context: Context<'s>) -> Asked<'s> {
        let (mut filters, mut scores, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for seat in &self.plugins {
            let steps = seat.plugin.steps(context);
            filters.extend(steps.filter.then_some(seat));
            scores.extend(steps.score.then_some(seat));
            parts.extend(steps.part.then_some(seat));
        }
        let mut preferences: Vec<&Preference> = context.workload.preferences.iter().collect();
        preferences.sort_by_key(|preference| Reverse(preference.weight));
        Asked {
            filters,
            scores,
            parts,
            preferences,
        }
    }

    /// Replicas by cluster, in order; else what is short, in words, when it is not simply room.
    fn spread(
        &self,
        context: Context<'_>,
        candidates: &[Candidate<'_>],
    ) -> Result<Vec<(String, i64)>, Option<String>> {
        let workload = context.workload;
        let used: Cow<'_, [Candidate<'_>]> = match workload.spread.max_clusters {
            None => candidates.into(),
            Some(_) => {
                let chosen = spread::choose(workload, candidates).into_iter();
                chosen.map(|index| candidates[index]).collect()
            }
        };
        let counts = self
            .plugins
            .iter()
            .find_map(|seat| seat.plugin.spread(context, &used))
            .unwrap_or_default();
        let mut counts = cut(&used, &counts, workload.replicas);
        let total: i64 = counts.iter().sum();
        let enough = if workload.gang {
            total == workload.replicas
        } else {
            total > 0
        };
        if !enough {
            return Err(short(workload, candidates, &used, total));
        }
        let least = workload.spread.min_clusters;
        if least > 1 {
            let here = candidates.iter().filter(|candidate| candidate.placed > 0).count();
            let elsewhere = i64::try_from(workload.placed.len().saturating_sub(here)).unwrap_or(i64::MAX);
            // What is not all or nothing takes what it can get, on fewer clusters too.
            if !spread::ensure_least(&used, &mut counts, elsewhere, least) && workload.gang {
                let short = format!("fewer than placement.spread.minClusters ({least}) clusters have room");
                return Err(Some(short));
            }
        }
        let parts = used.iter().zip(&counts).filter(|(_, count)| **count > 0);
        Ok(parts
            .map(|(candidate, count)| (candidate.cluster.to_string(), *count))
            .collect())
    }
}

impl Asked<'_> {
    /// What is found about `cluster`, and its part.
    fn judge(&self, context: Context<'_>, cluster: &Cluster) -> (Verdict, i64) {
        let workload = context.workload;
        let mut verdict = Verdict {
            cluster: cluster.name.clone(),
            weight: self.weight(cluster),
            fit: 0,
            score: 0,
            scores: Scores::new(),
            refusal: None,
        };
        let mut part = 1;
        for seat in &self.filters {
            if let Err(refusal) = seat.plugin.filter(context, cluster) {
                verdict.refusal = Some((seat.name.clone(), refusal));
                return (verdict, part);
            }
        }
        for seat in &self.parts {
            match seat.plugin.part(context, cluster) {
                Ok(given) => part = given.unwrap_or(part),
                Err(refusal) => {
                    verdict.refusal = Some((seat.name.clone(), refusal));
                    return (verdict, part);
                }
            }
        }
        let fit = cluster
            .room
            .as_ref()
            .map_or(0, |room| room.fit(&workload.needs_on(cluster)));
        verdict.fit = fit.min(workload.replicas);
        for seat in &self.scores {
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
        (verdict, part)
    }

    /// The highest weight among the preferences that `cluster` satisfies; 0 when none.
    fn weight(&self, cluster: &Cluster) -> i32 {
        let mut preferences = self.preferences.iter();
        let first = preferences.find(|preference| preference.selector.matches(&cluster.labels));
        first.map_or(0, |preference| preference.weight)
    }

    /// Whether what keeps `cluster` from being used passes without anybody's doing: also what would have been said
    /// after the first refusal.
    fn is_allowed(&self, context: Context<'_>, cluster: &Cluster, verdict: &Verdict) -> bool {
        let Some((first, refusal)) = &verdict.refusal else {
            return true;
        };
        let after = self
            .filters
            .iter()
            .skip_while(|seat| !Arc::ptr_eq(&seat.name, first))
            .skip(1);
        let filters = after.filter_map(|seat| seat.plugin.filter(context, cluster).err());
        let parts = self
            .parts
            .iter()
            .filter_map(|seat| seat.plugin.part(context, cluster).err());
        let mut later = filters.chain(parts);
        PASSING.contains(&refusal.reason) && later.all(|refusal| PASSING.contains(&refusal.reason))
    }
}

/// The policies that govern `workload`, by name.
fn governing<'s>(workload: &Workload, snapshot: &'s Snapshot) -> Vec<&'s Policy> {
    let policies = snapshot.policies.get(&workload.namespace);
    let policies = policies.into_iter().flatten();
    let mut governing: Vec<&Policy> = policies.filter(|policy| policy.governs(workload)).collect();
    governing.sort_by(|a, b| a.name.cmp(&b.name));
    governing
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
fn cut(candidates: &[Candidate<'_>], counts: &[i64], replicas: i64) -> Vec<i64> {
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

/// Feasible clusters: weight descending, score descending, name ascending, which is how verdicts come.
fn order<'c>(
    workload: &Workload,
    clusters: &[&'c Cluster],
    verdicts: &[Verdict],
    parts: &[i64],
) -> Vec<Candidate<'c>> {
    let feasible = verdicts
        .iter()
        .enumerate()
        .filter(|(_, verdict)| verdict.refusal.is_none() && verdict.fit > 0);
    let mut keys: Vec<(Reverse<i32>, Reverse<i64>, usize)> = feasible
        .map(|(index, verdict)| (Reverse(verdict.weight), Reverse(verdict.score), index))
        .collect();
    // Stable, and quick where many are alike.
    keys.sort_by_key(|&(weight, score, _)| (weight, score));
    let each = keys.into_iter().map(|(_, _, index)| {
        let (cluster, verdict) = (clusters[index], &verdicts[index]);
        Candidate {
            cluster: &cluster.name,
            labels: &cluster.labels,
            fit: verdict.fit,
            weight: verdict.weight,
            score: verdict.score,
            placed: workload.placed.get(&*cluster.name).copied().unwrap_or(0),
            part: parts[index],
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
fn short(
    workload: &Workload,
    candidates: &[Candidate<'_>],
    used: &[Candidate<'_>],
    total: i64,
) -> Option<String> {
    let room = |of: &[Candidate<'_>]| {
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
fn refuse(
    context: Context<'_>,
    asked: &Asked<'_>,
    clusters: &[&Cluster],
    verdicts: &[Verdict],
    short: Option<String>,
) -> Outcome {
    let workload = context.workload;
    let mut message = summary(verdicts, workload.replicas);
    if let Some(short) = short {
        message = format!("{short}: {message}");
    }
    let allowed: Vec<&Cluster> = clusters
        .iter()
        .zip(verdicts)
        .filter(|(cluster, verdict)| asked.is_allowed(context, cluster, verdict))
        .map(|(cluster, _)| *cluster)
        .collect();
    let reported = allowed.iter().all(|cluster| cluster.room.is_some());
    if allowed.is_empty() || !reported {
        return Outcome::Queued(message);
    }
    let wanted = if workload.gang { workload.replicas } else { 1 };
    let mut empty: Vec<i64> = allowed
        .iter()
        .filter_map(|cluster| Some(cluster.room.as_ref()?.empty_fit(&workload.needs_on(cluster))))
        .collect();
    if let Some(most) = workload.spread.max_clusters {
        empty.sort_unstable_by_key(|fit| Reverse(*fit));
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
