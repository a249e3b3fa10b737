//! How many replicas one node takes, and why it takes none. Called by room for each node and shape of request.

use std::borrow::Cow;
use std::sync::Arc;

use crate::accelerator;
use crate::cluster::{Node, untolerated};
use crate::resources::Resources;
use crate::workload::{AcceleratorNeed, Needs};

/// What one replica asks of a node of one cluster: its needs, accelerators by the name they have there.
pub struct Demand<'a> {
    needs: &'a Needs,
    accelerator: Option<(&'a str, &'a AcceleratorNeed)>,
}

impl<'a> Demand<'a> {
    /// The demands of `needs` on `nodes`: one, unless accelerators are asked for that nodes offer by several names, or
    /// by none.
    #[must_use]
    pub fn all(needs: &'a Needs, nodes: &'a [Arc<Node>]) -> Vec<Self> {
        let Some(need) = &needs.accelerator else {
            let accelerator = None;
            return vec![Self { needs, accelerator }];
        };
        // By what nodes offer that such pods may run on; when those offer none, the reason is with the others.
        let all = || nodes.iter().map(|node| &**node);
        let usable = all().filter(|node| suits_pods(needs, node).is_ok());
        let mut names = accelerator::resources(usable, need);
        if names.is_empty() {
            names = accelerator::resources(all(), need);
        }
        let each = names.into_iter().map(|name| Self {
            needs,
            accelerator: Some((name, need)),
        });
        each.collect()
    }

    /// The resource that accelerators are asked for by, when the needs do not name it themselves.
    #[must_use]
    pub fn accelerator(&self) -> Option<&'a str> {
        self.accelerator.map(|(name, _)| name)
    }

    /// All that one replica asks for, accelerators by their name there.
    #[must_use]
    pub fn resources(&self) -> Resources {
        let mut resources = self.needs.resources.clone();
        if let Some((name, need)) = self.accelerator {
            let entry = resources.extended.entry(name.to_owned()).or_default();
            *entry = entry.saturating_add(need.count);
        }
        resources
    }

    /// Whether such pods may run on `node` at all, whatever its room; else why not.
    ///
    /// # Errors
    /// A fragment for a message, such as `nodes not ready`.
    pub fn admits(&self, node: &Node) -> Result<(), Cow<'static, str>> {
        if !node.ready {
            return Err("nodes not ready".into());
        }
        if node.unschedulable {
            return Err("nodes cordoned".into());
        }
        self.suits(node)
    }

    /// The part of `admits` that lasts: taints, labels and the model of accelerators.
    fn suits(&self, node: &Node) -> Result<(), Cow<'static, str>> {
        suits_pods(self.needs, node)?;
        match self.accelerator {
            Some((_, need)) if !accelerator::is_suitable(node, need) => {
                Err(no_accelerator(self.needs).into())
            }
            _ => Ok(()),
        }
    }

    /// How many replicas go onto `node` with this much of it free.
    #[must_use]
    pub fn on_node(&self, node: &Node, free: &Resources, pods: i64) -> i64 {
        if self.admits(node).is_err() {
            return 0;
        }
        let times = self.times_in(free).min(pods.max(0));
        if self.needs.whole_node {
            i64::from(times > 0 && is_empty(node, free))
        } else {
            times
        }
    }

    /// What one replica takes of a node on which this much is free.
    #[must_use]
    pub fn takes(&self, free: &Resources) -> Resources {
        let asked = self.resources();
        if self.needs.whole_node && asked.short_of(free).next().is_none() {
            free.clone()
        } else {
            asked
        }
    }

    /// How many replicas would go onto `nodes` if nothing ran there. Readiness and cordons pass, since they do not
    /// last.
    #[must_use]
    pub fn empty_fit(&self, nodes: &[Arc<Node>]) -> i64 {
        let suitable = nodes.iter().filter(|node| self.suits(node).is_ok());
        suitable.fold(0, |total: i64, node| {
            let most = if self.needs.whole_node {
                1
            } else {
                node.pods.max(0)
            };
            total.saturating_add(self.times_in(&node.allocatable).min(most))
        })
    }

    fn times_in(&self, free: &Resources) -> i64 {
        let times = self.needs.resources.times_in(free);
        match self.accelerator {
            Some((name, need)) if need.count > 0 => {
                // What is asked for by this name besides comes out of the same pieces.
                let besides = self.needs.resources.extended.get(name).copied().unwrap_or(0);
                let have = free.extended.get(name).copied().unwrap_or(0).max(0);
                times.min(have / need.count.saturating_add(besides))
            }
            _ => times,
        }
    }
}

