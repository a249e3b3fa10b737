//! SkyDeployment as core sees it: the workload to schedule, the facts to plan by, the shares to dispatch, and its status
//! between core and the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use sky_core::cluster::Cluster;
use sky_core::deployment::{ClusterStatus, Counts, Facts, Status};
use sky_core::eviction::OnLost;
use sky_core::job::{Condition, Refused};
use sky_core::labels::Labels;
use sky_core::naming;
use sky_core::observation::Trouble;
use sky_core::placement::PlacedShare;
use sky_core::revision::hash as core_hash;
use sky_core::share::{Patch, Program, Retry, Share, ShareKey, Stamp};
use sky_core::workload::{Kind, Strategy, Workload};
use sky_crds::bounds::MAX_SUMMARY;
use sky_crds::status::ClusterCounts;
use sky_crds::workload::OnClusterLost;
use sky_crds::{SkyDeployment, SkyDeploymentStatus, names};

use crate::job::copied;
use crate::overrides::{Overridden, Rules};
use crate::status::{LONGEST_MESSAGE, code, cut, diagnosis_from_api, diagnosis_to_api, transition};
use crate::workload::{self, Defaults, invalid};
use crate::{eviction, placement, resources, revision};

/// A SkyDeployment whose spec can be carried out.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// What is scheduled, all replicas of it.
    pub workload: Workload,
    /// What a replica runs.
    pub program: Program,
    /// Changes of its pod template by cluster.
    pub overrides: Rules,
    /// ConfigMaps and Secrets that its template names follow it to members.
    pub follow_config: bool,
    /// Seconds in which a share must start its first replica; 0: any time.
    pub pending_timeout: i64,
    /// Seconds without progress after which a rollout is stuck.
    pub progress_deadline: Option<i64>,
    /// Hash of what makes up the pods, without what is changed cluster by cluster.
    pub hash: String,
    /// The user's labels that are copied to members.
    pub labels: Labels,
    /// The user's annotations that are copied to members.
    pub annotations: Labels,
    /// When its pods were last asked to be started anew.
    pub restarted_at: Option<String>,
}

/// The workload of `api`: it takes what fits and keeps asking for the rest.
///
/// # Errors
/// `InvalidSpec`, with words that name the field and the fix.
pub fn workload(api: &SkyDeployment, defaults: &Defaults) -> Result<Workload, Refused> {
    parse(api, defaults).map(|parsed| parsed.workload)
}

/// Parses `api`.
///
/// # Errors
/// `InvalidSpec`, with words that name the field and the fix.
pub fn parse(api: &SkyDeployment, defaults: &Defaults) -> Result<Deployment, Refused> {
    let spec = &api.spec;
    workload::check_directives(&spec.workload)?;
    let (program, needs) = workload::program(&spec.workload, defaults, resources::DEPLOYMENT_CPU)?;
    refuse_restart_policy(spec.workload.template.as_ref())?;
    let overrides = Rules::read(&spec.workload)?;
    let labels = copied(api.metadata.labels.as_ref());
    let mut workload = Workload {
        replicas: i64::from(spec.replicas),
        program: workload::kind_of_program(&spec.workload, defaults),
        ..workload::workload(Kind::SkyDeployment, &api.metadata, &spec.workload, needs)
    };
    // Annotations stay off the pods of a SkyDeployment.
    let copied_to_pods = (&labels, &Labels::new());
    let kind = Kind::SkyDeployment;
    workload.overrides = Overridden::of(&overrides, kind, &program, copied_to_pods, &workload.needs);
    Ok(Deployment {
        workload,
        program,
        overrides,
        follow_config: workload::follows_config(&spec.workload),
        pending_timeout: spec
            .workload
            .pending_timeout_seconds
            .unwrap_or(defaults.pending_timeout),
        progress_deadline: spec.progress_deadline_seconds.map(i64::from),
        hash: hash(api, &labels),
        labels,
        annotations: copied(api.metadata.annotations.as_ref()),
        restarted_at: revision::restarted_at(&api.metadata).map(str::to_owned),
    })
}

