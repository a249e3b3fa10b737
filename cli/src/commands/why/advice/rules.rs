//! Advice about what keeps clusters from being used: taints, labels, policies, namespaces, readiness. Pure.

use sky_core::cluster::{Cluster, Effect, Health, Taint, Toleration, untolerated};
use sky_core::decision::Verdict;
use sky_core::labels::{Expression, Labels, Operator, Selector};
use sky_core::snapshot::Snapshot;
use sky_core::workload::{PolicyRule, Strategy, Workload};

use super::{Situation, code_of};

/// Reasons that one change lifts, those first that the workload's owner can change.
const LIFTED: [&str; 7] = [
    "Tainted",
    "NotWeighted",
    "PlacementFilters",
    "FilterPolicy",
    "NamespaceSelection",
    "Cordoned",
    "ClusterNotReady",
];

/// Reasons in the order of the filters, the last one first: a cluster refused late is the closest to being used.
const LATEST: [&str; 11] = [
    "ManagerUnsupported",
    "CoolingDown",
    "NotWeighted",
    "PlacementFilters",
    "FilterPolicy",
    "NamespaceSelection",
    "NamespaceDeleting",
    "Tainted",
    "Cordoned",
    "NotReported",
    "ClusterNotReady",
];

/// Every cluster is kept from being used.
pub(super) fn excluded(situation: &Situation<'_>) -> String {
    for code in LIFTED {
        let Some(any) = situation.refused(code).next() else {
            continue;
        };
        let (workload, snapshot) = lifted(situation, code);
        let Some(parts) = situation.would_go(&workload, &snapshot) else {
            continue;
        };
        let used = situation
            .refused(code)
            .find(|verdict| parts.iter().any(|(cluster, _)| **cluster == *verdict.cluster));
        let names: Vec<&str> = parts.iter().map(|(cluster, _)| cluster.as_str()).collect();
        let text = words(situation, code, used.unwrap_or(any));
        return format!("{text}; but for that, {} would take it", names.join(", "));
    }
    let latest = LATEST
        .iter()
        .find_map(|code| Some((*code, situation.refused(code).next()?)));
    let other = || {
        let refused = situation.decision.verdicts.iter();
        refused
            .filter_map(|verdict| Some((code_of(verdict)?, verdict)))
            .next()
    };
    match latest.or_else(other) {
        Some((code, verdict)) => words(situation, code, verdict),
        None => "see the table: no cluster can be used".to_owned(),
    }
}

/// The situation without the reason of this code.
fn lifted(situation: &Situation<'_>, code: &str) -> (Workload, Snapshot) {
    let (mut workload, mut snapshot) = (situation.workload.clone(), situation.snapshot.clone());
    match code {
        "Tainted" => workload.tolerations.push(Toleration {
            key: None,
            value: None,
            effect: None,
        }),
        "NotWeighted" => workload.spread.strategy = Strategy::Pack,
        "PlacementFilters" => workload.filters.clear(),
        "FilterPolicy" => {
            snapshot.policies.remove(&workload.namespace);
        }
        "NamespaceSelection" => {
            snapshot.namespaces.remove(&workload.namespace);
        }
        "Cordoned" => snapshot
            .clusters
            .values_mut()
            .for_each(|cluster| cluster.unschedulable = false),
        _ => snapshot
            .clusters
            .values_mut()
            .for_each(|cluster| cluster.health = Health::Ready),
    }
    (workload, snapshot)
}

/// What can be done about the reason of this code, as `verdict`'s cluster shows it.
fn words(situation: &Situation<'_>, code: &str, verdict: &Verdict) -> String {
    let workload = situation.workload;
    let (name, namespace) = (&verdict.cluster, &workload.namespace);
    let told = verdict
        .refusal
        .as_ref()
        .map(|(_, refusal)| refusal.message.to_string())
        .unwrap_or_default();
    let Some(cluster) = situation.snapshot.clusters.get(name) else {
        return format!("{name}: {told}");
    };
    match code {
        "Tainted" => format!("{name} is tainted: {}", tolerate(situation, cluster)),
        "NotWeighted" => format!(
            "give {name} a weight in spec.placement.spread.clusterWeights{}",
            situation.on_change()
        ),
        "PlacementFilters" => closest_by_label(situation),
        "FilterPolicy" => policy(situation, cluster),
        "NamespaceSelection" => match situation.snapshot.namespaces.get(namespace) {
            Some(rule) => format!("SkyNamespace {namespace} {}", rule_words(&rule.rule, cluster)),
            None => told,
        },
        "NamespaceDeleting" => format!("SkyNamespace {namespace} is being deleted: use another namespace"),
        "Cordoned" => format!(
            "{name} is cordoned; to open it: kubectl patch skycluster {name} --type merge -p \
             '{{\"spec\":{{\"unschedulable\":false}}}}'"
        ),
        "ClusterLeaving" => format!("{name} is being deleted: join another cluster"),
        "NotReported" => format!("{name} has not reported its nodes yet, and is tried as soon as it has"),
        "ClusterNotReady" => match &cluster.health {
            Health::NotReady { reason, message } if message.is_empty() => {
                format!("{name} is not ready ({reason}): kubectl describe skycluster {name}")
            }
            Health::NotReady { reason, message } => {
                format!("{name} is not ready ({reason}: {message}): kubectl describe skycluster {name}")
            }
            Health::Ready => format!("{name} is not ready"),
        },
        _ => format!("{name}: {told}"),
    }
}

