//! How many replicas nodes can take, and taking that room. Called by the NodeFit plugin and by reservations.

use std::collections::BTreeMap;

use crate::cluster::{Node, untolerated};
use crate::workload::Needs;

/// Whether pods with these needs may run on `node` at all, whatever its room; else why not.
///
/// # Errors
/// A fragment for a message, such as `node not ready`.
pub fn admits(node: &Node, needs: &Needs) -> Result<(), String> {
    if !node.ready {
        return Err("nodes not ready".into());
    }
    if node.unschedulable {
        return Err("nodes cordoned".into());
    }
    if let Some(taint) = untolerated(&node.taints, &needs.tolerations) {
        return Err(format!("node taint {} not tolerated", taint.key));
    }
    let labelled = needs
        .node_labels
        .iter()
        .all(|(key, value)| node.labels.get(key) == Some(value));
    let affine =
        needs.node_terms.is_empty() || needs.node_terms.iter().any(|term| term.matches(&node.labels));
    if labelled && affine {
        Ok(())
    } else {
        Err("no node with the labels asked for".into())
    }
}

/// How many replicas go onto `node` now.
#[must_use]
pub fn on_node(node: &Node, needs: &Needs) -> i64 {
    if admits(node, needs).is_err() {
        0
    } else {
        needs.resources.times_in(&node.free).min(node.free_pods.max(0))
    }
}

/// How many replicas go onto `nodes` now, counted up to `most`.
#[must_use]
pub fn on_nodes(nodes: &[Node], needs: &Needs, most: i64) -> i64 {
    let mut total = 0_i64;
    for node in nodes {
        total = total.saturating_add(on_node(node, needs));
        if total >= most {
            return most;
        }
    }
    total
}

/// How many replicas would go onto `nodes` if nothing ran there, counted up to `most`. Readiness and cordons pass,
/// since they do not last.
#[must_use]
pub fn on_empty_nodes(nodes: &[Node], needs: &Needs, most: i64) -> i64 {
    let mut total = 0_i64;
    for node in nodes {
        let empty = Node {
            ready: true,
            unschedulable: false,
            free: node.allocatable.clone(),
            free_pods: node.pods,
            ..node.clone()
        };
        total = total.saturating_add(on_node(&empty, needs));
        if total >= most {
            return most;
        }
    }
    total
}

/// Why not one replica goes onto any of `nodes`: the reason that most nodes give, in words.
#[must_use]
pub fn shortage(nodes: &[Node], needs: &Needs) -> String {
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        let reason = match admits(node, needs) {
            Err(reason) => reason,
            Ok(()) => match needs.resources.short_of(&node.free).as_slice() {
                [] => "too many pods".to_owned(),
                short => format!("insufficient {}", short.join(" and ")),
            },
        };
        *reasons.entry(reason).or_default() += 1;
    }
    // The most frequent reason; of equals the first by name, so that the answer does not depend on the order of nodes.
    let mut best: Option<(String, usize)> = None;
    for (reason, count) in reasons {
        if best.as_ref().is_none_or(|(_, most)| count > *most) {
            best = Some((reason, count));
        }
    }
    best.map_or_else(|| "no nodes".to_owned(), |(reason, _)| reason)
}

/// Takes room for `count` replicas, each on the admitted node with most room left, as kube-scheduler's default does.
/// What fits nowhere is taken from the roomiest node below zero, so that it is promised to nobody else.
pub fn take(nodes: &mut [Node], needs: &Needs, count: i64) {
    for _ in 0..count {
        let best = |fits: bool| {
            (0..nodes.len())
                .filter(|&index| !fits || on_node(&nodes[index], needs) > 0)
                .filter(|&index| admits(&nodes[index], needs).is_ok())
                .max_by_key(|&index| {
                    (
                        nodes[index].free.cpu,
                        nodes[index].free.memory,
                        std::cmp::Reverse(index),
                    )
                })
        };
        let Some(index) = best(true).or_else(|| best(false)) else {
            return;
        };
        nodes[index].free.subtract(&needs.resources);
        nodes[index].free_pods -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Resources;

    fn node(name: &str, cpu: i64) -> Node {
        Node {
            name: name.into(),
            ready: true,
            allocatable: Resources::new(cpu, 1 << 30),
            free: Resources::new(cpu, 1 << 30),
            pods: 10,
            free_pods: 10,
            ..Node::default()
        }
    }

    fn cpu(amount: i64) -> Needs {
        Needs {
            resources: Resources::new(amount, 0),
            ..Needs::default()
        }
    }

    #[test]
    fn two_halves_are_not_a_whole() {
        assert_eq!(on_nodes(&[node("a", 500), node("b", 500)], &cpu(1000), 10), 0);
    }

    #[test]
    fn room_for_pods_is_a_limit_too() {
        let mut small = node("a", 100_000);
        small.free_pods = 3;
        assert_eq!(on_nodes(&[small], &cpu(1), 10), 3);
    }

    #[test]
    fn taken_room_spreads_over_nodes_as_kube_scheduler_does() {
        let mut nodes = [node("a", 2000), node("b", 2000)];
        take(&mut nodes, &cpu(1000), 2);
        assert_eq!(on_nodes(&nodes, &cpu(2000), 10), 0);
        assert_eq!(on_nodes(&nodes, &cpu(1000), 10), 2);
    }

    #[test]
    fn what_fits_nowhere_is_still_taken() {
        let mut nodes = [node("a", 500)];
        take(&mut nodes, &cpu(1000), 1);
        assert_eq!(on_nodes(&nodes, &cpu(500), 10), 0);
    }

    #[test]
    fn the_shortage_names_what_is_missing() {
        assert_eq!(shortage(&[node("a", 500)], &cpu(1000)), "insufficient cpu");
        assert_eq!(shortage(&[], &cpu(1000)), "no nodes");
        let mut cordoned = node("a", 5000);
        cordoned.unschedulable = true;
        assert_eq!(shortage(&[cordoned], &cpu(1000)), "nodes cordoned");
    }
}
