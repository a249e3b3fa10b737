//! What a round reads: clusters from the host and the fleet, rules, and room promised to what is bound already.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use sky_convert::job::{has_ended, parse};
use sky_convert::{deployment, placement};
use sky_core::cluster::{Cluster, Health};
use sky_core::decision::Outcome;
use sky_core::placement::Placement;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Kind, Needs, Overrides, Workload, WorkloadRef, needs_on};
use sky_crds::status::PlacementStatus;
use sky_crds::{SkyDeployment, SkyJob};

use super::board::Assumed;
use super::rooms::{Promises, Rooms};
use crate::configuration::LiveDefaults;
use crate::fleet::{Contact, Fleet, View};
use crate::rules::Rules;
use crate::stores::reference;

/// An unfinished placement.
struct Bound {
    workload: WorkloadRef,
    asked: Asked,
    placement: Placement,
}

/// What one replica of a bound job needs, cluster by cluster.
#[derive(Clone)]
struct Asked {
    needs: Arc<Needs>,
    overrides: Option<Arc<dyn Overrides>>,
}

impl Asked {
    fn of(workload: &Workload) -> Self {
        Self {
            needs: workload.needs.clone(),
            overrides: workload.overrides.clone(),
        }
    }

    fn on(&self, cluster: Option<&Cluster>) -> Arc<Needs> {
        let overrides = self.overrides.as_deref();
        cluster.map_or_else(
            || self.needs.clone(),
            |cluster| needs_on(&self.needs, overrides, cluster).into_owned(),
        )
    }
}

/// Where a round reads from.
pub struct Sources {
    jobs: Store<DeserializeGuard<SkyJob>>,
    deployments: Store<DeserializeGuard<SkyDeployment>>,
    rules: Arc<Rules>,
    fleet: Arc<Fleet>,
    defaults: LiveDefaults,
    /// What replicas of bound workloads need, by uid and generation: parsing it anew each round would cost most of it.
    needs: Mutex<HashMap<String, (i64, Asked)>>,
    rooms: Mutex<Rooms>,
}

impl Sources {
    /// Reads workloads from `jobs` and `deployments`, what `defaults` adds to their specs, rules and members.
    #[must_use]
    pub fn new(
        jobs: Store<DeserializeGuard<SkyJob>>,
        deployments: Store<DeserializeGuard<SkyDeployment>>,
        rules: Arc<Rules>,
        fleet: Arc<Fleet>,
        defaults: LiveDefaults,
    ) -> Self {
        Self {
            jobs,
            deployments,
            rules,
            fleet,
            defaults,
            needs: Mutex::default(),
            rooms: Mutex::default(),
        }
    }

    /// Waits until every member has spoken or turned out to be silent.
    pub(super) async fn spoken(&self) {
        self.fleet.spoken().await;
    }

