//! SkyJob as core sees it: the workload to schedule, the facts to plan by, and the shares to dispatch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sky_core::job::{Facts, Finished, Refused};
use sky_core::labels::Labels;
use sky_core::naming;
use sky_core::observation::Counts;
use sky_core::placement::PlacedShare;
use sky_core::share::{Container, Entry, EnvValue, Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::{Kind, Needs, Preference, Workload};
use sky_crds::job::RestartPolicy;
use sky_crds::names;
use sky_crds::placement::Placement;
use sky_crds::scalar::Count;
use sky_crds::workload::{OnClusterLost, WorkloadSpec};
use sky_crds::{SkyJob, SkyJobSpec};

use crate::{resources, selector, status, template};

/// What the operator adds where a spec is silent.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// Image of a container that names none.
    pub image: String,
}

/// A SkyJob whose spec can be carried out.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is scheduled.
    pub workload: Workload,
    /// What a replica runs.
    pub program: Program,
    /// What happens when a replica fails.
    pub retry: Retry,
    /// The run that is or is to be carried out: see `present_run`.
    pub run: String,
    /// Hash of all of the spec that a run depends on.
    pub spec_hash: String,
    /// The user's labels that are copied to members.
    pub labels: Labels,
    /// The user's annotations that are copied to members.
    pub annotations: Labels,
}

/// Parses `job`.
///
/// # Errors
/// `InvalidSpec` or `NotSupported`, with words that name the field and the fix.
pub fn parse(job: &SkyJob, defaults: &Defaults) -> Result<Job, Refused> {
    let spec = &job.spec;
    refuse_unsupported(spec)?;
    let replicas = replicas(spec)?;
    let (program, needs) = program(&spec.workload, defaults)?;
    let placement = spec.workload.placement.clone().unwrap_or_default();
    let metadata = &job.metadata;
    let workload = Workload {
        kind: Kind::SkyJob,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        labels: metadata.labels.clone().unwrap_or_default(),
        created: metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |time| time.0.as_second()),
        priority: spec.workload.priority.unwrap_or(0),
        replicas,
        gang: spec.gang.unwrap_or(true),
        needs,
        filters: placement.filters.iter().map(selector::filter).collect(),
        preferences: preferences(&placement),
        tolerations: placement.tolerations.iter().map(selector::toleration).collect(),
    };
    let limit = i64::from(spec.backoff_limit.unwrap_or(0));
    let restart = restart_policy(spec)?;
    Ok(Job {
        workload,
        program,
        retry: match restart {
            RestartPolicy::OnFailure => Retry::Restart(limit),
            RestartPolicy::Never => Retry::Replace(limit),
        },
        run: present_run(job),
        spec_hash: spec_hash(spec),
        labels: copied(metadata.labels.as_ref()),
        annotations: copied(metadata.annotations.as_ref()),
    })
}

fn preferences(placement: &Placement) -> Vec<Preference> {
    let each = placement.preferences.iter();
    each.map(|p| Preference {
        selector: selector::preference(p),
        weight: p.weight,
    })
    .collect()
}

fn invalid(message: String) -> Refused {
    Refused {
        reason: "InvalidSpec".into(),
        message,
    }
}

/// Fields whose behaviour is not there yet are refused, never ignored.
fn refuse_unsupported(spec: &SkyJobSpec) -> Result<(), Refused> {
    let workload = &spec.workload;
    let spread = workload
        .placement
        .as_ref()
        .and_then(|placement| placement.spread.as_ref());
    let fields = [
        (
            "pendingTimeoutSeconds",
            workload
                .pending_timeout_seconds
                .is_some_and(|seconds| seconds > 0),
        ),
        (
            "onClusterLost: Reschedule",
            workload.on_cluster_lost == Some(OnClusterLost::Reschedule),
        ),
        ("followConfig: true", workload.follow_config == Some(true)),
        ("overrides", !workload.overrides.is_empty()),
        ("slurm", workload.slurm.is_some()),
        ("placement.spread", spread.is_some()),
        ("gang: false", spec.gang == Some(false)),
    ];
    let refused: Vec<&str> = fields
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| *name)
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let message = format!("spec.{} is not supported yet; remove it", refused.join(", spec."));
    Err(Refused {
        reason: "NotSupported".into(),
        message,
    })
}

