//! SkyJob as core sees it: the workload to schedule, the facts to plan by, and the shares to dispatch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sky_core::eviction::OnLost;
use sky_core::job::{Facts, Finished, Refused};
use sky_core::labels::Labels;
use sky_core::naming;
use sky_core::observation::Counts;
use sky_core::placement::PlacedShare;
use sky_core::share::{Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::{Kind, Workload};
use sky_crds::job::RestartPolicy;
use sky_crds::names;
use sky_crds::scalar::Count;
use sky_crds::workload::OnClusterLost;
use sky_crds::{SkyJob, SkyJobSpec};

use crate::overrides::{Overridden, Rules};
use crate::workload::{self, Defaults, invalid};
use crate::{eviction, placement, resources, status};

/// Longest value of the retry annotation that its run is named by.
const LONGEST_RETRY: usize = 100;

/// A SkyJob whose spec can be carried out.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is scheduled.
    pub workload: Workload,
    /// What a replica runs.
    pub program: Program,
    /// Changes of its pod template by cluster.
    pub overrides: Rules,
    /// ConfigMaps and Secrets that its template names follow it to members.
    pub follow_config: bool,
    /// What happens when a replica fails.
    pub retry: Retry,
    /// Seconds in which a share must start its first replica; 0: any time.
    pub pending_timeout: i64,
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
/// `InvalidSpec`, with words that name the field and the fix.
pub fn parse(job: &SkyJob, defaults: &Defaults) -> Result<Job, Refused> {
    let spec = &job.spec;
    workload::check_directives(&spec.workload)?;
    let replicas = replicas(spec)?;
    let (program, needs) = workload::program(&spec.workload, defaults, resources::JOB_CPU)?;
    let overrides = Rules::read(&spec.workload)?;
    let metadata = &job.metadata;
    let mut workload = Workload {
        replicas,
        gang: spec.gang.unwrap_or(true),
        program: workload::kind_of_program(&spec.workload, defaults),
        ..workload::workload(Kind::SkyJob, metadata, &spec.workload, needs)
    };
    workload::check_spread(&workload)?;
    let (labels, annotations) = (
        copied(metadata.labels.as_ref()),
        copied(metadata.annotations.as_ref()),
    );
    let copied = (&labels, &annotations);
    workload.overrides = Overridden::of(&overrides, Kind::SkyJob, &program, copied, &workload.needs);
    let limit = i64::from(spec.backoff_limit.unwrap_or(0));
    let restart = restart_policy(spec)?;
    Ok(Job {
        workload,
        program,
        overrides,
        follow_config: workload::follows_config(&spec.workload),
        pending_timeout: spec
            .workload
            .pending_timeout_seconds
            .unwrap_or(defaults.pending_timeout),
        retry: match restart {
            RestartPolicy::OnFailure => Retry::Restart(limit),
            RestartPolicy::Never => Retry::Replace(limit),
        },
        run: present_run(job),
        spec_hash: spec_hash(spec),
        labels,
        annotations,
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
pub(crate) fn copied(entries: Option<&BTreeMap<String, String>>) -> Labels {
    let kept = entries.into_iter().flatten().filter(|(key, _)| {
        let marked = names::UNCOPIED_KEY_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix));
        !marked && !names::UNCOPIED_KEYS.contains(&key.as_str())
    });
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The run that is or is to be carried out: the one asked for, unless it was run before; then a retry, if one is asked for
/// after the end of the present one; else the present one goes on.
#[must_use]
pub fn present_run(job: &SkyJob) -> String {
    let asked = job.spec.run_id.clone().unwrap_or_default();
    let runs = job
        .status
        .as_ref()
        .map(|status| status.runs.as_slice())
        .unwrap_or_default();
    let again = runs.iter().any(|run| run.run_id == asked);
    let Some(present) = runs.last().filter(|_| again) else {
        return asked;
    };
    let taken_in = job.status.as_ref().and_then(|status| status.retry.clone());
    let is_new =
        |retry: &String| taken_in.as_ref() != Some(retry) && runs.iter().all(|run| run.run_id != *retry);
    let ended = present.completion_time.is_some();
    match retry(job).filter(|retry| ended && is_new(retry)) {
        Some(retry) => retry,
        None => present.run_id.clone(),
    }
}

/// Name of the run that the annotation asks for: `retry-` and its value, or a hash of one that is no name.
#[must_use]
pub fn retry(job: &SkyJob) -> Option<String> {
    let value = job.metadata.annotations.as_ref()?.get(names::RETRY_ANNOTATION)?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._:/+@".contains(letter);
    let named = !value.is_empty() && value.len() <= LONGEST_RETRY && value.chars().all(plain);
    Some(if named {
        format!("retry-{value}")
    } else {
        format!("retry-{}", naming::hash(&[value], 16))
    })
}

/// What the SkyJob's own record says, `parsed` being what became of its spec.
#[must_use]
pub fn facts(job: &SkyJob, parsed: Result<&Job, &Refused>) -> Facts {
    let stored = job.status.clone().unwrap_or_default();
    let placement = stored.placement.as_ref().map(placement::from_api);
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
        retry: retry(job),
        retried: stored.retry.clone(),
        replicas: begun(&stored).unwrap_or_else(|| parsed.map_or(0, |parsed| parsed.workload.replicas)),
        deadline: job.spec.active_deadline_seconds,
        ttl: job.spec.ttl_seconds_after_finished,
        revision: stored
            .placement
            .as_ref()
            .map_or(0, |placement| placement.revision),
        gang: job.spec.gang.unwrap_or(true),
        limit: i64::from(job.spec.backoff_limit.unwrap_or(0)),
        pending_timeout: parsed.map_or(0, |parsed| parsed.pending_timeout),
        on_lost: match job.spec.workload.on_cluster_lost {
            None | Some(OnClusterLost::Wait) => OnLost::Wait,
            Some(OnClusterLost::Reschedule) => OnLost::Reschedule,
        },
        unplaced: placement
            .as_ref()
            .map(|placement| placement.unplaced.clone())
            .unwrap_or_default(),
        placement: placement.filter(|placement| !placement.shares.is_empty()),
        evictions: stored.evictions.iter().map(eviction::from_api).collect(),
        cool_downs: stored
            .cool_downs
            .iter()
            .map(eviction::cool_down_from_api)
            .collect(),
        was_suspended: holds(&stored, "Suspended"),
        start: stored.start_time.as_ref().map(|time| time.0.as_second()),
        finished: finished(&stored),
        recorded,
    }
}

/// Replicas of the run that has a place, or ranks that wait for one again: as many as it began with, whatever the spec
/// says by now.
fn begun(stored: &sky_crds::SkyJobStatus) -> Option<i64> {
    let placement = stored.placement.as_ref()?;
    let has_ranks = !placement.shares.is_empty() || !placement.unplaced.is_empty();
    let totals = stored
        .totals
        .as_ref()
        .filter(|totals| has_ranks && totals.replicas > 0)?;
    Some(totals.replicas)
}

/// Whether the record of `job` says that it is Complete or Failed.
#[must_use]
pub fn has_ended(job: &SkyJob) -> bool {
    job.status
        .as_ref()
        .is_some_and(|stored| finished(stored).is_some())
}

fn holds(stored: &sky_crds::SkyJobStatus, kind: &str) -> bool {
    let mut conditions = stored.conditions.iter();
    conditions.any(|condition| condition.type_ == kind && condition.status == "True")
}

fn finished(stored: &sky_crds::SkyJobStatus) -> Option<Finished> {
    let at = stored.completion_time.as_ref().map(|time| time.0.as_second());
    let complete = holds(stored, "Complete");
    (complete || holds(stored, "Failed")).then(|| Finished {
        complete,
        at,
        record: status::from_api(stored),
    })
}

/// What `job` has recorded as put on the cluster of this name, confirmed there and not ended, without `known` instances:
/// where it is there, what is stamped on it, and what is recorded.
#[must_use]
pub fn recorded(
    job: &SkyJob,
    cluster: &str,
    origin: &str,
    known: &BTreeSet<String>,
) -> Vec<(ShareKey, Stamp, PlacedShare)> {
    let placement = job.status.as_ref().and_then(|stored| stored.placement.as_ref());
    let Some(placement) = placement.filter(|_| job.metadata.deletion_timestamp.is_none() && !has_ended(job))
    else {
        return Vec::new();
    };
    let mut shares = placement::from_api(placement).shares;
    shares.retain(|share| {
        let unknown = |instance: &String| !known.contains(instance);
        share.cluster == cluster && !share.complete && share.instance.as_ref().is_some_and(unknown)
    });
    if shares.is_empty() {
        return Vec::new();
    }
    let (run, hash) = (present_run(job), spec_hash(&job.spec));
    let name = job.metadata.name.clone().unwrap_or_default();
    let namespace = job.metadata.namespace.clone().unwrap_or_default();
    let uid = job.metadata.uid.clone().unwrap_or_default();
    let each = shares.into_iter().map(|placed| {
        let key = ShareKey {
            kind: Kind::SkyJob,
            namespace: namespace.clone(),
            object: naming::share_object(&name, &uid, &run, &placed.id),
        };
        let stamp = Stamp {
            origin: origin.to_owned(),
            kind: Kind::SkyJob,
            namespace: namespace.clone(),
            name: name.clone(),
            uid: uid.clone(),
            run: run.clone(),
            share: placed.id.clone(),
            attempt: placed.attempt,
            spec_hash: hash.clone(),
        };
        (key, stamp, placed)
    });
    each.collect()
}

/// The share of `job` that `placed` says, as its member, a cluster with these labels, is to create it: running, not known
/// to be there yet, and without accelerators, which each member names in its own way.
#[must_use]
pub fn share(job: &Job, placed: &PlacedShare, labels: &Labels, origin: &str) -> Share {
    let workload = &job.workload;
    let object = naming::share_object(&workload.name, &workload.uid, &job.run, &placed.id);
    Share {
        key: ShareKey {
            kind: workload.kind,
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
        instance: placed.instance.clone(),
        labels: job.labels.clone(),
        annotations: job.annotations.clone(),
        program: job.program.clone(),
        patches: job.overrides.patches(&placed.cluster, labels),
        requests: workload.needs.resources.clone(),
        accelerator: None,
        retry: job.retry.less(placed.interruptions),
        progress_deadline: None,
    }
}

#[cfg(test)]
mod tests;
