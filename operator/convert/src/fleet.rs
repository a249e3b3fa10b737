//! Clusters with their room as SkyClusters show them: the operator decides on exact nodes, everybody else on the nodes
//! that `status.nodeShapes` describes.
//!
//! Fed with SkyClusters of the host, or with documents written by hand; the plugin's simulate and why decide on the
//! result. `cluster::describe` is the way there, this is the way back: the same replicas fit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use sky_core::cluster::{Cluster, Effect, Health, Node, Taint};
use sky_core::labels::{Labels, Selector};
use sky_core::quantity::{self, QuantityError};
use sky_core::resources::{CPU, MEMORY, Resources};
use sky_core::room::Room;
use sky_core::workload::Needs;
use sky_crds::SkyCluster;
use sky_crds::cluster::{NodeShape, NodeTaint, SkyClusterStatus};
use thiserror::Error;

use crate::cluster::{self, SHAPE_LABELS};

/// Name under which room for pods is listed.
const PODS: &str = "pods";

/// Nodes that a status may describe: a count written by hand must not fill the memory.
const MOST_NODES: i64 = 100_000;

/// Pods on a node that does not say how many it gives room to.
const ANY_PODS: i64 = 1 << 31;

type Quantities = BTreeMap<String, Quantity>;

/// Why the status of a SkyCluster cannot be decided on. The words name the field.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FleetError {
    /// Not a quantity.
    #[error("{path}: failed to {source}")]
    Quantity {
        /// Dotted path, list positions in brackets.
        path: String,
        /// Why.
        source: QuantityError,
    },
    /// A negative number of nodes, or more than anything can hold.
    #[error("{0}: must be from 0 to {MOST_NODES} nodes in all")]
    Nodes(&'static str),
}

/// The cluster of `api` with the health and the room that its status shows.
///
/// No conditions at all, as in a document written by hand, count as ready. Such a document without `nodeShapes` has
/// `nodes` (1) equal nodes, which share `allocatable` (else `capacity`) and `free`; where nothing of it is said, the
/// cluster has not reported. What `free` does not name is all free, and a node that does not name `pods` holds any
/// number. Nodes that `nodes` counts and no shape describes are taken for one that is not ready: an operator's status
/// leaves out those that are not ready or cordoned.
///
/// # Errors
/// For the first amount or count that is refused, by field.
pub fn cluster(api: &SkyCluster) -> Result<Cluster, FleetError> {
    let unsaid = SkyClusterStatus::default();
    let status = api.status.as_ref().unwrap_or(&unsaid);
    let nodes = nodes(status)?;
    Ok(Cluster {
        health: health(&status.conditions),
        room: nodes.map(|nodes| Arc::new(Room::new(nodes.into()))),
        ..cluster::cluster(api)
    })
}

/// Whether the status leaves out nodes that may have room: what is decided on it is then a lower bound.
#[must_use]
pub fn is_truncated(api: &SkyCluster) -> bool {
    let status = api.status.as_ref();
    status.is_some_and(|status| status.shapes_truncated == Some(true))
}

/// Node labels that `needs` ask for and no status shows: whether nodes have them is known to the operator alone, and
/// what is decided without them is a lower bound.
#[must_use]
pub fn unseen_labels<'c>(needs: &Needs, clusters: impl Iterator<Item = &'c Cluster>) -> BTreeSet<String> {
    let of_terms = needs.node_terms.iter().flat_map(|term: &Selector| {
        let expressions = term.expressions.iter().map(|expression| &expression.key);
        term.labels.keys().chain(expressions)
    });
    let mut asked: BTreeSet<String> = needs.node_labels.keys().chain(of_terms).cloned().collect();
    asked.retain(|key| !SHAPE_LABELS.contains(&key.as_str()));
    if !asked.is_empty() {
        for room in clusters.filter_map(|cluster| cluster.room.as_ref()) {
            for node in room.nodes().iter() {
                asked.retain(|key| !node.labels.contains_key(key));
            }
        }
    }
    asked
}

fn health(conditions: &[Condition]) -> Health {
    let Some(ready) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return if conditions.is_empty() {
            Health::Ready
        } else {
            Health::NotReady {
                reason: "NotReported".into(),
                message: "does not say whether it is ready".into(),
            }
        };
    };
    if ready.status == "True" {
        return Health::Ready;
    }
    Health::NotReady {
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    }
}

