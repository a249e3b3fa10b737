//! A workload as an object of the host or a document shows it: what it asks for, and what its status records. Made of
//! SkyJobs and SkyDeployments; read by simulate and why.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde::Deserialize as _;
use serde_json::Value;
use sky_convert::workload::Defaults;
use sky_convert::{deployment, eviction, job, placement};
use sky_core::Seconds;
use sky_core::eviction::{CoolDown, Eviction, cooling};
use sky_core::job::{Refused, missing};
use sky_core::placement::Placement;
use sky_core::workload::{Kind, Workload};
use sky_crds::status::{ClusterCounts, ClusterDiagnosis, PlacementStatus};
use sky_crds::{SkyDeployment, SkyJob};

use crate::kinds;

/// A workload.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was created; 0: not said.
    pub created: Seconds,
    /// Being deleted.
    pub deleting: bool,
    /// Held back by its user.
    pub suspended: bool,
    /// All of it as it is to be scheduled, or why it cannot be.
    pub parsed: Result<Workload, Refused>,
    /// Seconds in which a share must start its first replica; 0: any time.
    pub pending_timeout: Seconds,
    /// Runs `old` and `new`, when another run is asked for than the one that the record is of.
    pub superseded: Option<(String, String)>,
    /// Its status.
    pub record: Record,
}

/// What a status records.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Whether the operator has looked at the present spec.
    pub current: bool,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Where replicas are.
    pub placement: Placement,
    /// What they are doing, by cluster.
    pub clusters: Vec<ClusterCounts>,
    /// Why it is not placed, as the operator found.
    pub diagnosis: Vec<ClusterDiagnosis>,
    /// Clusters that are not tried for a while.
    pub cool_downs: Vec<CoolDown>,
    /// Evictions, the last one last.
    pub evictions: Vec<Eviction>,
    /// Whether it ended, and with success.
    pub ended: Option<bool>,
    /// When it ended.
    pub completion: Option<Seconds>,
}

impl Subject {
    /// Reads an object of the host or a document; `namespace` is its namespace where it names none.
    ///
    /// # Errors
    /// When it is not of its kind's shape, or of another kind.
    pub fn read(kind: kinds::Kind, object: &Value, namespace: &str) -> anyhow::Result<Self> {
        let mut subject = match kind {
            kinds::Kind::Job => Self::of_job(&SkyJob::deserialize(object)?),
            kinds::Kind::Deployment => Self::of_deployment(&SkyDeployment::deserialize(object)?),
            _ => anyhow::bail!("neither a SkyJob nor a SkyDeployment"),
        };
        if subject.namespace.is_empty() {
            namespace.clone_into(&mut subject.namespace);
        }
        if let Ok(workload) = &mut subject.parsed {
            workload.namespace.clone_from(&subject.namespace);
        }
        Ok(subject)
    }

