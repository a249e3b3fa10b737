//! `spec.overrides`: which patches of the pod template apply on a cluster, and what replicas need there.
//!
//! Made of a workload's spec; the scheduler asks it for needs, dispatch for patches. Both patch the same template
//! (`sky_core::pod`), so that what is created is what was counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use sky_core::job::Refused;
use sky_core::labels::{Labels, Selector};
use sky_core::naming;
use sky_core::patch::{self, Patch};
use sky_core::pod;
use sky_core::share::Program;
use sky_core::workload::{Kind, Needs, Overrides};
use sky_crds::names;
use sky_crds::workload::{TemplateOverride, WorkloadSpec};

use crate::workload::invalid;
use crate::{selector, template};

/// The overrides of one workload, in the order of its spec.
#[derive(Clone, Debug, Default)]
pub struct Rules(Arc<Vec<Rule>>);

/// One of them.
#[derive(Debug)]
struct Rule {
    clusters: Vec<String>,
    selector: Option<Selector>,
    patch: Patch,
}

impl Rules {
    /// The overrides of `spec`.
    ///
    /// # Errors
    /// `InvalidSpec`, with words that name the field, for a patch that fits no template and for one that can apply on
    /// no cluster that has pods.
    pub fn read(spec: &WorkloadSpec) -> Result<Self, Refused> {
        for (index, given) in spec.overrides.iter().enumerate() {
            patch::check(&patch_of(given))
                .map_err(|error| invalid(format!("spec.overrides[{index}].{error}")))?;
            let selector = given.cluster_selector.as_ref().map(selector::selector);
            let mut labels = selector.iter().flat_map(|selector| &selector.labels);
            if labels.any(|(key, value)| key == names::CLUSTER_MANAGER_LABEL && value == "slurm") {
                return Err(invalid(format!(
                    "spec.overrides[{index}].clusterSelector: Slurm members have no pod template to patch; \
                     select Kubernetes members"
                )));
            }
        }
        Ok(Self::of(spec))
    }

    fn of(spec: &WorkloadSpec) -> Self {
        let rules = spec.overrides.iter().map(|given| Rule {
            clusters: given.clusters.clone(),
            selector: given.cluster_selector.as_ref().map(selector::selector),
            patch: patch_of(given),
        });
        Self(Arc::new(rules.collect()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patches for the cluster of this name and labels, in order: a later one is applied to what the earlier ones
    /// left, and wins.
    #[must_use]
    pub fn patches(&self, cluster: &str, labels: &Labels) -> Vec<Patch> {
        let applying = self.applying(cluster, labels);
        applying
            .iter()
            .map(|index| self.0[*index].patch.clone())
            .collect()
    }

    fn applying(&self, cluster: &str, labels: &Labels) -> Vec<usize> {
        let applies = |rule: &Rule| match &rule.selector {
            Some(selector) => selector.matches(labels),
            None => rule.clusters.iter().any(|name| name == cluster),
        };
        let each = self.0.iter().enumerate().filter(|(_, rule)| applies(rule));
        each.map(|(index, _)| index).collect()
    }
}

fn patch_of(given: &TemplateOverride) -> Patch {
    match &given.strategic_merge {
        Some(merge) => Patch::Strategic(merge.clone()),
        None => Patch::Json(given.json_patch.clone()),
    }
}

/// The patches of `spec` for the cluster of this name and labels, in order; labels with the two that every cluster counts
/// as carrying.
#[must_use]
pub fn patches(spec: &WorkloadSpec, cluster: &str, labels: &Labels) -> Vec<Patch> {
    Rules::of(spec).patches(cluster, labels)
}

/// What the scheduler asks about the overrides of a workload.
#[derive(Debug)]
pub struct Overridden {
    rules: Rules,
    kind: Kind,
    program: Program,
    labels: Labels,
    annotations: Labels,
    needs: Arc<Needs>,
    fingerprint: String,
    /// By the overrides that apply.
    known: Mutex<BTreeMap<Vec<usize>, Option<Arc<Needs>>>>,
}

impl Overridden {
    /// What `rules` make of a workload that runs `program` and needs `needs`; labels and annotations as they are copied
    /// onto its pods. `None` without rules.
    #[must_use]
    pub fn of(
        rules: &Rules,
        kind: Kind,
        program: &Program,
        (labels, annotations): (&Labels, &Labels),
        needs: &Arc<Needs>,
    ) -> Option<Arc<dyn Overrides>> {
        if rules.is_empty() {
            return None;
        }
        let described = json!(format!("{rules:?} {program:?} {labels:?} {annotations:?}")).to_string();
        Some(Arc::new(Self {
            rules: rules.clone(),
            kind,
            program: program.clone(),
            labels: labels.clone(),
            annotations: annotations.clone(),
            needs: needs.clone(),
            fingerprint: naming::hash(&[&described], 16),
            known: Mutex::default(),
        }))
    }

    /// What the pods need that these overrides leave; `None` when they need what all need, and when the overrides cannot
    /// be applied: the member will say so with the share's name.
    fn work_out(&self, applying: &[usize]) -> Option<Arc<Needs>> {
        let patches: Vec<Patch> = applying
            .iter()
            .map(|index| self.rules.0[*index].patch.clone())
            .collect();
        let parts = pod::Parts {
            kind: self.kind,
            program: &self.program,
            requests: &self.needs.resources,
            labels: &self.labels,
            annotations: &self.annotations,
        };
        let patched = pod::template(parts, &patches).ok()?;
        // Each member names accelerators in its own way: no patch changes those that have no name yet.
        let needs = Needs {
            accelerator: self.needs.accelerator.clone(),
            ..template::needs(&patched).ok()?
        };
        (needs != *self.needs).then(|| Arc::new(needs))
    }
}

impl Overrides for Overridden {
    fn needs(&self, cluster: &str, labels: &Labels) -> Option<Arc<Needs>> {
        let applying = self.rules.applying(cluster, labels);
        if applying.is_empty() {
            return None;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(needs) = known.get(&applying) {
            return needs.clone();
        }
        let needs = self.work_out(&applying);
        known.insert(applying, needs.clone());
        needs
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

#[cfg(test)]
mod tests;
