//! Which pod is which rank of a job, or whose of a deployment, and why there is none. Pure.

use std::str::FromStr as _;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use sky_core::marks;
use sky_core::naming::share_object;
use sky_core::ranks::Ranks;
use sky_crds::SkyJob;
use sky_crds::status::{ClusterCounts, Share};

use crate::client::Connection;

/// Label of an Indexed Job's pods: their index.
const INDEX_LABEL: &str = "batch.kubernetes.io/job-completion-index";

/// One replica of a placed job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replica {
    pub(super) rank: u32,
    pub(super) cluster: String,
    /// Name of the share's object on the member.
    pub(super) object: String,
    /// Completion index of the rank within the share.
    pub(super) index: usize,
}

impl Replica {
    /// Whose a line is.
    pub(super) fn label(&self) -> String {
        format!("rank {} cluster {}", self.rank, self.cluster)
    }
}

/// A replica whose log is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Of a job.
    Rank(Replica),
    /// Of a deployment: a pod of this name.
    Pod {
        /// Its name.
        name: String,
        /// Its cluster.
        cluster: String,
    },
}

impl Which {
    /// Whose a line is.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Rank(replica) => replica.label(),
            Self::Pod { name, cluster } => format!("pod {name} cluster {cluster}"),
        }
    }

    /// Its pod among these.
    pub(super) fn pod<'a>(&self, pods: &'a [Pod]) -> Option<&'a Pod> {
        match self {
            Self::Rank(replica) => pod(replica, pods),
            Self::Pod { name, .. } => pods.iter().find(|pod| pod.name_any() == *name),
        }
    }
}

/// Where one replica's log comes from.
pub(super) struct Source {
    pub(super) which: Which,
    pub(super) connection: Connection,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) pod: Option<Pod>,
    /// What the status says of replicas on this cluster.
    pub(super) told: Option<String>,
}

pub(super) fn shares(job: &SkyJob) -> &[Share] {
    let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
    placement.map_or(&[], |placement| placement.shares.as_slice())
}

/// The placed replicas, by rank.
///
/// # Errors
/// When the status holds ranks that cannot be read.
pub(super) fn replicas(job: &SkyJob) -> anyhow::Result<Vec<Replica>> {
    let run = sky_convert::job::present_run(job);
    let uid = job.uid().unwrap_or_default();
    let mut replicas = Vec::new();
    for share in shares(job) {
        let ranks = Ranks::from_str(share.ranks.as_deref().unwrap_or_default())
            .with_context(|| format!("failed to read share {} of the job's status", share.id))?;
        let object = share_object(&job.name_any(), &uid, &run, &share.id);
        for (index, rank) in ranks.iter().enumerate() {
            replicas.push(Replica {
                rank,
                cluster: share.cluster.clone(),
                object: object.clone(),
                index,
            });
        }
    }
    replicas.sort_by_key(|replica| replica.rank);
    Ok(replicas)
}

/// The latest pod of a replica: a failed try is followed by a newer pod of the same index.
pub(super) fn pod<'a>(replica: &Replica, pods: &'a [Pod]) -> Option<&'a Pod> {
    let index = replica.index.to_string();
    pods.iter()
        .filter(|pod| pod.labels().get(marks::SHARE) == Some(&replica.object))
        .filter(|pod| pod.labels().get(INDEX_LABEL) == Some(&index))
        .max_by_key(|pod| pod.creation_timestamp())
}

/// Why a job has no placement, from its status.
pub(super) fn why_unplaced(job: &SkyJob) -> String {
    let Some(status) = &job.status else {
        return "no operator has looked at it yet; is it running?".to_owned();
    };
    let told = |kind: &str, wanted: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind);
        found
            .filter(|condition| condition.status == wanted)
            .map(|condition| match condition.message.as_str() {
                "" => condition.reason.clone(),
                message => message.to_owned(),
            })
    };
    told("Failed", "True")
        .map(|message| format!("it failed: {message}"))
        .or_else(|| told("Suspended", "True").map(|_| "it is suspended".to_owned()))
        .or_else(|| told("Stalled", "True"))
        .or_else(|| told("Scheduled", "False").map(|message| format!("it is queued: {message}")))
        .or_else(|| told("Complete", "True").map(|_| "it is complete, and nothing of it is left".to_owned()))
        .unwrap_or_else(|| "no operator has looked at it yet; is it running?".to_owned())
}

