//! Where replicas go, by the words of the design and nothing else: replica by replica, node by node, text by text. Slow
//! and obvious on purpose; it reads the scheduler's input as plain values and calls nothing of its code.
//!
//! What the design leaves open is fixed here as its readers would expect: see `spread` and `score`.

use std::collections::BTreeMap;

use sky_core::cluster::Node;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Kind, Strategy, Workload};

use super::rules;

/// What the reference comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Replicas by cluster, best first.
    Placed(Vec<(String, i64)>),
    /// No room now.
    Queued,
    /// Never room.
    TooLarge,
}

/// What the reference finds about one cluster.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub cluster: String,
    pub feasible: bool,
    pub fit: i64,
}

/// A cluster that can take some.
struct Choice {
    cluster: String,
    fit: i64,
    weight: i32,
    score: i64,
    placed: i64,
    part: i64,
}

/// What is free on each node of each cluster, promises taken.
pub struct Fleet {
    nodes: BTreeMap<String, Vec<Node>>,
}

impl Fleet {
    pub fn new(snapshot: &Snapshot) -> Self {
        let mut nodes = BTreeMap::new();
        for (name, cluster) in &snapshot.clusters {
            if let Some(room) = &cluster.room {
                let plain: Vec<Node> = room.nodes().iter().map(|node| (**node).clone()).collect();
                nodes.insert(name.to_string(), plain);
            }
        }
        Self { nodes }
    }

    /// Promises: each replica to the node where one fits, and of those to the one with most cpu, most memory, the first.
    pub fn reserve(&mut self, cluster: &str, workload: &Workload, count: i64) {
        let nodes = self
            .nodes
            .get_mut(cluster)
            .expect("nodes of a cluster that was chosen");
        let resource = rules::accelerator(nodes, workload);
        for _ in 0..count {
            let mut best: Option<usize> = None;
            for index in 0..nodes.len() {
                if !rules::takes_one(&nodes[index], workload, resource.as_deref()) {
                    continue;
                }
                let (free, now) = (&nodes[index].free, best.map(|best| &nodes[best].free));
                if now.is_none_or(|now| (free.cpu, free.memory) > (now.cpu, now.memory)) {
                    best = Some(index);
                }
            }
            let best = best.expect("a node with room for each replica that was placed");
            rules::use_up(&mut nodes[best], workload, resource.as_deref());
        }
    }

    pub fn decide(&self, workload: &Workload, snapshot: &Snapshot) -> (Answer, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut choices = Vec::new();
        for (name, cluster) in &snapshot.clusters {
            let nodes = self.nodes.get(&name.to_string());
            let open = rules::is_open(workload, cluster) && rules::is_allowed(workload, snapshot, cluster);
            let fit = match nodes {
                Some(nodes) if open => fit(nodes, workload),
                _ => 0,
            };
            findings.push(Finding {
                cluster: name.to_string(),
                feasible: fit > 0,
                fit,
            });
            if let Some(nodes) = nodes
                && fit > 0
            {
                choices.push(Choice {
                    cluster: name.to_string(),
                    fit,
                    weight: weight(workload, cluster),
                    score: score(workload, name, nodes),
                    placed: workload.placed.get(&name.to_string()).copied().unwrap_or(0),
                    part: rules::part(workload, cluster),
                });
            }
        }
        choices.sort_by(|a, b| {
            let by_name = a.cluster.cmp(&b.cluster);
            b.weight.cmp(&a.weight).then(b.score.cmp(&a.score)).then(by_name)
        });
        let answer = match spread(workload, &choices) {
            Some(parts) => Answer::Placed(parts),
            None if self.is_too_large(workload, snapshot) => Answer::TooLarge,
            None => Answer::Queued,
        };
        (answer, findings)
    }