    /// A workload that cannot be read at all.
    #[must_use]
    pub fn refused(kind: Kind, namespace: &str, name: &str, refused: Refused) -> Self {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        };
        Self::new(kind, &metadata, Err(refused))
    }

    fn new(kind: Kind, metadata: &ObjectMeta, parsed: Result<Workload, Refused>) -> Self {
        Self {
            kind,
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            created: metadata
                .creation_timestamp
                .as_ref()
                .map_or(0, |time| time.0.as_second()),
            deleting: metadata.deletion_timestamp.is_some(),
            suspended: false,
            parsed,
            pending_timeout: 0,
            superseded: None,
            record: Record::default(),
        }
    }

    fn of_job(api: &SkyJob) -> Self {
        let parsed = job::parse(api, &Defaults::default());
        let facts = job::facts(api, parsed.as_ref());
        let stored = api.status.clone().unwrap_or_default();
        let present = facts.runs.last().filter(|run| run.id != facts.run);
        Self {
            suspended: facts.suspend,
            pending_timeout: facts.pending_timeout,
            superseded: present.map(|run| (run.id.clone(), facts.run.clone())),
            record: Record {
                current: stored.observed_generation >= Some(facts.generation.max(0)),
                conditions: stored.conditions,
                placement: read_placement(stored.placement.as_ref()),
                clusters: stored.clusters,
                diagnosis: stored.diagnosis,
                cool_downs: facts.cool_downs,
                evictions: facts.evictions,
                ended: facts.finished.map(|finished| finished.complete),
                completion: stored.completion_time.map(|time| time.0.as_second()),
            },
            ..Self::new(Kind::SkyJob, &api.metadata, parsed.map(|job| job.workload))
        }
    }

    fn of_deployment(api: &SkyDeployment) -> Self {
        let stored = api.status.clone().unwrap_or_default();
        let generation = api.metadata.generation.unwrap_or(0).max(0);
        Self {
            record: Record {
                current: stored.observed_generation >= Some(generation),
                conditions: stored.conditions,
                placement: read_placement(stored.placement.as_ref()),
                clusters: stored.clusters,
                diagnosis: stored.diagnosis,
                cool_downs: stored
                    .cool_downs
                    .iter()
                    .map(eviction::cool_down_from_api)
                    .collect(),
                evictions: stored.evictions.iter().map(eviction::from_api).collect(),
                ..Record::default()
            },
            ..Self::new(
                Kind::SkyDeployment,
                &api.metadata,
                deployment::workload(api, &Defaults::default()),
            )
        }
    }

    /// `SkyJob default/a`.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }

    /// The part of it that waits for a place at `now`, as the operator asks its scheduler for it; `None` when nothing
    /// does, or not now.
    #[must_use]
    pub fn asked(&self, now: Seconds) -> Option<Workload> {
        let workload = self.parsed.as_ref().ok()?;
        let held =
            self.deleting || self.suspended || self.superseded.is_some() || self.record.ended.is_some();
        if held {
            return None;
        }
        let record = &self.record;
        if workload.kind == Kind::SkyJob {
            return missing(workload, &record.placement, &record.cool_downs, now);
        }
        // Replicas of a SkyDeployment have no ranks.
        let placed = record.placement.staying();
        let missing = workload.replicas.saturating_sub(placed.values().sum());
        (missing > 0).then(|| Workload {
            replicas: missing,
            placed,
            cooling: cooling(&record.cool_downs, now),
            revision: record.placement.revision,
            ..workload.clone()
        })
    }

    /// Replicas that are placed and have not started, by cluster: what of their room the clusters' status may not show.
    pub fn promised(&self) -> impl Iterator<Item = (&str, i64)> {
        let holds = self.record.ended.is_none() && !self.suspended;
        let each = self
            .record
            .clusters
            .iter()
            .filter(move |counts| holds && counts.pending > 0);
        each.map(|counts| (counts.cluster.as_str(), counts.pending))
    }

    /// The condition of this type that has this status.
    #[must_use]
    pub fn told(&self, kind: &str, status: &str) -> Option<&Condition> {
        let mut conditions = self.record.conditions.iter();
        conditions.find(|condition| condition.type_ == kind && condition.status == status)
    }

    /// Whether the operator has given it up for a reason that only a change of the object lifts.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.told("Stalled", "True")
            .is_some_and(|stalled| stalled.reason != "TooLarge")
    }
}

fn read_placement(stored: Option<&PlacementStatus>) -> Placement {
    stored.map(placement::from_api).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(spec: Value, status: Value) -> Subject {
        let object = json!({"metadata": {"name": "a"}, "spec": spec, "status": status});
        Subject::read(kinds::Kind::Job, &object, "default").unwrap()
    }

    fn share(cluster: &str, ranks: &str, replicas: i64) -> Value {
        json!({"id": "1-0", "cluster": cluster, "replicas": replicas, "ranks": ranks, "attempt": 1})
    }

    #[test]
    fn what_has_no_place_is_asked_for() {
        let asked = job(json!({"replicas": 4}), json!({})).asked(0).unwrap();
        assert_eq!(
            (asked.replicas, asked.gang, asked.namespace.as_str()),
            (4, true, "default")
        );
        let status = json!({"placement": {"revision": 2, "shares": [share("c1", "0-2", 3)],
            "unplaced": [{"ranks": "3", "attempt": 1}]},
            "coolDowns": [{"cluster": "c2", "until": "1970-01-01T00:01:00Z", "count": 1}]});
        let part = job(json!({"replicas": 4}), status.clone());
        let asked = part.asked(10).unwrap();
        assert_eq!((asked.replicas, asked.gang, asked.revision), (1, false, 2));
        assert_eq!(asked.placed["c1"], 3);
        assert_eq!(asked.cooling["c2"], 60);
        assert!(part.asked(60).unwrap().cooling.is_empty());
        assert!(job(json!({"replicas": 3}), status).asked(0).is_none());
    }

    #[test]
    fn what_is_held_back_or_over_asks_for_nothing() {
        assert!(job(json!({"suspend": true}), json!({})).asked(0).is_none());
        let complete = json!({"conditions": [{"type": "Complete", "status": "True", "reason": "Succeeded",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        assert!(job(json!({}), complete).asked(0).is_none());
        assert!(
            job(json!({"resources": {"cpu": true}}), json!({}))
                .asked(0)
                .is_none()
        );
    }

    #[test]
    fn replicas_that_have_not_started_keep_their_room() {
        let clusters =
            json!([{"cluster": "c1", "replicas": 3, "pending": 2}, {"cluster": "c2", "replicas": 1}]);
        let placed = job(json!({}), json!({"clusters": clusters}));
        assert_eq!(placed.promised().collect::<Vec<_>>(), [("c1", 2)]);
        let held = job(json!({"suspend": true}), json!({"clusters": clusters}));
        assert_eq!(held.promised().count(), 0);
    }
}
