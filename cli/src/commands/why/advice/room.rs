//! Advice about capacity: which node comes closest, and what it lacks. Pure.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use sky_convert::cluster::quantities;
use sky_core::cluster::{Cluster, untolerated};
use sky_core::decision::Verdict;
use sky_core::fit::Demand;
use sky_core::resources::Resources;
use sky_core::snapshot::Snapshot;
use sky_core::workload::Workload;

use super::{Situation, code_of, rules};

/// A node that lacks least of what one replica asks for.
struct Closest<'s> {
    cluster: &'s str,
    amounts: Resources,
    asked: Resources,
    /// Thousandths of what is asked for that the scarcest resource has.
    part: i128,
}

/// Which amounts of a node are compared.
#[derive(Clone, Copy)]
enum Amounts {
    Free,
    Allocatable,
}

/// Too large for the clusters even if they were empty.
pub(super) fn too_large(situation: &Situation<'_>) -> String {
    let workload = situation.workload;
    let allowed: Vec<&Cluster> = lasting(situation).collect();
    let held = allowed
        .iter()
        .filter_map(|cluster| Some(cluster.room.as_ref()?.empty_fit(&workload.needs_on(cluster))));
    let held = held.fold(0_i64, i64::saturating_add);
    if held == 0 {
        return match closest(workload, allowed.iter().copied(), Amounts::Allocatable) {
            Some(node) => lacking(situation, &node, "largest node gives", "add a larger node"),
            None => unsuited(situation, allowed.iter().copied()),
        };
    }
    let limit = match workload.spread.max_clusters {
        Some(most) => format!(", of which placement.spread.maxClusters allows {most}"),
        None => String::new(),
    };
    let gang = if workload.gang {
        ", set spec.gang: false to start with what fits"
    } else {
        ""
    };
    format!(
        "the clusters it may use would hold {held} of {} replicas if they were empty{limit}: ask for fewer{gang}, or add \
         nodes{}",
        workload.replicas,
        situation.on_change()
    )
}

/// Clusters that may be used but for what passes by itself.
fn lasting<'s>(situation: &'s Situation<'_>) -> impl Iterator<Item = &'s Cluster> {
    let passing = |verdict: &&Verdict| {
        matches!(
            code_of(verdict),
            None | Some(
                "ClusterNotReady" | "NotReported" | "Cordoned" | "InsufficientCapacity" | "CoolingDown"
            )
        )
    };
    let allowed = situation.decision.verdicts.iter().filter(passing);
    allowed.filter_map(|verdict| situation.snapshot.clusters.get(&verdict.cluster))
}

/// Clusters that may be used lack room now; `None` when that is not what keeps it waiting.
pub(super) fn short(situation: &Situation<'_>) -> Option<String> {
    let feasible = situation
        .decision
        .verdicts
        .iter()
        .filter(|verdict| verdict.refusal.is_none());
    let room = feasible.fold(0_i64, |sum, verdict| sum.saturating_add(verdict.fit));
    if room > 0 {
        return Some(partly(situation, room));
    }
    let full = || {
        let names = situation
            .refused("InsufficientCapacity")
            .map(|verdict| &verdict.cluster);
        names.filter_map(|name| situation.snapshot.clusters.get(name))
    };
    full().next()?;
    let text = match closest(situation.workload, full(), Amounts::Free) {
        Some(node) => lacking(situation, &node, "roomiest node has", "add room"),
        None => unsuited(situation, full()),
    };
    Some(text + &alternative(situation))
}

/// Some clusters have room, but not for all, or not on as many clusters as asked for.
fn partly(situation: &Situation<'_>, room: i64) -> String {
    let workload = situation.workload;
    let wanted = workload.replicas;
    let suffix = situation.on_change();
    if room >= wanted {
        let mut loose = workload.clone();
        loose.spread.max_clusters = None;
        if situation.would_go(&loose, situation.snapshot).is_some() {
            return format!(
                "raise spec.placement.spread.maxClusters: more clusters together have room for it{suffix}"
            );
        }
        loose.spread.min_clusters = 0;
        if situation.would_go(&loose, situation.snapshot).is_some() {
            let least = workload.spread.min_clusters;
            return format!(
                "lower spec.placement.spread.minClusters: fewer than {least} clusters have room for it{suffix}"
            );
        }
    }
    let rest = wanted.saturating_sub(room).max(1);
    let how = if workload.gang {
        format!(
            "it starts when {rest} more fit; or ask for fewer, or set spec.gang: false to start with {room}{suffix}"
        )
    } else {
        format!("{rest} more follow when room for them is free")
    };
    format!(
        "there is room for {room} of {wanted} replicas: {how}{}",
        alternative(situation)
    )
}

