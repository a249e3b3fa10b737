//! What SkyJob and SkyDeployment share: where replicas may go, what they run, what they need.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;
use sky_core::job::Refused;
use sky_core::share::{Container, Entry, EnvValue, Program, SlurmOptions};
use sky_core::workload::{Kind, Needs, Part, PartOf, Preference, ProgramKind, Spread, Strategy, Workload};
use sky_crds::placement::{Placement, Spread as ApiSpread, SpreadStrategy};
use sky_crds::workload::{SlurmOptions as ApiOptions, WorkloadSpec};

pub use crate::overrides::patches;
use crate::{resources, selector, template};

/// What the operator adds where a spec is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image of a container that names none.
    pub image: String,
    /// Seconds in which a share must start its first replica before it is tried elsewhere; 0: never.
    pub pending_timeout: i64,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            image: "ubuntu:latest".into(),
            pending_timeout: 600,
        }
    }
}

pub(crate) fn invalid(message: String) -> Refused {
    Refused {
        reason: "InvalidSpec".into(),
        message,
    }
}

/// The directive by which replicas say with whom they share nodes.
fn exclusive(workload: &WorkloadSpec) -> Option<&str> {
    let slurm = workload.slurm.as_ref()?;
    slurm.directives.get("exclusive").map(String::as_str)
}

/// A directive of a value that has no meaning is refused.
pub(crate) fn check_directives(workload: &WorkloadSpec) -> Result<(), Refused> {
    match exclusive(workload) {
        None | Some("true" | "user" | "mcs" | "false") => Ok(()),
        Some(other) => {
            let words = format!(
                "spec.slurm.directives.exclusive: {other:?} is none of true, user, mcs, false; use one"
            );
            Err(invalid(words))
        }
    }
}

/// Whether ConfigMaps and Secrets that the template names follow the workload.
pub(crate) fn follows_config(workload: &WorkloadSpec) -> bool {
    workload.follow_config.unwrap_or(true)
}