/// The spec's own, or the template's; Never when neither says.
fn restart_policy(spec: &SkyJobSpec) -> Result<RestartPolicy, Refused> {
    let given = spec
        .workload
        .template
        .as_ref()
        .and_then(|template| template.pointer("/spec/restartPolicy"));
    let in_template = match given.and_then(|policy| policy.as_str()) {
        None => None,
        Some("Never") => Some(RestartPolicy::Never),
        Some("OnFailure") => Some(RestartPolicy::OnFailure),
        Some(other) => {
            let words = format!(
                "spec.template.spec.restartPolicy: {other:?} is not for jobs; use Never or OnFailure"
            );
            return Err(invalid(words));
        }
    };
    match (spec.restart_policy, in_template) {
        (Some(outer), Some(inner)) if outer != inner => {
            let words = "spec.restartPolicy and spec.template.spec.restartPolicy differ; give one of them";
            Err(invalid(words.into()))
        }
        (outer, inner) => Ok(outer.or(inner).unwrap_or(RestartPolicy::Never)),
    }
}

fn replicas(spec: &SkyJobSpec) -> Result<i64, Refused> {
    let number = match &spec.replicas {
        Count::Number(number) => Some(*number),
        Count::Text(text) => text.parse().ok(),
    };
    let in_range = number.filter(|number| (1..=100_000).contains(number));
    in_range.ok_or_else(|| invalid("spec.replicas: must be a whole number from 1 to 100000".into()))
}

fn program(spec: &WorkloadSpec, defaults: &Defaults) -> Result<(Program, Needs), Refused> {
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
    let asked = resources::parse(&spec.resources).map_err(|error| match error {
        resources::ResourceError::NotSupported(_) => Refused {
            reason: "NotSupported".into(),
            message: error.to_string(),
        },
        _ => invalid(error.to_string()),
    })?;
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
    };
    Ok((
        Program::Container(container),
        Needs {
            resources: asked,
            ..Needs::default()
        },
    ))
}

fn env(variable: &sky_crds::workload::EnvVar) -> (String, EnvValue) {
    let value = match &variable.value_from {
        Some(source) => EnvValue::From(source.clone()),
        None => EnvValue::Literal(variable.value.clone().unwrap_or_default()),
    };
    (variable.name.clone(), value)
}

/// Hash of the spec without the fields that may change during a run.
fn spec_hash(spec: &SkyJobSpec) -> String {
    let mut spec = spec.clone();
    spec.suspend = None;
    spec.ttl_seconds_after_finished = None;
    spec.run_id = None;
    spec.workload.priority = None;
    naming::hash(&[&json!(spec).to_string()], 16)
}

/// Labels or annotations without those that mark ownership by us or by tools on the host.
fn copied(entries: Option<&BTreeMap<String, String>>) -> Labels {
    let kept = entries.into_iter().flatten().filter(|(key, _)| {
        let marked = names::UNCOPIED_KEY_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix));
        !marked && !names::UNCOPIED_KEYS.contains(&key.as_str())
    });
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The run that is or is to be carried out: the one asked for, unless it was run before; then the present one goes on.
#[must_use]
pub fn present_run(job: &SkyJob) -> String {
    let asked = job.spec.run_id.clone().unwrap_or_default();
    let runs = job
        .status
        .as_ref()
        .map(|status| status.runs.as_slice())
        .unwrap_or_default();
    let again = runs.iter().any(|run| run.run_id == asked);
    let present = runs.last().filter(|_| again).map(|run| run.run_id.clone());
    present.unwrap_or(asked)
}

