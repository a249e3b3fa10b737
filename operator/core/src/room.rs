//! The room on one cluster: its nodes, what was promised on top, and what was worked out for each shape of request.
//!
//! A decision asks thousands of clusters how many replicas they take. The answer depends on the nodes and on what one
//! replica needs alone, so it is kept until room is taken: nodes are not counted again for a cluster that did not
//! change.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::accelerator;
use crate::cluster::{Node, Nodes};
use crate::fit::{self, Demand};
use crate::resources::Resources;
use crate::workload::Needs;

/// Shapes of request that a cluster remembers; the oldest is forgotten first.
const REMEMBERED: usize = 32;

/// What is left on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Resources; below zero when over-committed.
    pub free: Resources,
    /// Pods.
    pub pods: i64,
}

/// What was worked out for one shape of request.
#[derive(Clone, Debug)]
struct Known {
    needs: Arc<Needs>,
    fit: i64,
    shortage: Option<Arc<str>>,
    pieces: Option<Pieces>,
    empty: Option<i64>,
}

/// Accelerators that needs ask for without naming a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The resource by which the nodes offer them.
    pub resource: Arc<str>,
    /// What is left on nodes that are ready, not cordoned and of the model asked for.
    pub free: i64,
    /// What these nodes give to workloads.
    pub allocatable: i64,
}

/// The room on one cluster.
#[derive(Debug)]
pub struct Room {
    nodes: Nodes,
    /// Nodes that room was taken from, by index.
    touched: BTreeMap<usize, Left>,
    free: Resources,
    allocatable: Resources,
    accelerators: i64,
    models: Vec<Arc<str>>,
    known: Mutex<Vec<Known>>,
}

impl Clone for Room {
    fn clone(&self) -> Self {
        Self {
            nodes: self.nodes.clone(),
            touched: self.touched.clone(),
            free: self.free.clone(),
            allocatable: self.allocatable.clone(),
            accelerators: self.accelerators,
            models: self.models.clone(),
            known: Mutex::new(self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        }
    }
}

impl Room {
    /// The room on `nodes`, nothing promised yet.
    #[must_use]
    pub fn new(nodes: Nodes) -> Self {
        let (mut free, mut allocatable) = (Resources::default(), Resources::default());
        for node in nodes.iter().filter(|node| node.ready && !node.unschedulable) {
            free.add(&node.free);
            allocatable.add(&node.allocatable);
        }
        let accelerators = nodes
            .iter()
            .flat_map(|node| &node.allocatable.extended)
            .filter(|(name, _)| accelerator::is_accelerator(name))
            .fold(0_i64, |sum, (_, amount)| sum.saturating_add(*amount));
        let models: BTreeSet<&str> = nodes
            .iter()
            .flat_map(|node| accelerator::models_of(node))
            .collect();
        let models: Vec<String> = models.into_iter().map(str::to_owned).collect();
        Self {
            nodes,
            touched: BTreeMap::new(),
            free,
            allocatable,
            accelerators,
            models: models.into_iter().map(Arc::from).collect(),
            known: Mutex::default(),
        }
    }

    /// The nodes, as the member reported them.
    #[must_use]
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Each node with what is left on it.
    pub fn rows(&self) -> impl Iterator<Item = (&Node, &Resources)> {
        let each = self.nodes.iter().enumerate();
        each.map(|(index, node)| (&**node, self.left(index, node).0))
    }

    /// How many more pods each node has room for, in the order of `rows`.
    pub fn free_pods(&self) -> impl Iterator<Item = i64> {
        let each = self.nodes.iter().enumerate();
        each.map(|(index, node)| self.left(index, node).1)
    }

    /// What is left on nodes that are ready and not cordoned.
    #[must_use]
    pub fn free(&self) -> &Resources {
        &self.free
    }

    /// What nodes that are ready and not cordoned give to workloads.
    #[must_use]
    pub fn allocatable(&self) -> &Resources {
        &self.allocatable
    }

    /// Accelerators on all nodes.
    #[must_use]
    pub fn accelerators(&self) -> i64 {
        self.accelerators
    }

    /// Models of accelerators on all nodes, each once, by name.
    #[must_use]
    pub fn models(&self) -> &[Arc<str>] {
        &self.models
    }

    /// How many replicas with these needs go onto the nodes now.
    #[must_use]
    pub fn fit(&self, needs: &Arc<Needs>) -> i64 {
        self.ask(needs, |known| known.fit)
    }

    /// Why not one replica with these needs goes onto the nodes now; `None` when one does.
    #[must_use]
    pub fn shortage(&self, needs: &Arc<Needs>) -> Option<Arc<str>> {
        self.ask(needs, |known| known.shortage.clone())
    }