/// Whether waiting for a placement makes no sense.
pub(super) fn is_over(job: &SkyJob) -> bool {
    let conditions = job.status.as_ref().map(|status| status.conditions.as_slice());
    conditions.unwrap_or_default().iter().any(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })
}

/// What the counts of a status say of the replicas on one cluster.
pub(super) fn cluster_reason(clusters: &[ClusterCounts], cluster: &str) -> Option<String> {
    let counts = clusters.iter().find(|counts| counts.cluster == cluster)?;
    match (&counts.reason, &counts.message) {
        (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(status: Value) -> SkyJob {
        let object = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob",
            "metadata": {"name": "a", "namespace": "dev", "uid": "u"}, "spec": {}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    fn placed() -> SkyJob {
        job(json!({"placement": {"revision": 1, "shares": [
            {"id": "1-0", "cluster": "c1", "replicas": 2, "ranks": "0,3", "attempt": 1},
            {"id": "1-1", "cluster": "c2", "replicas": 2, "ranks": "1-2", "attempt": 1}]}}))
    }

    fn pod_of(share: &str, index: &str, created: &str) -> Pod {
        let labels = json!({(marks::SHARE): share_object("a", "u", "", share), INDEX_LABEL: index});
        let name = format!("{share}-{index}-{created}");
        serde_json::from_value(
            json!({"metadata": {"name": name, "creationTimestamp": created, "labels": labels}}),
        )
        .unwrap()
    }

    #[test]
    fn ranks_are_found_by_share_and_index() {
        let replicas = replicas(&placed()).unwrap();
        let ranks: Vec<_> = replicas
            .iter()
            .map(|r| (r.rank, r.cluster.as_str(), r.index))
            .collect();
        assert_eq!(ranks, [(0, "c1", 0), (1, "c2", 0), (2, "c2", 1), (3, "c1", 1)]);
        let pods = [
            pod_of("1-0", "1", "2026-01-01T00:00:00Z"),
            pod_of("1-0", "1", "2026-01-01T00:01:00Z"),
            pod_of("1-1", "1", "2026-01-01T00:02:00Z"),
        ];
        let found = pod(&replicas[3], &pods).unwrap();
        assert_eq!(found.name_any(), "1-0-1-2026-01-01T00:01:00Z");
        assert!(pod(&replicas[0], &pods).is_none());
    }

    #[test]
    fn a_job_without_placement_says_why() {
        let condition = |kind: &str, status: &str, message: &str| {
            json!({"conditions": [{"type": kind, "status": status, "reason": "R", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        for (status, expected) in [
            (json!(null), "no operator has looked"),
            (json!({"observedGeneration": -1}), "no operator has looked"),
            (
                condition("Scheduled", "False", "0/2 clusters: 2 insufficient cpu"),
                "queued: 0/2 clusters: 2 insufficient cpu",
            ),
            (condition("Stalled", "True", "too large"), "too large"),
            (condition("Suspended", "True", ""), "suspended"),
            (
                condition("Failed", "True", "no tries left"),
                "it failed: no tries left",
            ),
        ] {
            let reason = why_unplaced(&job(status.clone()));
            assert!(reason.contains(expected), "{status}: {reason}");
        }
        assert!(is_over(&job(condition("Failed", "True", ""))));
        assert!(!is_over(&job(condition("Failed", "False", ""))));
    }

    #[test]
    fn unreadable_ranks_are_an_error() {
        let job = job(json!({"placement": {"revision": 1, "shares": [
            {"id": "1-0", "cluster": "c1", "replicas": 1, "ranks": "x", "attempt": 1}]}}));
        assert!(replicas(&job).is_err());
    }
}