/// What the SkyJob's own record says, `parsed` being what became of its spec.
#[must_use]
pub fn facts(job: &SkyJob, parsed: Result<&Job, &Refused>) -> Facts {
    let stored = job.status.clone().unwrap_or_default();
    let placement = stored.placement.as_ref().map(status::placement);
    let counts = stored.clusters.iter().map(|cluster| {
        let counts = Counts {
            pending: cluster.pending,
            running: cluster.running,
            succeeded: cluster.succeeded,
            failed: cluster.failed,
        };
        (cluster.cluster.clone(), counts)
    });
    let recorded: BTreeMap<String, Counts> = counts.collect();
    let seen = |counts: &Counts| counts.running + counts.succeeded + counts.failed > 0;
    let seen: BTreeSet<String> = recorded
        .iter()
        .filter(|(_, c)| seen(c))
        .map(|(name, _)| name.clone())
        .collect();
    Facts {
        generation: job.metadata.generation.unwrap_or(0),
        deleting: job.metadata.deletion_timestamp.is_some(),
        finalizer: job
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == names::FINALIZER),
        refused: parsed.err().cloned(),
        spec_hash: parsed.map(|parsed| parsed.spec_hash.clone()).unwrap_or_default(),
        suspend: job.spec.suspend.unwrap_or(false),
        run: present_run(job),
        runs: stored.runs.iter().map(status::run).collect(),
        replicas: parsed.map_or(0, |parsed| parsed.workload.replicas),
        deadline: job.spec.active_deadline_seconds,
        ttl: job.spec.ttl_seconds_after_finished,
        revision: stored
            .placement
            .as_ref()
            .map_or(0, |placement| placement.revision),
        placement: placement.filter(|placement| !placement.shares.is_empty()),
        start: stored.start_time.as_ref().map(|time| time.0.as_second()),
        finished: finished(&stored),
        seen,
        recorded,
    }
}

/// Whether the record of `job` says that it is Complete or Failed.
#[must_use]
pub fn has_ended(job: &SkyJob) -> bool {
    job.status
        .as_ref()
        .is_some_and(|stored| finished(stored).is_some())
}

fn finished(stored: &sky_crds::SkyJobStatus) -> Option<Finished> {
    let holds = |kind: &str| {
        stored
            .conditions
            .iter()
            .any(|c| c.type_ == kind && c.status == "True")
    };
    let at = stored.completion_time.as_ref().map(|time| time.0.as_second());
    let complete = holds("Complete");
    (complete || holds("Failed")).then(|| Finished {
        complete,
        at,
        record: status::from_api(stored),
    })
}

/// The share of `job` that `placed` says, as its member is to create it: running, and not known to be there yet.
#[must_use]
pub fn share(job: &Job, placed: &PlacedShare, origin: &str) -> Share {
    let workload = &job.workload;
    let object = naming::share_object(&workload.name, &workload.uid, &job.run, &placed.id);
    Share {
        key: ShareKey {
            namespace: workload.namespace.clone(),
            object,
        },
        stamp: Stamp {
            origin: origin.to_owned(),
            kind: workload.kind,
            namespace: workload.namespace.clone(),
            name: workload.name.clone(),
            uid: workload.uid.clone(),
            run: job.run.clone(),
            share: placed.id.clone(),
            attempt: placed.attempt,
            spec_hash: job.spec_hash.clone(),
        },
        cluster: placed.cluster.clone(),
        replicas: placed.replicas,
        total_replicas: workload.replicas,
        ranks: placed.ranks.clone(),
        suspended: false,
        known: false,
        labels: job.labels.clone(),
        annotations: job.annotations.clone(),
        program: job.program.clone(),
        requests: workload.needs.resources.clone(),
        accelerator: None,
        retry: job.retry,
    }
}

#[cfg(test)]
mod tests;