/// The nodes that `status` describes; `None` when it says nothing of any.
fn nodes(status: &SkyClusterStatus) -> Result<Option<Vec<Arc<Node>>>, FleetError> {
    const NODES: &str = "status.nodes";
    if status
        .nodes
        .is_some_and(|count| !(0..=MOST_NODES).contains(&count))
    {
        return Err(FleetError::Nodes(NODES));
    }
    // The operator describes every node that can be used: without shapes it has found none.
    let of_operator = status.nodes.is_some() && !status.conditions.is_empty();
    if !status.node_shapes.is_empty() || of_operator || status.nodes == Some(0) {
        return of_shapes(status).map(Some);
    }
    let allocatable = over(&status.capacity, &status.allocatable);
    if allocatable.is_empty() && status.free.is_empty() {
        return Ok(None);
    }
    let count = status.nodes.unwrap_or(1);
    let mut node = node(
        ("status.allocatable", &over(&status.free, &allocatable)),
        ("status.free", &over(&allocatable, &status.free)),
    )?;
    node.allocatable = divided(&node.allocatable, count);
    node.free = divided(&node.free, count);
    Ok(Some(numbered(0, count, &node).collect()))
}

fn of_shapes(status: &SkyClusterStatus) -> Result<Vec<Arc<Node>>, FleetError> {
    const SHAPES: &str = "status.nodeShapes";
    let mut nodes: Vec<Arc<Node>> = Vec::new();
    let mut described = 0_i64;
    let mut rest = amounts("status.allocatable", &status.allocatable)?.resources;
    for (index, shape) in status.node_shapes.iter().enumerate() {
        described = described.saturating_add(shape.count);
        if shape.count < 0 || described > MOST_NODES {
            return Err(FleetError::Nodes(SHAPES));
        }
        let node = of_shape(shape, &format!("{SHAPES}[{index}]"))?;
        (0..shape.count).for_each(|_| rest.subtract(&node.allocatable));
        nodes.extend(numbered(index, shape.count, &node));
    }
    if status.nodes.is_some_and(|count| count > described) {
        let none = Resources::default();
        nodes.push(Arc::new(Node {
            name: "others".into(),
            allocatable: rest.maximum(&none),
            pods: ANY_PODS,
            ..Node::default()
        }));
    }
    Ok(nodes)
}

fn of_shape(shape: &NodeShape, path: &str) -> Result<Node, FleetError> {
    let allocatable = over(&shape.free, &shape.allocatable);
    let mut node = node(
        (&format!("{path}.allocatable"), &allocatable),
        (&format!("{path}.free"), &over(&allocatable, &shape.free)),
    )?;
    node.accelerator.clone_from(&shape.accelerator);
    node.labels = Labels::clone(&shape.labels);
    node.taints = shape.taints.iter().filter_map(taint).collect();
    Ok(node)
}

/// A ready node that has the first of these and of that the second free; each with its path.
fn node(allocatable: (&str, &Quantities), free: (&str, &Quantities)) -> Result<Node, FleetError> {
    let allocatable = amounts(allocatable.0, allocatable.1)?;
    let free = amounts(free.0, free.1)?;
    Ok(Node {
        ready: true,
        capacity: allocatable.resources.clone(),
        allocatable: allocatable.resources,
        free: free.resources,
        pods: allocatable.pods.unwrap_or(ANY_PODS),
        free_pods: free.pods.unwrap_or(ANY_PODS),
        ..Node::default()
    })
}

fn numbered(shape: usize, count: i64, node: &Node) -> impl Iterator<Item = Arc<Node>> {
    (0..count).map(move |index| {
        Arc::new(Node {
            name: format!("{shape}-{index}"),
            ..node.clone()
        })
    })
}

/// What keeps no pod away is left out.
fn taint(api: &NodeTaint) -> Option<Taint> {
    let effect = match api.effect.as_str() {
        "NoSchedule" => Effect::NoSchedule,
        "NoExecute" => Effect::NoExecute,
        _ => return None,
    };
    Some(Taint {
        key: api.key.clone(),
        value: api.value.clone().unwrap_or_default(),
        effect,
    })
}

/// `base` where `top` says nothing.
fn over(base: &Quantities, top: &Quantities) -> Quantities {
    let mut all = base.clone();
    all.extend(top.clone());
    all
}

/// Resources, and the pods listed among them.
struct Amounts {
    resources: Resources,
    pods: Option<i64>,
}

fn amounts(path: &str, quantities: &Quantities) -> Result<Amounts, FleetError> {
    let (mut resources, mut pods) = (Resources::default(), None);
    for (name, Quantity(text)) in quantities {
        let read = |parsed: Result<i64, QuantityError>| {
            parsed.map_err(|source| FleetError::Quantity {
                path: format!("{path}.{name}"),
                source,
            })
        };
        match name.as_str() {
            CPU => resources.cpu = read(quantity::milli(text))?,
            MEMORY => resources.memory = read(quantity::units(text))?,
            PODS => pods = Some(read(quantity::units(text))?),
            _ => {
                resources
                    .extended
                    .insert(name.clone(), read(quantity::units(text))?);
            }
        }
    }
    Ok(Amounts { resources, pods })
}

/// One of `count` equal parts, rounded down.
fn divided(resources: &Resources, count: i64) -> Resources {
    let count = count.max(1);
    let extended = resources.extended.iter();
    Resources {
        cpu: resources.cpu / count,
        memory: resources.memory / count,
        extended: extended
            .map(|(name, amount)| (name.clone(), amount / count))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