    /// The resource by which the nodes offer the accelerators that these needs ask for without naming one.
    #[must_use]
    pub fn accelerator(&self, needs: &Arc<Needs>) -> Option<Arc<str>> {
        self.pieces(needs).map(|pieces| pieces.resource)
    }

    /// The accelerators that these needs ask for without naming a resource.
    #[must_use]
    pub fn pieces(&self, needs: &Arc<Needs>) -> Option<Pieces> {
        needs.accelerator.as_ref()?;
        self.ask(needs, |known| known.pieces.clone())
    }

    /// How many replicas would go onto the nodes if nothing ran there.
    #[must_use]
    pub fn empty_fit(&self, needs: &Arc<Needs>) -> i64 {
        self.ask(needs, |known| {
            *known.empty.get_or_insert_with(|| {
                let each = Demand::all(needs, &self.nodes).into_iter();
                each.map(|demand| demand.empty_fit(&self.nodes))
                    .max()
                    .unwrap_or(0)
            })
        })
    }

    /// The demand of `needs` here. Of several names of accelerators the one of which most replicas fit now; a share has
    /// one name for all its replicas.
    fn demand<'a>(&self, needs: &'a Needs, nodes: &'a Nodes) -> Option<Demand<'a>> {
        let mut demands = Demand::all(needs, nodes);
        if demands.len() > 1 {
            // Stable: of equals the one that would hold most if empty.
            demands.sort_by_cached_key(|demand| std::cmp::Reverse(self.count(demand)));
        }
        demands.into_iter().next()
    }

    fn count(&self, demand: &Demand<'_>) -> i64 {
        let each = self.nodes.iter().enumerate();
        each.fold(0_i64, |total, (index, node)| {
            let (free, pods) = self.left(index, node);
            total.saturating_add(demand.on_node(node, free, pods))
        })
    }

    fn ask<T>(&self, needs: &Arc<Needs>, answer: impl FnOnce(&mut Known) -> T) -> T {
        let mut kept = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.iter_mut().find(|known| Arc::ptr_eq(&known.needs, needs)) {
            return answer(known);
        }
        if let Some(known) = kept.iter_mut().find(|known| *known.needs == **needs) {
            // Who asks has another question soon, and is known by its pointer then.
            known.needs = needs.clone();
            return answer(known);
        }
        if kept.len() >= REMEMBERED {
            kept.remove(0);
        }
        let mut known = self.work_out(needs);
        let answer = answer(&mut known);
        kept.push(known);
        answer
    }

    fn work_out(&self, needs: &Arc<Needs>) -> Known {
        let demand = self.demand(needs, &self.nodes);
        let fit = demand.as_ref().map_or(0, |demand| self.count(demand));
        let shortage = (fit == 0).then(|| match &demand {
            Some(demand) => fit::shortage(demand, self.rows()),
            None => fit::no_accelerator(needs),
        });
        Known {
            needs: needs.clone(),
            fit,
            shortage: shortage.map(Arc::from),
            pieces: demand.and_then(|demand| self.sum_up(needs, demand.accelerator()?)),
            empty: None,
        }
    }

    fn sum_up(&self, needs: &Needs, resource: &str) -> Option<Pieces> {
        let need = needs.accelerator.as_ref()?;
        let mut pieces = Pieces {
            resource: resource.into(),
            free: 0,
            allocatable: 0,
        };
        let of = |amounts: &Resources| amounts.extended.get(resource).copied().unwrap_or(0);
        let rows = self.rows().filter(|(node, _)| node.ready && !node.unschedulable);
        for (node, left) in rows.filter(|(node, _)| accelerator::is_suitable(node, need)) {
            pieces.free = pieces.free.saturating_add(of(left));
            pieces.allocatable = pieces.allocatable.saturating_add(of(&node.allocatable));
        }
        Some(pieces)
    }

    fn left<'a>(&'a self, index: usize, node: &'a Node) -> (&'a Resources, i64) {
        match self.touched.get(&index) {
            Some(left) => (&left.free, left.pods),
            None => (&node.free, node.free_pods),
        }
    }