    /// Clusters with all reservations taken. Assumed placements that the host's cache shows by now are dropped.
    pub(super) fn snapshot(&self, assumed: &mut Assumed) -> Snapshot {
        let bound = self.bound();
        self.drop_bound(assumed);
        let mut snapshot = (*self.rules.read()).clone();
        let mut promises = self.promises(&bound, assumed, &snapshot);
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, cluster) in &mut snapshot.clusters {
            let seen = self
                .fleet
                .read(name, |view| (view.contact().clone(), view.nodes()));
            let Some((contact, nodes)) = seen else { continue };
            cluster.health = health(contact);
            cluster.room = nodes.map(|nodes| {
                let promised = promises.remove(&**name).unwrap_or_default();
                rooms.room(name, &nodes, promised)
            });
        }
        rooms.retain(|name| snapshot.clusters.contains_key(name));
        snapshot
    }

    /// Drops assumed placements that the host's cache shows by now: it shows a later one than they were decided on.
    pub(super) fn drop_bound(&self, assumed: &mut Assumed) {
        if assumed.is_empty() {
            return;
        }
        let mut shown: HashMap<String, i64> = HashMap::new();
        for guard in self.jobs.state() {
            let Ok(job) = &guard.0 else { continue };
            let placement = job.status.as_ref().and_then(|status| status.placement.as_ref());
            if let (Some(uid), Some(placement)) = (job.uid(), placement) {
                shown.insert(uid, placement.revision);
            }
        }
        for guard in self.deployments.state() {
            let Ok(deployment) = &guard.0 else { continue };
            let status = deployment.status.as_ref();
            let placement = status.and_then(|status| status.placement.as_ref());
            if let (Some(uid), Some(placement)) = (deployment.uid(), placement) {
                shown.insert(uid, placement.revision);
            }
        }
        assumed.retain(|(uid, revision), _| shown.get(uid).copied().unwrap_or(0) <= *revision);
    }

    /// Replicas for which room is promised, by cluster.
    pub(super) fn promised(&self, assumed: &Assumed) -> BTreeMap<String, i64> {
        let promises = self.promises(&self.bound(), assumed, &self.rules.read());
        let counted = promises
            .into_iter()
            .map(|(cluster, all)| (cluster, all.iter().map(|(_, count)| count).sum()));
        counted.collect()
    }

    /// Room promised on each cluster, in the order of uids.
    fn promises(
        &self,
        bound: &BTreeMap<String, Bound>,
        assumed: &Assumed,
        rules: &Snapshot,
    ) -> BTreeMap<String, Promises> {
        let mut promises: BTreeMap<String, Promises> = BTreeMap::new();
        for job in bound.values() {
            for share in job.placement.shares.iter().filter(|share| !share.complete) {
                let settled = self
                    .fleet
                    .read(&share.cluster, |view| settled(view, job, &share.id))
                    .unwrap_or(0);
                let open = share.replicas - settled;
                if open > 0 {
                    let of_cluster = promises.entry(share.cluster.clone()).or_default();
                    let cluster = rules.clusters.get(&*share.cluster);
                    of_cluster.push((job.asked.on(cluster), open));
                }
            }
        }
        for (workload, decision) in assumed.values() {
            if let Outcome::Placed(parts) = &decision.outcome {
                for (cluster, count) in parts {
                    let of_cluster = promises.entry(cluster.clone()).or_default();
                    let needs = Asked::of(workload).on(rules.clusters.get(&**cluster));
                    of_cluster.push((needs, *count));
                }
            }
        }
        promises
    }

    /// Unfinished placements by uid.
    fn bound(&self) -> BTreeMap<String, Bound> {
        let mut kept = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bound = BTreeMap::new();
        let defaults = self.defaults.now();
        for guard in self.jobs.state() {
            let Ok(job) = &guard.0 else { continue };
            if has_ended(job) {
                continue;
            }
            let asked = || parse(job, &defaults).ok().map(|job| Asked::of(&job.workload));
            let status = job.status.as_ref();
            let placed = status.and_then(|status| status.placement.as_ref());
            keep(&mut bound, &mut kept, (Kind::SkyJob, job), placed, asked);
        }
        for guard in self.deployments.state() {
            let Ok(deployment) = &guard.0 else { continue };
            let asked = || {
                let workload = deployment::workload(deployment, &defaults).ok()?;
                Some(Asked::of(&workload))
            };
            let status = deployment.status.as_ref();
            let placed = status.and_then(|status| status.placement.as_ref());
            keep(
                &mut bound,
                &mut kept,
                (Kind::SkyDeployment, deployment),
                placed,
                asked,
            );
        }
        kept.retain(|uid, _| bound.contains_key(uid));
        bound
    }
}

/// Adds a workload that has a place to `bound`. What it needs is `asked`, worked out only when its spec is another than
/// the one `known`.
fn keep(
    bound: &mut BTreeMap<String, Bound>,
    known: &mut HashMap<String, (i64, Asked)>,
    (kind, object): (Kind, &impl ResourceExt),
    placed: Option<&PlacementStatus>,
    asked: impl FnOnce() -> Option<Asked>,
) {
    let Some(placed) = placed.filter(|placement| !placement.shares.is_empty()) else {
        return;
    };
    let (Some(uid), generation) = (object.uid(), object.meta().generation.unwrap_or(0)) else {
        return;
    };
    let before = known.get(&uid).filter(|(of, _)| *of == generation);
    let Some(asked) = before.map(|(_, asked)| asked.clone()).or_else(asked) else {
        return;
    };
    known.insert(uid.clone(), (generation, asked.clone()));
    let of = Bound {
        workload: reference(kind, object),
        asked,
        placement: placement::from_api(placed),
    };
    bound.insert(uid, of);
}

fn health(contact: Contact) -> Health {
    match contact {
        Contact::Synced => Health::Ready,
        Contact::Waiting => Health::NotReady {
            reason: "Connecting".into(),
            message: "has not answered yet".into(),
        },
        Contact::Silent { trouble, .. } => Health::NotReady {
            reason: trouble.reason,
            message: trouble.message,
        },
    }
}

/// Replicas of the share that need no reservation any more, as its member shows it.
fn settled(view: &View, job: &Bound, share: &str) -> i64 {
    view.shares_of(&job.workload)
        .find(|seen| seen.stamp.share == share)
        .map_or(0, |seen| seen.settled)
}
