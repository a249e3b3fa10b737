//! Workloads of a scenario, and what one replica needs.

use std::sync::Arc;

use sky_core::labels::{Labels, Selector};
use sky_core::quantity;
use sky_core::resources::Resources;
use sky_core::workload::{
    AcceleratorNeed, Kind, Needs, Overrides, Part, PartOf, Preference, Strategy, Workload,
};

use super::rules;
use super::words::{Words, pair};

/// Words that begin a clause of a workload.
pub const KEYWORDS: &[&str] = &[
    "in",
    "labels",
    "replicas",
    "cpu",
    "memory",
    "gpu",
    "model",
    "image",
    "slurm",
    "kubernetes-only",
    "filter",
    "prefer",
    "tolerate",
    "spread",
    "min",
    "max",
    "priority",
    "age",
    "gang",
    "placed",
    "cooling",
    "override",
    "node-selector",
    "node-affinity",
    "node-tolerate",
];

/// When workloads of no age were created.
const NOW: i64 = 1_000_000;
/// Bytes that a replica asks for when it does not say.
const MEMORY: i64 = 128 << 20;

/// What a replica asks for when it says nothing: `cpu` millicores and 128 MiB.
pub fn default_needs(cpu: i64) -> Needs {
    Needs {
        resources: Resources::new(cpu, MEMORY),
        ..Needs::default()
    }
}

/// `job NAME …` or `deployment NAME …`, without its first word.
pub fn workload(kind: Kind, words: &mut Words) -> Result<Workload, String> {
    let name = words.want("the workload's name")?;
    let is_job = kind == Kind::SkyJob;
    let mut workload = Workload {
        uid: name.clone(),
        created: NOW,
        ..Workload::new(kind, "default", &name)
    };
    let mut needs = default_needs(if is_job { 1000 } else { 500 });
    let mut overridden = Overridden::default();
    while let Some(word) = words.take() {
        if word == "override" {
            overridden.0.push(one_override(words, &needs)?);
        } else if !need(&word, words, &mut needs)? {
            clause(&word, words, &mut workload)?;
        }
    }
    workload.needs = Arc::new(needs);
    if !overridden.0.is_empty() {
        workload.overrides = Some(Arc::new(overridden));
    }
    Ok(workload)
}

/// What replicas need on clusters that a selector matches; the last that does counts.
#[derive(Debug, Default)]
struct Overridden(Vec<(Selector, Arc<Needs>)>);

impl Overrides for Overridden {
    fn needs(&self, _: &str, labels: &Labels) -> Option<Arc<Needs>> {
        let mut rules = self.0.iter().rev();
        let (_, needs) = rules.find(|(selector, _)| selector.matches(labels))?;
        Some(needs.clone())
    }

    fn fingerprint(&self) -> &str {
        "of a scenario"
    }
}

/// `SELECTOR with cpu 4, memory 1Gi`: the needs as they are so far, but for these.
fn one_override(words: &mut Words, needs: &Needs) -> Result<(Selector, Arc<Needs>), String> {
    let (selector, mut needs) = (rules::selector(words)?, needs.clone());
    if !words.is("with") {
        return Err("an override is: SELECTOR with cpu 4, memory 1Gi".into());
    }
    loop {
        let word = words.want("what is overridden")?;
        if !need(&word, words, &mut needs)? {
            return Err(format!("{word:?} is nothing that a replica needs"));
        }
        if !words.is(",") {
            return Ok((selector, Arc::new(needs)));
        }
    }
}

/// Reads one clause about what a replica needs; answers whether it was one.
pub fn need(word: &str, words: &mut Words, needs: &mut Needs) -> Result<bool, String> {
    let amount = |words: &mut Words, read: fn(&str) -> Result<i64, quantity::QuantityError>| {
        read(&words.want("an amount")?).map_err(|error| error.to_string())
    };
    match word {
        "cpu" => needs.resources.cpu = amount(words, quantity::milli)?,
        "memory" => needs.resources.memory = amount(words, quantity::units)?,
        "gpu" => {
            let count = words.number("accelerators")?;
            needs.accelerator = Some(AcceleratorNeed { model: None, count });
        }
        "model" => {
            let model = Some(words.want("a model")?);
            let count = words.number("accelerators")?;
            needs.accelerator = Some(AcceleratorNeed { model, count });
        }
        "node-selector" => needs.node_labels.extend(words.pairs()?),
        "node-affinity" => needs.node_terms.push(rules::selector(words)?),
        "node-tolerate" => needs
            .tolerations
            .push(rules::toleration(&words.want("a toleration")?)?),
        extended if extended.contains('/') => {
            let pieces = amount(words, quantity::units)?;
            needs.resources.extended.insert(extended.to_owned(), pieces);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn clause(word: &str, words: &mut Words, workload: &mut Workload) -> Result<(), String> {
    match word {
        "in" => workload.namespace = words.want("a namespace")?,
        "labels" => workload.labels = words.pairs()?.into_iter().collect(),
        "image" => {
            workload.program.image = words.want("an image")?;
            workload.program.names_image = true;
        }
        "slurm" => workload.program.slurm = true,
        "kubernetes-only" => workload.program.kubernetes_only = Some(words.want("a field")?),
        "replicas" => workload.replicas = words.number("replicas")?,
        "filter" => workload.filters.push(rules::selector(words)?),
        "prefer" => {
            let weight = words.number("weight")?;
            workload.preferences.push(Preference {
                weight: i32::try_from(weight).map_err(|error| error.to_string())?,
                selector: rules::selector(words)?,
            });
        }
        "tolerate" => workload
            .tolerations
            .push(rules::toleration(&words.want("a toleration")?)?),
        "spread" => workload.spread.strategy = strategy(words)?,
        "min" => workload.spread.min_clusters = words.number("clusters")?,
        "max" => workload.spread.max_clusters = Some(words.number("clusters")?),
        "priority" => {
            workload.priority = i32::try_from(words.number("priority")?).map_err(|e| e.to_string())?
        }
        "age" => workload.created = NOW - words.number("seconds")?,
        "gang" => {
            workload.gang = match words.want("yes or no")?.as_str() {
                "yes" => true,
                "no" => false,
                other => return Err(format!("gang: {other:?} is neither yes nor no")),
            }
        }
        "placed" => {
            for name in words.names() {
                let (cluster, count) = pair(&name, ':')?;
                let count = count
                    .parse()
                    .map_err(|_| format!("{count:?} is no number of replicas"))?;
                workload.placed.insert(cluster, count);
            }
        }
        "cooling" => workload.cooling = words.names().into_iter().map(|name| (name, NOW + 300)).collect(),
        other => return Err(format!("{other:?} says nothing about a workload")),
    }
    Ok(())
}

/// `pack`, `even`, or `weighted NAME PART, label=value PART`.
fn strategy(words: &mut Words) -> Result<Strategy, String> {
    match words.want("pack, even or weighted")?.as_str() {
        "pack" => Ok(Strategy::Pack),
        "even" => Ok(Strategy::Even),
        "weighted" => {
            let mut parts = Vec::new();
            loop {
                let whose = words.want("a cluster or a label")?;
                let of = match pair(&whose, '=') {
                    Ok(label) => PartOf::Selector(sky_core::labels::Selector {
                        labels: [label].into(),
                        expressions: vec![],
                    }),
                    Err(_) => PartOf::Cluster(whose),
                };
                let weight = words.number("the part")?;
                parts.push(Part { of, weight });
                if !words.is(",") {
                    return Ok(Strategy::Weighted(parts));
                }
            }
        }
        other => Err(format!("{other:?} is neither pack, even nor weighted")),
    }
}
