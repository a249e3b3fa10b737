//! The rules of the design, each on its own: who may use which cluster, and what goes onto a node.

use std::collections::{BTreeMap, BTreeSet};

use sky_core::cluster::{Cluster, Effect, Health, Manager, Node, Taint, Toleration};
use sky_core::labels::{Operator, Selector};
use sky_core::resources::Resources;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{PartOf, PolicyRule, Strategy, Workload};

/// Whether all labels and all expressions of a selector hold.
pub fn holds(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    for (key, value) in &selector.labels {
        if !labels.iter().any(|(have, of)| have == key && of == value) {
            return false;
        }
    }
    for expression in &selector.expressions {
        let value = labels
            .iter()
            .find(|(key, _)| **key == expression.key)
            .map(|(_, value)| value.as_str());
        let number = value.and_then(|value| value.parse::<i64>().ok());
        let holds = match (&expression.operator, value) {
            (Operator::In(values), Some(value)) => values.iter().any(|one| one == value),
            (Operator::NotIn(values), Some(value)) => !values.iter().any(|one| one == value),
            (Operator::NotIn(_) | Operator::DoesNotExist, None) => true,
            (Operator::Exists, Some(_)) => true,
            (Operator::Gt(bound), Some(_)) => number.is_some_and(|number| number > *bound),
            (Operator::Lt(bound), Some(_)) => number.is_some_and(|number| number < *bound),
            (Operator::DoesNotExist, Some(_)) => false,
            (Operator::In(_) | Operator::Exists | Operator::Gt(_) | Operator::Lt(_), None) => false,
        };
        if !holds {
            return false;
        }
    }
    true
}

fn tolerated(taints: &[Taint], tolerations: &[Toleration]) -> bool {
    taints.iter().all(|taint| {
        tolerations.iter().any(|toleration| {
            let key = toleration.key.is_none() || toleration.key.as_deref() == Some(taint.key.as_str());
            let value =
                toleration.value.is_none() || toleration.value.as_deref() == Some(taint.value.as_str());
            let effect = match (toleration.effect, taint.effect) {
                (None, _) | (Some(Effect::NoSchedule), Effect::NoSchedule) => true,
                (Some(Effect::NoExecute), Effect::NoExecute) => true,
                (Some(_), _) => false,
            };
            key && value && effect
        })
    })
}

pub fn is_ready(cluster: &Cluster) -> bool {
    matches!(cluster.health, Health::Ready)
}

/// What passes by itself, or says nothing about labels and policy: ready, not cordoned, not tainted, not cooling down.
pub fn is_open(workload: &Workload, cluster: &Cluster) -> bool {
    let cooling = workload
        .cooling
        .keys()
        .any(|name| *name == cluster.name.to_string());
    let tolerated = tolerated(&cluster.taints, &workload.tolerations);
    is_ready(cluster) && !cluster.unschedulable && !cooling && tolerated
}

/// What lasts: labels, policies, the SkyNamespace, the manager, and that the cluster stays.
pub fn is_allowed(workload: &Workload, snapshot: &Snapshot, cluster: &Cluster) -> bool {
    let filters = &workload.filters;
    let filtered = filters.is_empty() || filters.iter().any(|filter| holds(filter, &cluster.labels));
    let namespace = snapshot.namespaces.get(&workload.namespace);
    let selected = match namespace {
        None => true,
        Some(namespace) => !namespace.deleting && is_allowed_by(&namespace.rule, cluster),
    };
    let mut governed = true;
    for policy in snapshot.policies.values().flatten() {
        let matching = policy.namespace == workload.namespace && holds(&policy.selector, &workload.labels);
        if matching && !is_allowed_by(&policy.rule, cluster) {
            governed = false;
        }
    }
    let runs = cluster.manager == Manager::Kubernetes;
    filtered && selected && governed && runs && !cluster.leaving && part(workload, cluster) > 0
}

/// (include is empty or names it or the selector matches) and exclude does not name it. A selector alone restricts.
fn is_allowed_by(rule: &PolicyRule, cluster: &Cluster) -> bool {
    let (include, exclude, selector) = match rule {
        PolicyRule::Unreadable(_) => return false,
        PolicyRule::Clusters {
            include,
            exclude,
            selector,
        } => (include, exclude, selector),
    };
    if exclude.iter().any(|name| *name == cluster.name.to_string()) {
        return false;
    }
    let named = include.iter().any(|name| *name == cluster.name.to_string());
    match selector {
        None => include.is_empty() || named,
        Some(selector) => named || holds(selector, &cluster.labels),
    }
}

/// The cluster's part: the weight of the entry that names it, else the greatest of the selectors that match, else none.
pub fn part(workload: &Workload, cluster: &Cluster) -> i64 {
    let Strategy::Weighted(parts) = &workload.spread.strategy else {
        return 1;
    };
    let (mut named, mut matched) = (0, 0);
    for part in parts {
        match &part.of {
            PartOf::Cluster(name) if *name == cluster.name.to_string() => named = part.weight.max(named),
            PartOf::Selector(selector) if holds(selector, &cluster.labels) => {
                matched = part.weight.max(matched)
            }
            PartOf::Cluster(_) | PartOf::Selector(_) => {}
        }
    }
    if named > 0 { named } else { matched }
}