    /// At least one cluster is allowed by labels and policy, all of those have reported, and they would not hold it
    /// even if empty.
    fn is_too_large(&self, workload: &Workload, snapshot: &Snapshot) -> bool {
        let mut held = Vec::new();
        for (name, cluster) in &snapshot.clusters {
            if !rules::is_allowed(workload, snapshot, cluster) {
                continue;
            }
            let Some(nodes) = self.nodes.get(&name.to_string()) else {
                return false;
            };
            let mut empty = nodes.clone();
            for node in &mut empty {
                node.ready = true;
                node.unschedulable = false;
                node.free = node.allocatable.clone();
                node.free_pods = node.pods;
            }
            held.push(fit(&empty, workload));
        }
        if held.is_empty() {
            return false;
        }
        held.sort_unstable();
        held.reverse();
        if let Some(most) = workload.spread.max_clusters {
            held.truncate(usize::try_from(most).expect("few"));
        }
        let wanted = if workload.gang { workload.replicas } else { 1 };
        held.iter().sum::<i64>() < wanted
    }
}

/// Replicas put onto nodes one by one until none takes another, or all are placed.
fn fit(nodes: &[Node], workload: &Workload) -> i64 {
    let mut nodes = nodes.to_vec();
    let resource = rules::accelerator(&nodes, workload);
    let mut count = 0;
    while count < workload.replicas {
        let taker = nodes
            .iter_mut()
            .find(|node| rules::takes_one(node, workload, resource.as_deref()));
        let Some(node) = taker else { break };
        rules::use_up(node, workload, resource.as_deref());
        count += 1;
    }
    count
}

/// The highest weight among the preferences that hold.
fn weight(workload: &Workload, cluster: &sky_core::cluster::Cluster) -> i32 {
    let mut weight = 0;
    for preference in &workload.preferences {
        if rules::holds(&preference.selector, &cluster.labels) && preference.weight > weight {
            weight = preference.weight;
        }
    }
    weight
}

/// 0..100 from each plugin, times its weight: FreeCapacity 1, SpareAccelerators 2, Stickiness 4. FreeCapacity is the
/// mean of what one replica would leave, in whole hundredths, of what nodes that are ready and not cordoned give.
fn score(workload: &Workload, name: &str, nodes: &[Node]) -> i64 {
    let resource = rules::accelerator(nodes, workload);
    let asked = rules::asked(workload, resource.as_deref());
    let mut sum = 0;
    for (name, need) in &asked {
        let (mut free, mut all) = (0, 0);
        let of_model = resource.as_deref() == Some(name);
        let usable = nodes.iter().filter(|node| node.ready && !node.unschedulable);
        for node in usable.filter(|node| !of_model || rules::has_model(node, workload)) {
            free += rules::amount(&node.free, name);
            all += rules::amount(&node.allocatable, name);
        }
        if all > 0 {
            sum += ((free - need).max(0) * 100 / all).min(100);
        }
    }
    let mut score = sum / i64::try_from(asked.len()).expect("few");
    if !rules::wants_accelerators(workload) && !nodes.iter().any(rules::has_accelerators) {
        score += 2 * 100;
    }
    if workload.kind == Kind::SkyDeployment && workload.placed.contains_key(name) {
        score += 4 * 100;
    }
    score
}