/// `key=value:Effect`.
pub(super) fn taint(taint: &Taint) -> String {
    let value = if taint.value.is_empty() {
        String::new()
    } else {
        format!("={}", taint.value)
    };
    format!("{}{value}:{}", taint.key, effect(taint.effect))
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::NoSchedule => "NoSchedule",
        Effect::NoExecute => "NoExecute",
    }
}

/// The toleration of just this taint.
pub(super) fn toleration_of(taint: &Taint) -> Toleration {
    Toleration {
        key: Some(taint.key.clone()),
        value: Some(taint.value.clone()),
        effect: Some(taint.effect),
    }
}

/// What to add so that the taints of `cluster` are tolerated.
pub(super) fn tolerate(situation: &Situation<'_>, cluster: &Cluster) -> String {
    let open = cluster
        .taints
        .iter()
        .filter(|taint| untolerated(std::slice::from_ref(*taint), &situation.workload.tolerations).is_some());
    let each: Vec<String> = open
        .map(|taint| {
            let (key, effect) = (&taint.key, effect(taint.effect));
            match taint.value.as_str() {
                "" => format!("{{key: {key}, operator: Exists, effect: {effect}}}"),
                value => format!("{{key: {key}, value: {value}, effect: {effect}}}"),
            }
        })
        .collect();
    format!(
        "add to spec.placement.tolerations {}{}",
        each.join(", "),
        situation.on_change()
    )
}

/// The policy that refuses `cluster`, and what it says.
fn policy(situation: &Situation<'_>, cluster: &Cluster) -> String {
    let workload = situation.workload;
    let policies = situation
        .snapshot
        .policies
        .get(&workload.namespace)
        .into_iter()
        .flatten();
    let mut governing = policies.filter(|policy| policy.governs(workload));
    match governing.find(|policy| !policy.allows(&cluster.name, &cluster.labels)) {
        Some(policy) => format!(
            "FilterPolicy {} in namespace {} {}",
            policy.name,
            policy.namespace,
            rule_words(&policy.rule, cluster)
        ),
        None => format!("a FilterPolicy excludes {}", cluster.name),
    }
}

/// What a rule says that refuses `cluster`.
fn rule_words(rule: &PolicyRule, cluster: &Cluster) -> String {
    match rule {
        PolicyRule::Unreadable(why) => format!("cannot be read, so that it refuses every cluster: {why}"),
        PolicyRule::Clusters { exclude, .. } if exclude.iter().any(|name| **name == *cluster.name) => {
            format!("excludes {}", cluster.name)
        }
        PolicyRule::Clusters {
            include, selector, ..
        } => {
            let by_label = selector
                .as_ref()
                .map(|selector| format!("clusters with {}", selector_words(selector)));
            let named = (!include.is_empty()).then(|| include.join(", "));
            let allowed: Vec<String> = named.into_iter().chain(by_label).collect();
            format!("allows only {}", allowed.join(" and "))
        }
    }
}

fn selector_words(selector: &Selector) -> String {
    let labels = selector
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let expressions = selector.expressions.iter().map(|expression| {
        let key = &expression.key;
        match &expression.operator {
            Operator::In(values) => format!("{key} in ({})", values.join(",")),
            Operator::NotIn(values) => format!("{key} not in ({})", values.join(",")),
            Operator::Exists => format!("a label {key}"),
            Operator::DoesNotExist => format!("no label {key}"),
            Operator::Gt(bound) => format!("{key} above {bound}"),
            Operator::Lt(bound) => format!("{key} below {bound}"),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(" and ")
}

/// The cluster and the filter that differ least, and by what.
fn closest_by_label(situation: &Situation<'_>) -> String {
    let filters = &situation.workload.filters;
    let refused = situation.refused("PlacementFilters");
    let clusters = refused.filter_map(|verdict| situation.snapshot.clusters.get(&verdict.cluster));
    let pairs = clusters.flat_map(|cluster| {
        let each = filters.iter().enumerate();
        each.map(move |(index, filter)| (cluster, index, differences(filter, &cluster.labels)))
    });
    match pairs.min_by_key(|(_, _, differences)| differences.len()) {
        Some((cluster, index, differences)) => format!(
            "no cluster has the labels that placement.filters asks for; {} is closest to filters[{index}]: {}{}",
            cluster.name,
            differences.join(", "),
            situation.on_change()
        ),
        None => "no cluster has the labels that placement.filters asks for".to_owned(),
    }
}

/// What `labels` would have to be otherwise for `selector` to match.
fn differences(selector: &Selector, labels: &Labels) -> Vec<String> {
    let is = |key: &str| match labels.get(key) {
        Some(value) => format!("its label {key} is {value}"),
        None => format!("it has no label {key}"),
    };
    let wrong = selector
        .labels
        .iter()
        .filter(|(key, value)| labels.get(*key) != Some(*value));
    let of_labels = wrong.map(|(key, value)| format!("{} (wanted: {value})", is(key)));
    let failing = selector
        .expressions
        .iter()
        .filter(|expression| !expression.matches(labels));
    let of_expressions = failing.map(|Expression { key, operator }| match operator {
        Operator::In(values) => format!("{} (wanted: one of {})", is(key), values.join(",")),
        Operator::NotIn(values) => format!("{} (wanted: none of {})", is(key), values.join(",")),
        Operator::Exists => format!("{} (wanted: any value)", is(key)),
        Operator::DoesNotExist => format!("{} (wanted: no such label)", is(key)),
        Operator::Gt(bound) => format!("{} (wanted: above {bound})", is(key)),
        Operator::Lt(bound) => format!("{} (wanted: below {bound})", is(key)),
    });
    of_labels.chain(of_expressions).collect()
}