/// The workload of this kind and spec, of one replica. The kinds fill in how many there are.
pub(crate) fn workload(kind: Kind, metadata: &ObjectMeta, spec: &WorkloadSpec, needs: Needs) -> Workload {
    let placement = spec.placement.clone().unwrap_or_default();
    Workload {
        uid: metadata.uid.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        created: metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        priority: spec.priority.unwrap_or(0),
        needs: Arc::new(needs),
        filters: placement.filters.iter().map(selector::filter).collect(),
        preferences: preferences(&placement),
        tolerations: placement.tolerations.iter().map(selector::toleration).collect(),
        spread: placement.spread.as_ref().map(spread).unwrap_or_default(),
        ..Workload::new(
            kind,
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

fn preferences(placement: &Placement) -> Vec<Preference> {
    let each = placement.preferences.iter();
    each.map(|p| Preference {
        selector: selector::preference(p),
        weight: p.weight,
    })
    .collect()
}

fn spread(api: &ApiSpread) -> Spread {
    let parts = || {
        let each = api.cluster_weights.iter().map(|part| Part {
            of: match (&part.cluster, &part.selector) {
                (Some(cluster), _) => PartOf::Cluster(cluster.clone()),
                (None, labels) => {
                    PartOf::Selector(labels.as_ref().map(selector::selector).unwrap_or_default())
                }
            },
            weight: i64::from(part.weight),
        });
        each.collect()
    };
    Spread {
        strategy: match api.strategy {
            None | Some(SpreadStrategy::Pack) => Strategy::Pack,
            Some(SpreadStrategy::Even) => Strategy::Even,
            Some(SpreadStrategy::Weighted) => Strategy::Weighted(parts()),
        },
        min_clusters: api.min_clusters.map_or(0, i64::from),
        max_clusters: api.max_clusters.map(i64::from),
    }
}

/// Fewer replicas than clusters to use can never be placed.
pub(crate) fn check_spread(workload: &Workload) -> Result<(), Refused> {
    let (least, replicas) = (workload.spread.min_clusters, workload.replicas);
    if least > replicas {
        return Err(invalid(format!(
            "spec.placement.spread.minClusters: {least} clusters cannot be used by {replicas} replicas; \
             lower it, or raise spec.replicas"
        )));
    }
    Ok(())
}

/// What a replica runs and what it needs of a node.
///
/// # Errors
/// `InvalidSpec`, with words that name the field and the fix.
pub(crate) fn program(
    spec: &WorkloadSpec,
    defaults: &Defaults,
    cpu_default: i64,
) -> Result<(Program, Needs), Refused> {
    if let Some(given) = &spec.template {
        if !spec.resources.is_empty() {
            let words =
                "spec.resources: not beside spec.template; give each container its resources in the template";
            return Err(invalid(words.into()));
        }
        let needs = template::needs(given).map_err(|error| invalid(error.to_string()))?;
        return Ok((Program::Template(given.clone()), needs));
    }
    if let Some(variable) = spec.env.iter().find(|variable| variable.name.starts_with("SKY_")) {
        return Err(invalid(format!(
            "spec.env: {} is set by Sky Manager; use a name without SKY_",
            variable.name
        )));
    }
    let asked = resources::parse(&spec.resources, cpu_default).map_err(|error| invalid(error.to_string()))?;
    let entry = match &spec.run {
        Some(script) => Entry::Script(script.clone()),
        None => Entry::Command {
            command: spec.command.clone(),
            args: spec.args.clone(),
        },
    };
    let container = Container {
        image: spec.image.clone().unwrap_or_else(|| defaults.image.clone()),
        pull_policy: spec.image_pull_policy.map(|policy| format!("{policy:?}")),
        pull_secrets: spec
            .image_pull_secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        service_account: spec.service_account_name.clone(),
        entry,
        env: spec.env.iter().map(env).collect(),
        ports: spec.ports.iter().map(|port| json!(port)).collect(),
        no_image: spec.image.is_none(),
        slurm: spec.slurm.as_ref().map(|slurm| Box::new(options(slurm))),
    };
    Ok((
        Program::Container(container),
        Needs {
            resources: asked.resources,
            accelerator: asked.accelerator,
            whole_node: exclusive(spec) == Some("true"),
            ..Needs::default()
        },
    ))
}

fn options(slurm: &ApiOptions) -> SlurmOptions {
    SlurmOptions {
        partition: slurm.partition.clone(),
        account: slurm.account.clone(),
        qos: slurm.qos.clone(),
        time_limit: slurm.time_limit.map(i64::from),
        work_dir: slurm.work_dir.clone(),
        directives: slurm.directives.clone(),
    }
}

/// What of the spec decides which managers can run it.
pub(crate) fn kind_of_program(spec: &WorkloadSpec, defaults: &Defaults) -> ProgramKind {
    let from_source = spec.env.iter().any(|variable| variable.value_from.is_some());
    let fields = [
        ("spec.template", spec.template.is_some()),
        ("spec.ports", !spec.ports.is_empty()),
        ("spec.serviceAccountName", spec.service_account_name.is_some()),
        ("spec.imagePullSecrets", !spec.image_pull_secrets.is_empty()),
        ("valueFrom in spec.env", from_source),
    ];
    let only = fields.into_iter().find(|(_, given)| *given);
    ProgramKind {
        kubernetes_only: only.map(|(field, _)| field.to_owned()),
        image: spec.image.clone().unwrap_or_else(|| defaults.image.clone()),
        names_image: spec.image.is_some(),
        slurm: spec.slurm.is_some(),
    }
}

fn env(variable: &sky_crds::workload::EnvVar) -> (String, EnvValue) {
    let value = match &variable.value_from {
        Some(source) => EnvValue::From(source.clone()),
        None => EnvValue::Literal(variable.value.clone().unwrap_or_default()),
    };
    (variable.name.clone(), value)
}