fn is_accelerator(name: &str) -> bool {
    name == "nvidia.com/gpu" || name == "amd.com/gpu" || name.starts_with("gpu.intel.com/") || name == "gpu"
}

pub fn has_accelerators(node: &Node) -> bool {
    let mut extended = node.allocatable.extended.iter();
    extended.any(|(name, amount)| is_accelerator(name) && *amount > 0)
}

pub fn wants_accelerators(workload: &Workload) -> bool {
    let mut extended = workload.needs.resources.extended.iter();
    workload.needs.accelerator.is_some() || extended.any(|(name, amount)| is_accelerator(name) && *amount > 0)
}

/// A word of the full name, cut at `-`, `_` and blanks, or all of it, in any case.
fn is_model(model: &str, full: &str) -> bool {
    let (model, full) = (model.to_lowercase(), full.to_lowercase());
    let words = full.replace(['-', '_'], " ");
    words.split(' ').any(|word| word == model) || full == model
}

pub fn has_model(node: &Node, workload: &Workload) -> bool {
    match workload
        .needs
        .accelerator
        .as_ref()
        .and_then(|need| need.model.as_ref())
    {
        None => true,
        Some(model) => node
            .accelerator
            .as_ref()
            .is_some_and(|full| is_model(model, full)),
    }
}

/// The name by which the cluster's nodes offer the accelerators asked for. A share is one object of one template, so it
/// is one name: the one of which most replicas fit now; of equals the one of which most would fit on empty nodes that
/// such pods may run on, then the one with most pieces there, then the first.
pub fn accelerator(nodes: &[Node], workload: &Workload) -> Option<String> {
    let need = workload.needs.accelerator.as_ref()?;
    let suitable: Vec<&Node> = nodes.iter().filter(|node| has_model(node, workload)).collect();
    let usable: Vec<&Node> = suitable
        .iter()
        .copied()
        .filter(|node| suits_pods(node, workload))
        .collect();
    let offers = |nodes: &[&Node]| {
        let mut names = BTreeSet::new();
        for node in nodes {
            for (name, amount) in &node.allocatable.extended {
                if is_accelerator(name) && *amount > 0 {
                    names.insert(name.clone());
                }
            }
        }
        names
    };
    let of = if offers(&usable).is_empty() {
        suitable
    } else {
        usable
    };
    let mut best: Option<(String, (i64, i64, i64))> = None;
    for name in offers(&of) {
        let mut filled = nodes.to_vec();
        let mut fit = 0;
        while let Some(node) = filled
            .iter_mut()
            .find(|node| takes_one(node, workload, Some(&name)))
        {
            use_up(node, workload, Some(&name));
            fit += 1;
        }
        let each = of.iter().map(|node| amount(&node.allocatable, &name));
        let held = each.clone().map(|amount| amount / need.count.max(1)).sum();
        let rank = (fit, held, each.sum());
        if best.as_ref().is_none_or(|(_, most)| rank > *most) {
            best = Some((name, rank));
        }
    }
    best.map(|(name, _)| name)
}

/// Whether such pods may run on the node by its taints and labels.
fn suits_pods(node: &Node, workload: &Workload) -> bool {
    let needs = &workload.needs;
    let labelled = needs
        .node_labels
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    let affine = needs.node_terms.is_empty() || needs.node_terms.iter().any(|term| holds(term, &node.labels));
    labelled && affine && tolerated(&node.taints, &needs.tolerations)
}

pub fn amount(resources: &Resources, name: &str) -> i64 {
    match name {
        "cpu" => resources.cpu,
        "memory" => resources.memory,
        _ => resources.extended.get(name).copied().unwrap_or(0),
    }
}

/// All that one replica asks for, by name.
pub fn asked(workload: &Workload, resource: Option<&str>) -> BTreeMap<String, i64> {
    let needs = &workload.needs;
    let mut asked = needs.resources.extended.clone();
    asked.insert("cpu".into(), needs.resources.cpu);
    asked.insert("memory".into(), needs.resources.memory);
    if let (Some(need), Some(resource)) = (&needs.accelerator, resource) {
        *asked.entry(resource.to_owned()).or_default() += need.count;
    }
    asked
}

/// Whether one more replica goes onto the node.
pub fn takes_one(node: &Node, workload: &Workload, resource: Option<&str>) -> bool {
    let needs = &workload.needs;
    if needs.accelerator.is_some() && resource.is_none() {
        return false;
    }
    let usable = node.ready && !node.unschedulable && suits_pods(node, workload);
    let mut enough = node.free_pods >= 1;
    for (name, need) in asked(workload, resource) {
        if need > 0 && amount(&node.free, &name) < need {
            enough = false;
        }
    }
    usable && has_model(node, workload) && enough
}

/// One replica is on the node now.
pub fn use_up(node: &mut Node, workload: &Workload, resource: Option<&str>) {
    node.free_pods -= 1;
    for (name, need) in asked(workload, resource) {
        match name.as_str() {
            "cpu" => node.free.cpu -= need,
            "memory" => node.free.memory -= need,
            _ => *node.free.extended.entry(name).or_default() -= need,
        }
    }
}
