//! Accelerators: which resources are some, what their models are called, and by which name one cluster offers them.
//! Read by room and by the reconcilers when they dispatch.

use std::sync::Arc;

use crate::cluster::Node;
use crate::workload::AcceleratorNeed;

/// Resources that are accelerators whatever follows the slash or the last dash.
const PREFIXES: [&str; 2] = ["gpu.intel.com/", "nvidia.com/mig-"];

/// Resources that are accelerators.
const NAMES: [&str; 8] = [
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "amd.com/gpu",
    "habana.ai/gaudi",
    "google.com/tpu",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neurondevice",
    "gpu",
];

/// What device plugins publish beside accelerators under a prefix of theirs: a measure, no device.
const MEASURES: [&str; 4] = [
    "gpu.intel.com/millicores",
    "gpu.intel.com/memory.max",
    "gpu.intel.com/tiles",
    "gpu.intel.com/xe_monitoring",
];

/// What resources begin with that have a model in their name: of nodes that have several, as Slurm's may.
const BY_MODEL: &str = "gpu:";

/// Whether pieces of the resource `name` are accelerators.
#[must_use]
pub fn is_accelerator(name: &str) -> bool {
    let listed = NAMES.contains(&name)
        || name.starts_with(BY_MODEL)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    listed && !MEASURES.contains(&name) && !name.ends_with("_monitoring")
}

/// Whether an accelerator that is called `full` (`NVIDIA-A100-SXM4-80GB`) is of the model that a user calls `model`
/// (`A100`): one of its words, cut at `-`, `_` and blanks, in any case; or all of it.
#[must_use]
pub fn is_model(model: &str, full: &str) -> bool {
    full.eq_ignore_ascii_case(model)
        || full
            .split(['-', '_', ' '])
            .any(|word| word.eq_ignore_ascii_case(model))
}

/// The models that `node` has: the one that it is labelled with, or those in the names of its resources.
pub fn models_of(node: &Node) -> impl Iterator<Item = &str> {
    let named = node.allocatable.extended.keys();
    let named = named.filter_map(|name| name.strip_prefix(BY_MODEL));
    node.accelerator.as_deref().into_iter().chain(named)
}

fn takes(need: &AcceleratorNeed, full: &str) -> bool {
    need.model.as_ref().is_none_or(|model| is_model(model, full))
}

/// Whether `node` has accelerators that `need` takes.
#[must_use]
pub fn is_suitable(node: &Node, need: &AcceleratorNeed) -> bool {
    need.model.is_none() || models_of(node).any(|full| takes(need, full))
}

/// The resources by which these nodes offer what `need` asks for: first the one of which they would hold most replicas
/// if empty, then the one they have most of, of equals the first by name.
#[must_use]
pub fn resources<'n>(nodes: impl Iterator<Item = &'n Node>, need: &AcceleratorNeed) -> Vec<&'n str> {
    let mut totals: Vec<(&str, (i64, i64))> = Vec::new();
    for node in nodes.filter(|node| is_suitable(node, need)) {
        let offered = node
            .allocatable
            .extended
            .iter()
            .filter(|(name, amount)| **amount > 0 && is_accelerator(name))
            .filter(|(name, _)| name.strip_prefix(BY_MODEL).is_none_or(|full| takes(need, full)));
        for (name, amount) in offered {
            let replicas = amount / need.count.max(1);
            match totals.iter_mut().find(|(known, _)| known == name) {
                Some((_, (held, pieces))) => {
                    *held = held.saturating_add(replicas);
                    *pieces = pieces.saturating_add(*amount);
                }
                None => totals.push((name, (replicas, *amount))),
            }
        }
    }
    totals.sort_by(|(a, most), (b, other)| other.cmp(most).then_with(|| a.cmp(b)));
    totals.into_iter().map(|(name, _)| name).collect()
}

/// The models of these nodes that `need` takes, as the nodes spell them, each once, by name; empty when any will do.
#[must_use]
pub fn models(nodes: &[Arc<Node>], need: &AcceleratorNeed) -> Vec<String> {
    if need.model.is_none() {
        return Vec::new();
    }
    let all = nodes.iter().flat_map(|node| models_of(node));
    let mut models: Vec<String> = all.filter(|full| takes(need, full)).map(str::to_owned).collect();
    models.sort();
    models.dedup();
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_word_of_the_full_name_in_any_case() {
        assert!(is_model("A100", "NVIDIA-A100-SXM4-80GB"));
        assert!(is_model("a100", "NVIDIA A100"));
        assert!(is_model("mi210", "AMD_Instinct_MI210"));
        assert!(is_model("a100", "a100"));
        assert!(!is_model("A10", "NVIDIA-A100-SXM4-80GB"));
        assert!(!is_model("A100", "NVIDIA-A1000"));
    }

    #[test]
    fn a_node_with_several_models_offers_each_by_its_name() {
        let mut node = Node::default();
        for (name, amount) in [("gpu:h100", 4), ("gpu:a100", 2)] {
            node.allocatable.extended.insert(name.into(), amount);
        }
        let need = |model: Option<&str>, count| AcceleratorNeed {
            count,
            model: model.map(str::to_owned),
        };
        let offered = |need| resources(std::iter::once(&node), &need).join(" ");
        assert_eq!(offered(need(Some("a100"), 1)), "gpu:a100");
        assert_eq!(offered(need(None, 1)), "gpu:h100 gpu:a100");
        assert!(is_suitable(&node, &need(Some("H100"), 1)));
        assert!(!is_suitable(&node, &need(Some("t4"), 1)));
        let nodes = [Arc::new(node.clone())];
        assert_eq!(models(&nodes, &need(Some("A100"), 1)), ["a100"]);
    }

    #[test]
    fn measures_are_no_accelerators() {
        assert!(is_accelerator("gpu.intel.com/i915"));
        assert!(is_accelerator("gpu.intel.com/xe"));
        assert!(is_accelerator("nvidia.com/mig-1g.5gb"));
        assert!(!is_accelerator("gpu.intel.com/millicores"));
        assert!(!is_accelerator("gpu.intel.com/i915_monitoring"));
        assert!(!is_accelerator("example.com/gpu"));
    }
}
