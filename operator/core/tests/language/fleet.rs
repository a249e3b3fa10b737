//! Clusters and nodes of a scenario.

use std::sync::Arc;

use sky_core::cluster::{Cluster, Health, Images, Manager, Node, SlurmRoom};
use sky_core::labels::Labels;
use sky_core::quantity;
use sky_core::resources::Resources;
use sky_core::room::Room;

use super::words::{Words, pair};
use super::{MANAGER, NAME, rules};

/// Memory and pods of a node that does not say.
const MEMORY: i64 = 64 << 30;
const PODS: i64 = 110;

/// `cluster NAME label=value… taint… cordoned leaving slurm not ready not reported | node… | node…`.
pub fn cluster(words: &mut Words) -> Result<Cluster, String> {
    let name = words.want("the cluster's name")?;
    let (mut labels, mut taints) = (Labels::new(), Vec::new());
    let mut manager = Manager::Kubernetes;
    let (mut unschedulable, mut leaving, mut reported) = (false, false, true);
    let mut health = Health::Ready;
    let (mut images, mut most_replicas) = (Images::None, None);
    let mut nodes = Vec::new();
    while let Some(word) = words.take() {
        match word.as_str() {
            "cordoned" => unschedulable = true,
            "leaving" => leaving = true,
            "slurm" => manager = Manager::Slurm,
            "image" => {
                let image = words.want("an image")?;
                match &mut images {
                    _ if image == "any" => images = Images::Any,
                    Images::Listed(list) => drop(list.insert(image)),
                    _ => images = Images::Listed([image].into()),
                }
            }
            "most" => most_replicas = Some(words.number("replicas")?),
            "taint" => taints.push(rules::taint(&words.want("a taint")?)?),
            "not" if words.is("reported") => reported = false,
            "not" if words.is("ready") => {
                health = Health::NotReady {
                    reason: "Unreachable".into(),
                    message: "no answer".into(),
                };
            }
            "|" => add_nodes(words, &mut nodes)?,
            label => {
                let (key, value) = pair(label, '=')?;
                labels.insert(key, value);
            }
        }
    }
    let word = match manager {
        Manager::Kubernetes => "kubernetes",
        Manager::Slurm => "slurm",
    };
    labels.insert(NAME.into(), name.clone());
    labels.insert(MANAGER.into(), word.into());
    Ok(Cluster {
        name: name.into(),
        manager,
        slurm: (manager == Manager::Slurm).then(|| {
            Arc::new(SlurmRoom {
                images,
                most_replicas,
            })
        }),
        labels: labels.into(),
        taints,
        unschedulable,
        leaving,
        health,
        room: reported.then(|| Arc::new(Room::new(Arc::new(nodes)))),
    })
}

/// `node x2: cpu 8 of 16, memory 4Gi, pods 10, nvidia.com/gpu 4, accelerator A100, taint…, label…, cordoned, not ready`.
fn add_nodes(words: &mut Words, nodes: &mut Vec<Arc<Node>>) -> Result<(), String> {
    let count = match words.want("node:")?.as_str() {
        "node:" => 1,
        "node" => {
            let word = words.want("x and a number of nodes")?;
            let digits = word.strip_prefix('x').and_then(|word| word.strip_suffix(':'));
            let count = digits.and_then(|digits| digits.parse().ok());
            count.ok_or_else(|| format!("{word:?} is no number of nodes such as x2:"))?
        }
        _ => return Err("after a bar, want node: or node x2:".into()),
    };
    let node = node(words)?;
    for _ in 0..count {
        let mut next = node.clone();
        next.name = format!("node-{}", nodes.len());
        nodes.push(Arc::new(next));
    }
    Ok(())
}

fn node(words: &mut Words) -> Result<Node, String> {
    let mut node = Node {
        ready: true,
        allocatable: Resources::new(0, MEMORY),
        free: Resources::new(0, MEMORY),
        pods: PODS,
        free_pods: PODS,
        ..Node::default()
    };
    loop {
        let word = words.want("what the node has")?;
        match word.as_str() {
            "cpu" => (node.free.cpu, node.allocatable.cpu) = amounts(words, quantity::milli)?,
            "memory" => (node.free.memory, node.allocatable.memory) = amounts(words, quantity::units)?,
            "pods" => (node.free_pods, node.pods) = amounts(words, quantity::units)?,
            "accelerator" => node.accelerator = Some(words.names().join(" ")),
            "taint" => node.taints.push(rules::taint(&words.want("a taint")?)?),
            "label" => node.labels.extend([pair(&words.want("a label")?, '=')?]),
            "cordoned" => node.unschedulable = true,
            "not" if words.is("ready") => node.ready = false,
            name if name.contains('/') || name == "gpu" => {
                let (free, all) = amounts(words, quantity::units)?;
                node.free.extended.insert(name.to_owned(), free);
                node.allocatable.extended.insert(name.to_owned(), all);
            }
            other => return Err(format!("{other:?} says nothing about a node")),
        }
        if !words.is(",") {
            node.capacity = node.allocatable.clone();
            return Ok(node);
        }
    }
}

/// `8 of 16`: free and allocatable; `16`: all of it free. A free amount below zero is over-committed.
fn amounts<E: std::fmt::Display>(
    words: &mut Words,
    read: impl Fn(&str) -> Result<i64, E>,
) -> Result<(i64, i64), String> {
    let amount = |word: String| match word.strip_prefix('-') {
        Some(below) => read(below).map(|amount| -amount),
        None => read(&word),
    };
    let amount = |word: String| amount(word).map_err(|error| error.to_string());
    let free = amount(words.want("an amount")?)?;
    let all = if words.is("of") {
        amount(words.want("an amount")?)?
    } else {
        free
    };
    Ok((free, all))
}