fn refuse_restart_policy(template: Option<&Value>) -> Result<(), Refused> {
    let given = template.and_then(|template| template.pointer("/spec/restartPolicy"));
    match given.and_then(Value::as_str) {
        None | Some("Always") => Ok(()),
        Some(other) => {
            let words = format!(
                "spec.template.spec.restartPolicy: {other:?} is for jobs; leave it out, or use a SkyJob"
            );
            Err(invalid(words))
        }
    }
}

/// Hash of what makes up a pod wherever it is, without what is changed cluster by cluster.
fn hash(api: &SkyDeployment, labels: &Labels) -> String {
    let mut template = revision::template(api);
    if let Some(fields) = template.as_object_mut() {
        fields.remove("overrides");
    }
    naming::hash(&[&core_hash(&template), &json!(labels).to_string()], 16)
}

impl Deployment {
    /// Hash of everything that makes up a pod on this cluster: another one replaces the pods there.
    #[must_use]
    pub fn hash_on(&self, cluster: &str, labels: &Labels) -> String {
        let patches = self.overrides.patches(cluster, labels);
        if patches.is_empty() {
            return self.hash.clone();
        }
        let each = patches.iter().map(|patch| match patch {
            Patch::Json(operations) => json!(operations),
            Patch::Strategic(merge) => merge.clone(),
        });
        naming::hash(&[&self.hash, &each.collect::<Value>().to_string()], 16)
    }
}

/// What the SkyDeployment's own record says, `parsed` being what became of its spec, among these clusters.
#[must_use]
pub fn facts(
    api: &SkyDeployment,
    parsed: Result<&Deployment, &Refused>,
    clusters: &BTreeMap<Arc<str>, Cluster>,
) -> Facts {
    let stored = api.status.clone().unwrap_or_default();
    let spec = &api.spec;
    let placement = stored
        .placement
        .as_ref()
        .map(placement::from_api)
        .unwrap_or_default();
    let finalizers = api.metadata.finalizers.iter().flatten();
    let most = spec
        .strategy
        .as_ref()
        .and_then(|strategy| strategy.max_clusters_unavailable);
    let hashes = placement.shares.iter().filter_map(|share| {
        let labels = &clusters.get(share.cluster.as_str())?.labels;
        let hash = parsed.ok()?.hash_on(&share.cluster, labels);
        Some((share.cluster.clone(), hash))
    });
    Facts {
        generation: api.metadata.generation.unwrap_or(0),
        deleting: api.metadata.deletion_timestamp.is_some(),
        finalizer: finalizers.clone().any(|finalizer| finalizer == names::FINALIZER),
        refused: parsed.err().cloned(),
        uid: api.metadata.uid.clone().unwrap_or_default(),
        replicas: i64::from(spec.replicas),
        strategy: parsed.map_or(Strategy::Pack, |parsed| parsed.workload.spread.strategy.clone()),
        paused: spec.paused.unwrap_or(false),
        most_unavailable: i64::from(most.unwrap_or(1)),
        on_lost: match spec.workload.on_cluster_lost {
            None | Some(OnClusterLost::Reschedule) => OnLost::Reschedule,
            Some(OnClusterLost::Wait) => OnLost::Wait,
        },
        pending_timeout: parsed.map_or(0, |parsed| parsed.pending_timeout),
        hashes: hashes.collect(),
        placement,
        evictions: stored.evictions.iter().map(eviction::from_api).collect(),
        cool_downs: stored
            .cool_downs
            .iter()
            .map(eviction::cool_down_from_api)
            .collect(),
        recorded: stored
            .clusters
            .iter()
            .map(|cluster| (cluster.cluster.clone(), cluster_from_api(cluster)))
            .collect(),
    }
}