    /// Takes room for `count` replicas, each on the admitted node with most room left, as kube-scheduler's default
    /// does. What fits nowhere is taken from the roomiest node below zero, so that it is promised to nobody else.
    pub fn take(&mut self, needs: &Needs, count: i64) {
        if count <= 0 {
            return;
        }
        let nodes = self.nodes.clone();
        let Some(demand) = self.demand(needs, &nodes) else {
            return;
        };
        let mut heap: BinaryHeap<Roomy> = (0..nodes.len())
            .filter(|&index| demand.admits(&nodes[index]).is_ok())
            .map(|index| {
                let (free, pods) = self.left(index, &nodes[index]);
                Roomy {
                    fits: demand.on_node(&nodes[index], free, pods) > 0,
                    cpu: free.cpu,
                    memory: free.memory,
                    index: std::cmp::Reverse(index),
                }
            })
            .collect();
        for _ in 0..count {
            let Some(best) = heap.pop() else { break };
            let index = best.index.0;
            let node = &nodes[index];
            let left = self.touched.entry(index).or_insert_with(|| Left {
                free: node.free.clone(),
                pods: node.free_pods,
            });
            let taken = demand.takes(&left.free);
            left.free.subtract(&taken);
            left.pods -= 1;
            if node.ready && !node.unschedulable {
                self.free.subtract(&taken);
            }
            heap.push(Roomy {
                fits: demand.on_node(node, &left.free, left.pods) > 0,
                cpu: left.free.cpu,
                memory: left.free.memory,
                index: best.index,
            });
        }
        self.known
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// A node in the order in which room is taken: one that fits, then most cpu, most memory, the first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Roomy {
    fits: bool,
    cpu: i64,
    memory: i64,
    index: std::cmp::Reverse<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn room(nodes: &[Node]) -> Room {
        Room::new(Arc::new(nodes.iter().cloned().map(Arc::new).collect()))
    }

    fn cpu(amount: i64) -> Arc<Needs> {
        Arc::new(Needs {
            resources: Resources::new(amount, 0),
            ..Needs::default()
        })
    }

    #[test]
    fn two_halves_are_not_a_whole() {
        assert_eq!(room(&[node("a", 500), node("b", 500)]).fit(&cpu(1000)), 0);
    }

    #[test]
    fn room_for_pods_is_a_limit_too() {
        let mut small = node("a", 100_000);
        small.free_pods = 3;
        assert_eq!(room(&[small]).fit(&cpu(1)), 3);
    }

    #[test]
    fn taken_room_spreads_over_nodes_as_kube_scheduler_does() {
        let mut room = room(&[node("a", 2000), node("b", 2000)]);
        room.take(&cpu(1000), 2);
        assert_eq!(room.fit(&cpu(2000)), 0);
        assert_eq!(room.fit(&cpu(1000)), 2);
        assert_eq!(room.free().cpu, 2000);
    }

    #[test]
    fn who_wants_a_node_alone_takes_a_whole_one_that_is_empty() {
        let alone = Arc::new(Needs {
            whole_node: true,
            ..(*cpu(1000)).clone()
        });
        let mut busy = node("b", 4000);
        busy.free.cpu = 3000;
        let mut room = room(&[node("a", 4000), busy.clone(), node("c", 500)]);
        assert_eq!((room.fit(&alone), room.empty_fit(&alone)), (1, 2));
        room.take(&alone, 1);
        assert_eq!((room.fit(&alone), room.fit(&cpu(1000))), (0, 3));
        let of_busy = super::tests::room(&[busy]);
        assert_eq!(of_busy.shortage(&alone).as_deref(), Some("no empty node"));
        assert_eq!(of_busy.empty_fit(&alone), 1);
    }

    #[test]
    fn what_fits_nowhere_is_still_taken() {
        let mut room = room(&[node("a", 500)]);
        room.take(&cpu(1000), 1);
        assert_eq!(room.fit(&cpu(500)), 0);
    }

    #[test]
    fn what_was_worked_out_is_forgotten_when_room_is_taken() {
        let mut room = room(&[node("a", 2000)]);
        assert_eq!(room.fit(&cpu(1000)), 2);
        room.take(&cpu(500), 3);
        assert_eq!(room.fit(&cpu(1000)), 0);
        assert_eq!(room.shortage(&cpu(1000)).as_deref(), Some("insufficient cpu"));
        assert_eq!(room.empty_fit(&cpu(1000)), 2);
    }

    #[test]
    fn the_shortage_names_what_is_missing() {
        let why = |nodes: &[Node]| room(nodes).shortage(&cpu(1000));
        assert_eq!(why(&[node("a", 500)]).as_deref(), Some("insufficient cpu"));
        assert_eq!(why(&[]).as_deref(), Some("no nodes"));
        let mut cordoned = node("a", 5000);
        cordoned.unschedulable = true;
        assert_eq!(why(&[cordoned]).as_deref(), Some("nodes cordoned"));
        assert_eq!(why(&[node("a", 5000)]), None);
    }
}