/// Whether nothing runs on a node of which this much is free.
fn is_empty(node: &Node, free: &Resources) -> bool {
    free.cpu >= node.allocatable.cpu && free.memory >= node.allocatable.memory
}

/// Whether the taints and labels of `node` let pods with these needs run there.
fn suits_pods(needs: &Needs, node: &Node) -> Result<(), Cow<'static, str>> {
    if let Some(taint) = untolerated(&node.taints, &needs.tolerations) {
        return Err(format!("node taint {} not tolerated", taint.key).into());
    }
    let mut labels = needs.node_labels.iter();
    let labelled = labels.all(|(key, value)| node.labels.get(key) == Some(value));
    let terms = &needs.node_terms;
    let affine = terms.is_empty() || terms.iter().any(|term| term.matches(&node.labels));
    if labelled && affine {
        Ok(())
    } else {
        Err("no node with the labels asked for".into())
    }
}

/// What is said when no node has the accelerators that are asked for.
#[must_use]
pub fn no_accelerator(needs: &Needs) -> String {
    match needs.accelerator.as_ref().and_then(|need| need.model.as_ref()) {
        Some(model) => format!("no node with accelerator {model}"),
        None => "no node with accelerators".into(),
    }
}

/// Why one node takes no replica.
enum Lack<'a> {
    /// It is not for such pods.
    Refused(Cow<'static, str>),
    /// It has no room for one more pod.
    Pods,
    /// It has less than is asked for of these.
    Resources(Vec<&'a str>),
}

impl Lack<'_> {
    fn words(self) -> Cow<'static, str> {
        match self {
            Self::Refused(words) => words,
            Self::Pods => "too many pods".into(),
            Self::Resources(names) => format!("insufficient {}", names.join(" and ")).into(),
        }
    }
}

/// Why not one replica goes onto any node, each given with what is free on it: the reason that most nodes give.
#[must_use]
pub fn shortage<'n>(demand: &Demand<'_>, nodes: impl Iterator<Item = (&'n Node, &'n Resources)>) -> String {
    let asked = demand.resources();
    // There are few reasons, and many nodes for which no words are made.
    let mut lacks: Vec<(Lack<'_>, usize)> = Vec::new();
    for (node, free) in nodes {
        let short = || asked.short_of(free);
        let shared = demand.needs.whole_node && short().next().is_none() && !is_empty(node, free);
        let refused = demand.admits(node).err();
        let refused = refused.or_else(|| shared.then_some("no empty node".into()));
        let same = |known: &Lack<'_>| match (known, &refused) {
            (Lack::Refused(known), Some(refused)) => known == refused,
            (Lack::Pods, None) => short().next().is_none(),
            (Lack::Resources(names), None) => short().eq(names.iter().copied()),
            _ => false,
        };
        if let Some((_, count)) = lacks.iter_mut().find(|(known, _)| same(known)) {
            *count += 1;
            continue;
        }
        let lack = match refused {
            Some(refused) => Lack::Refused(refused),
            None => {
                let names: Vec<&str> = short().collect();
                if names.is_empty() {
                    Lack::Pods
                } else {
                    Lack::Resources(names)
                }
            }
        };
        lacks.push((lack, 1));
    }
    // The most frequent reason; of equals the first by name, so that the answer does not depend on the order of nodes.
    let reasons = lacks
        .into_iter()
        .map(|(lack, count)| (std::cmp::Reverse(count), lack.words()));
    let best = reasons.min();
    best.map_or_else(|| "no nodes".to_owned(), |(_, reason)| reason.into_owned())
}