/// The share of `deployment` that `placed` says, as its member, this cluster, is to create it, without accelerators, which each member
/// names in its own way.
#[must_use]
pub fn share(deployment: &Deployment, placed: &PlacedShare, cluster: &Cluster, origin: &str) -> Share {
    let workload = &deployment.workload;
    Share {
        key: key(workload, placed),
        stamp: Stamp {
            spec_hash: deployment.hash_on(&placed.cluster, &cluster.labels),
            ..stamp(deployment, placed, origin)
        },
        cluster: placed.cluster.clone(),
        replicas: placed.replicas,
        total_replicas: workload.replicas,
        ranks: sky_core::ranks::Ranks::default(),
        suspended: false,
        known: false,
        instance: None,
        labels: deployment.labels.clone(),
        annotations: deployment.annotations.clone(),
        program: deployment.program.clone(),
        requests: workload.needs.resources.clone(),
        patches: patches(deployment, &placed.cluster, &cluster.labels),
        accelerator: None,
        retry: Retry::Restart(0),
        progress_deadline: deployment.progress_deadline,
    }
}

/// What differs from the one pod template: the overrides for this cluster, and the mark of a restart, which makes pods of
/// an unchanged template other ones.
fn patches(deployment: &Deployment, cluster: &str, labels: &Labels) -> Vec<Patch> {
    let mut patches = deployment.overrides.patches(cluster, labels);
    patches.extend(deployment.restarted_at.as_ref().map(|at| {
        let annotations = json!({names::RESTARTED_AT_ANNOTATION: at});
        Patch::Strategic(json!({"metadata": {"annotations": annotations}}))
    }));
    patches
}

/// The object of the share that `placed` says.
#[must_use]
pub fn key(workload: &Workload, placed: &PlacedShare) -> ShareKey {
    ShareKey {
        kind: Kind::SkyDeployment,
        namespace: workload.namespace.clone(),
        object: naming::share_object(&workload.name, &workload.uid, "", &placed.id),
    }
}

/// What is stamped on the share that `placed` says, but for what is changed on its cluster.
#[must_use]
pub fn stamp(deployment: &Deployment, placed: &PlacedShare, origin: &str) -> Stamp {
    let workload = &deployment.workload;
    Stamp {
        origin: origin.to_owned(),
        kind: workload.kind,
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        uid: workload.uid.clone(),
        run: String::new(),
        share: placed.id.clone(),
        attempt: placed.attempt,
        spec_hash: deployment.hash.clone(),
    }
}

/// The API's status for `wanted`: conditions keep the time of their last transition.
#[must_use]
pub fn to_api(
    wanted: &Status,
    uid: &str,
    stored: &SkyDeploymentStatus,
    now: Timestamp,
) -> SkyDeploymentStatus {
    let whole = |count: i64| Some(i32::try_from(count).unwrap_or(i32::MAX));
    let conditions = wanted.conditions.iter().map(|condition| {
        let words = (condition.reason.as_str(), condition.message.as_str());
        transition(
            condition.kind,
            condition.status,
            words,
            wanted.generation,
            &stored.conditions,
            now,
        )
    });
    SkyDeploymentStatus {
        observed_generation: Some(wanted.generation),
        phase: Some(wanted.phase.clone()),
        conditions: conditions.collect(),
        replicas: whole(wanted.counts.existing),
        ready_replicas: whole(wanted.counts.ready),
        updated_replicas: whole(wanted.counts.updated),
        available_replicas: whole(wanted.counts.available),
        selector: Some(format!("{}={uid}", sky_core::marks::UID)),
        placement: (wanted.placement.revision > 0).then(|| placement::to_api(&wanted.placement)),
        clusters: wanted.clusters.iter().map(cluster_to_api).collect(),
        summary: Some(cut(&wanted.placement.summary(), MAX_SUMMARY)).filter(|text| !text.is_empty()),
        diagnosis: diagnosis_to_api(&wanted.diagnosis),
        cool_downs: wanted
            .cool_downs
            .iter()
            .filter_map(eviction::cool_down_to_api)
            .collect(),
        evictions: wanted.evictions.iter().filter_map(eviction::to_api).collect(),
    }
}