/// A single cluster that would take it, were it not cordoned or tainted.
fn alternative(situation: &Situation<'_>) -> String {
    for verdict in situation.decision.verdicts.iter() {
        let Some(cluster) = situation.snapshot.clusters.get(&verdict.cluster) else {
            continue;
        };
        let (mut workload, mut snapshot) = (situation.workload.clone(), situation.snapshot.clone());
        let text = match code_of(verdict) {
            Some("Cordoned") => {
                open(&mut snapshot, cluster);
                format!("; or uncordon {}, which has room", cluster.name)
            }
            Some("Tainted") => {
                workload
                    .tolerations
                    .extend(cluster.taints.iter().map(rules::toleration_of));
                format!(
                    "; or use {}, which has room: {}",
                    cluster.name,
                    rules::tolerate(situation, cluster)
                )
            }
            _ => continue,
        };
        if situation.would_go(&workload, &snapshot).is_some() {
            return text;
        }
    }
    String::new()
}

fn open(snapshot: &mut Snapshot, cluster: &Cluster) {
    if let Some(cluster) = snapshot.clusters.get_mut(&cluster.name) {
        cluster.unschedulable = false;
    }
}

/// The node of these clusters that comes closest to taking one replica, by `amounts`; only nodes that suit it.
fn closest<'s>(
    workload: &Workload,
    clusters: impl Iterator<Item = &'s Cluster>,
    by: Amounts,
) -> Option<Closest<'s>> {
    let mut best: Option<Closest<'s>> = None;
    for cluster in clusters {
        let Some(room) = &cluster.room else { continue };
        let needs = workload.needs_on(cluster);
        let Some(demand) = Demand::all(&needs, room.nodes()).into_iter().next() else {
            continue;
        };
        let asked = demand.resources();
        for (node, free) in room.rows().filter(|(node, _)| demand.admits(node).is_ok()) {
            let amounts = match by {
                Amounts::Free => free,
                Amounts::Allocatable => &node.allocatable,
            };
            let part = part(&asked, amounts);
            if best.as_ref().is_none_or(|best| part > best.part) {
                best = Some(Closest {
                    cluster: &cluster.name,
                    amounts: amounts.clone(),
                    asked: asked.clone(),
                    part,
                });
            }
        }
    }
    best
}

fn part(asked: &Resources, have: &Resources) -> i128 {
    let extended = asked
        .extended
        .iter()
        .map(|(name, need)| (*need, have.extended.get(name).copied().unwrap_or(0)));
    let each = [(asked.cpu, have.cpu), (asked.memory, have.memory)]
        .into_iter()
        .chain(extended);
    let parts = each
        .filter(|(need, _)| *need > 0)
        .map(|(need, have)| i128::from(have) * 1000 / i128::from(need));
    parts.min().unwrap_or(i128::MAX)
}

fn lacking(situation: &Situation<'_>, node: &Closest<'_>, has: &str, or: &str) -> String {
    let short: Vec<&str> = node.asked.short_of(&node.amounts).collect();
    let cluster = node.cluster;
    if short.is_empty() {
        return format!("the {has} no room for another pod ({cluster}): wait until one ends, or {or}");
    }
    let (asked, have) = (quantities(&node.asked), quantities(&node.amounts));
    let listed = |amounts: &BTreeMap<String, Quantity>| {
        let amount = |name: &str| {
            amounts
                .get(name)
                .map_or("0", |amount| amount.0.as_str())
                .to_owned()
        };
        let each = short.iter().map(|name| format!("{name} {}", amount(name)));
        each.collect::<Vec<_>>().join(" and ")
    };
    format!(
        "ask for less {}, or {or}: one replica asks for {}, the {has} {} ({cluster}){}",
        short.join(" and "),
        listed(&asked),
        listed(&have),
        situation.on_change()
    )
}

/// No node suits it, whatever is free.
fn unsuited<'s>(situation: &Situation<'_>, clusters: impl Iterator<Item = &'s Cluster>) -> String {
    let asked = &situation.workload.needs;
    let mut models: Vec<String> = Vec::new();
    let (mut first, mut taint) = (None, None);
    for cluster in clusters {
        let Some(room) = &cluster.room else { continue };
        let needs = situation.workload.needs_on(cluster);
        first = first.or_else(|| Some((cluster.name.clone(), room.shortage(&needs)?)));
        for node in room.nodes().iter() {
            models.extend(node.accelerator.clone());
            taint = taint.or_else(|| untolerated(&node.taints, &needs.tolerations));
        }
    }
    models.sort();
    models.dedup();
    let suffix = situation.on_change();
    let Some((cluster, words)) = first else {
        return "see kubectl describe skycluster for the clusters it may use".to_owned();
    };
    if asked.accelerator.is_some() && words.contains("accelerator") {
        return match models.as_slice() {
            [] => format!("{words}: the clusters it may use have no accelerators; add nodes that have"),
            models => format!(
                "{words}: the clusters it may use have {}; ask for one of these, or add nodes{suffix}",
                models.join(", ")
            ),
        };
    }
    match taint {
        Some(taint) if words.starts_with("node taint") => format!(
            "the nodes of {cluster} are tainted {}: tolerate that in spec.template.spec.tolerations{suffix}",
            rules::taint(taint)
        ),
        _ if words.contains("labels") => format!(
            "{cluster} has {words}: change nodeSelector or node affinity in spec.template, or label nodes{suffix}"
        ),
        _ => format!("{cluster} can take nothing now ({words}): kubectl describe skycluster {cluster}"),
    }
}