/// Replicas by cluster; `None` when they wait. Replica by replica, each to a cluster of the best weight that has room
/// left: under Pack to the first; under Even and Weighted to the one that has least for its part.
fn spread(workload: &Workload, choices: &[Choice]) -> Option<Vec<(String, i64)>> {
    let used = within_most(workload, choices);
    let mut counts = vec![0; choices.len()];
    for _ in 0..workload.replicas {
        let has_room = |index: &&usize| counts[**index] < choices[**index].fit;
        let Some(&first) = used.iter().find(has_room) else {
            break;
        };
        let mut best = first;
        for &index in used.iter().filter(has_room) {
            let (other, chosen) = (&choices[index], &choices[best]);
            // Half a replica short of one more is where the nearest whole number is one more.
            let share = |choice: &Choice, count: i64| (2 * (count + choice.placed) + 1, choice.part);
            let ((a, a_part), (b, b_part)) = (share(other, counts[index]), share(chosen, counts[best]));
            let (a, b) = match workload.spread.strategy {
                Strategy::Pack => (0, 0),
                Strategy::Even => (a, b),
                Strategy::Weighted(_) => (a * b_part, b * a_part),
            };
            if other.weight == chosen.weight && a < b {
                best = index;
            }
        }
        counts[best] += 1;
    }
    let total: i64 = counts.iter().sum();
    if total == 0 || (workload.gang && total < workload.replicas) {
        return None;
    }
    let reached = reach_least(workload, choices, &used, &mut counts);
    if workload.gang && !reached {
        return None;
    }
    let mut parts = Vec::new();
    for (choice, count) in choices.iter().zip(counts) {
        if count > 0 {
            parts.push((choice.cluster.clone(), count));
        }
    }
    Some(parts)
}

/// The clusters to use under `maxClusters`, those that have replicas already counted in: of all subsets one that holds
/// most of what is asked for, and of those the one with the best clusters.
fn within_most(workload: &Workload, choices: &[Choice]) -> Vec<usize> {
    let all: Vec<usize> = (0..choices.len()).collect();
    let Some(most) = workload.spread.max_clusters else {
        return all;
    };
    let here = i64::try_from(workload.placed.len()).expect("few");
    let slots = usize::try_from((most - here).max(0)).expect("few");
    let mut best: Option<(i64, Vec<usize>)> = None;
    for mask in 0..1_u32 << choices.len() {
        let subset: Vec<usize> = all
            .iter()
            .copied()
            .filter(|index| mask >> index & 1 == 1)
            .collect();
        let fresh = subset.iter().filter(|&&index| choices[index].placed == 0).count();
        let old = subset.len() - fresh;
        let (all_fresh, all_old) = (
            choices.iter().filter(|choice| choice.placed == 0).count(),
            choices.iter().filter(|choice| choice.placed > 0).count(),
        );
        if old < all_old || fresh != slots.min(all_fresh) {
            continue;
        }
        let held = subset
            .iter()
            .map(|&index| choices[index].fit)
            .sum::<i64>()
            .min(workload.replicas);
        // All or nothing looks for room; else capacity never outweighs preference.
        let held = if workload.gang { held } else { 0 };
        let better = match &best {
            None => true,
            Some((most, chosen)) => held > *most || (held == *most && subset < *chosen),
        };
        if better {
            best = Some((held, subset));
        }
    }
    best.map(|(_, subset)| subset).unwrap_or_default()
}

/// Until `minClusters` have replicas, the best one that has none and may be used gets one from the least preferred, of
/// those from the one that gets most, of equals the last. A cluster does not lose its only replica by that.
fn reach_least(workload: &Workload, choices: &[Choice], used: &[usize], counts: &mut [i64]) -> bool {
    loop {
        let fresh = (0..choices.len()).filter(|&index| counts[index] > 0 && choices[index].placed == 0);
        let reached = workload.placed.len() + fresh.count();
        if i64::try_from(reached).expect("few") >= workload.spread.min_clusters {
            return true;
        }
        let mut open = used.iter().copied();
        let Some(taker) = open.find(|&index| counts[index] == 0 && choices[index].placed == 0) else {
            return false;
        };
        let mut donor: Option<usize> = None;
        for &index in used {
            let gives = counts[index] > 1 || (counts[index] == 1 && choices[index].placed > 0);
            let rank = |index: usize| (-choices[index].weight, counts[index]);
            if gives && donor.is_none_or(|donor| rank(index) >= rank(donor)) {
                donor = Some(index);
            }
        }
        let Some(donor) = donor else { return false };
        counts[donor] -= 1;
        counts[taker] += 1;
    }
}