/// What is stored, in core's words; `None` when nothing was written yet.
#[must_use]
pub fn from_api(stored: &SkyDeploymentStatus) -> Option<Status> {
    let generation = stored.observed_generation.filter(|generation| *generation >= 0)?;
    let clusters: Vec<ClusterStatus> = stored.clusters.iter().map(cluster_from_api).collect();
    let count = |count: Option<i32>| i64::from(count.unwrap_or(0));
    Some(Status {
        generation,
        phase: stored.phase.clone().unwrap_or_default(),
        conditions: stored.conditions.iter().filter_map(condition_from_api).collect(),
        placement: stored
            .placement
            .as_ref()
            .map(placement::from_api)
            .unwrap_or_default(),
        counts: Counts {
            existing: count(stored.replicas),
            ready: count(stored.ready_replicas),
            updated: count(stored.updated_replicas),
            available: count(stored.available_replicas),
            unknown: clusters.iter().map(|cluster| cluster.counts.unknown).sum(),
        },
        clusters,
        diagnosis: stored.diagnosis.iter().map(diagnosis_from_api).collect(),
        evictions: stored.evictions.iter().map(eviction::from_api).collect(),
        cool_downs: stored
            .cool_downs
            .iter()
            .map(eviction::cool_down_from_api)
            .collect(),
    })
}

fn condition_from_api(api: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition) -> Option<Condition> {
    let kinds = ["Ready", "Progressing", "Scheduled", "Reconciling", "Stalled"];
    let kind = kinds.into_iter().find(|kind| *kind == api.type_)?;
    Some(Condition {
        kind,
        status: api.status == "True",
        reason: api.reason.clone(),
        message: api.message.clone(),
    })
}

/// Replicas that are ready run; the rest of those placed is pending, unless nobody knows.
fn cluster_to_api(cluster: &ClusterStatus) -> ClusterCounts {
    let counts = cluster.counts;
    let running = counts.ready.min(cluster.replicas);
    ClusterCounts {
        cluster: cluster.cluster.clone(),
        replicas: cluster.replicas,
        pending: (cluster.replicas - running - counts.unknown).max(0),
        running,
        succeeded: 0,
        failed: 0,
        unknown: counts.unknown,
        ready: Some(counts.ready),
        updated: Some(counts.updated),
        available: Some(counts.available),
        reason: cluster.trouble.as_ref().map(|trouble| code(&trouble.reason)),
        message: cluster
            .trouble
            .as_ref()
            .map(|trouble| cut(&trouble.message, LONGEST_MESSAGE)),
    }
}

fn cluster_from_api(api: &ClusterCounts) -> ClusterStatus {
    ClusterStatus {
        cluster: api.cluster.clone(),
        replicas: api.replicas,
        counts: Counts {
            // Not stored by cluster; what is sure is that those that are updated or ready exist.
            existing: api.updated.unwrap_or(0).max(api.ready.unwrap_or(0)),
            ready: api.ready.unwrap_or(0),
            updated: api.updated.unwrap_or(0),
            available: api.available.unwrap_or(0),
            unknown: api.unknown,
        },
        trouble: api.reason.as_ref().map(|reason| Trouble {
            reason: reason.clone(),
            message: api.message.clone().unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_marks_the_pods_beside_what_overrides_say() {
        let patches_of = |annotations: Value| {
            let api: SkyDeployment = serde_json::from_value(json!({
                "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyDeployment",
                "metadata": {"name": "web", "namespace": "default", "annotations": annotations},
                "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a"}]}},
                         "overrides": [{"clusters": ["c"], "jsonPatch": [{"op": "add", "path": "/spec/hostNetwork", "value": true}]}]},
            }))
            .unwrap();
            let deployment = parse(&api, &Defaults::default()).unwrap();
            patches(&deployment, "c", &Labels::new())
        };
        let restarted = patches_of(json!({"skymanager.io/restarted-at": "now"}));
        assert_eq!(restarted.len(), patches_of(json!({})).len() + 1);
        let wanted = json!({"metadata": {"annotations": {"skymanager.io/restarted-at": "now"}}});
        assert_eq!(restarted.last(), Some(&Patch::Strategic(wanted)));
    }
}
