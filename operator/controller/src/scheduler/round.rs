//! What a round reads: clusters from the host and the fleet, rules, and room promised to what is bound already.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use sky_convert::job::{has_ended, parse};
use sky_convert::placement;
use sky_core::cluster::Health;
use sky_core::decision::Outcome;
use sky_core::placement::Placement;
use sky_core::snapshot::Snapshot;
use sky_core::workload::Needs;
use sky_crds::SkyJob;

use super::board::Assumed;
use super::rooms::{Promises, Rooms};
use crate::configuration::LiveDefaults;
use crate::fleet::{Contact, Fleet, View};
use crate::rules::Rules;

/// An unfinished placement.
struct Bound {
    namespace: String,
    name: String,
    needs: Arc<Needs>,
    placement: Placement,
}

/// Where a round reads from.
pub struct Sources {
    jobs: Store<DeserializeGuard<SkyJob>>,
    rules: Arc<Rules>,
    fleet: Arc<Fleet>,
    defaults: LiveDefaults,
    /// What replicas of bound jobs need, by uid and generation: parsing it anew each round would cost most of it.
    needs: Mutex<HashMap<String, (i64, Arc<Needs>)>>,
    rooms: Mutex<Rooms>,
}

impl Sources {
    /// Reads SkyJobs from `jobs`, what `defaults` adds to their specs, rules and members.
    #[must_use]
    pub fn new(
        jobs: Store<DeserializeGuard<SkyJob>>,
        rules: Arc<Rules>,
        fleet: Arc<Fleet>,
        defaults: LiveDefaults,
    ) -> Self {
        Self {
            jobs,
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
        let mut promises = self.promises(&bound, assumed);
        let mut snapshot = (*self.rules.read()).clone();
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
        assumed.retain(|(uid, revision), _| shown.get(uid).copied().unwrap_or(0) <= *revision);
    }

    /// Room promised on each cluster, in the order of uids.
    fn promises(&self, bound: &BTreeMap<String, Bound>, assumed: &Assumed) -> BTreeMap<String, Promises> {
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
                    of_cluster.push((job.needs.clone(), open));
                }
            }
        }
        for (workload, decision) in assumed.values() {
            if let Outcome::Placed(parts) = &decision.outcome {
                for (cluster, count) in parts {
                    let of_cluster = promises.entry(cluster.clone()).or_default();
                    of_cluster.push((workload.needs.clone(), *count));
                }
            }
        }
        promises
    }

    /// Unfinished placements by uid.
    fn bound(&self) -> BTreeMap<String, Bound> {
        let mut kept = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bound = BTreeMap::new();
        for guard in self.jobs.state() {
            let Ok(job) = &guard.0 else { continue };
            let Some(stored) = job.status.as_ref() else {
                continue;
            };
            if has_ended(job) {
                continue;
            }
            let Some(placement) = stored
                .placement
                .as_ref()
                .filter(|placement| !placement.shares.is_empty())
            else {
                continue;
            };
            let (Some(uid), generation) = (job.uid(), job.metadata.generation.unwrap_or(0)) else {
                continue;
            };
            let known = kept
                .get(&uid)
                .filter(|(of, _)| *of == generation)
                .map(|(_, needs)| needs.clone());
            let needs = known.or_else(|| {
                parse(job, &self.defaults.now())
                    .ok()
                    .map(|job| job.workload.needs)
            });
            let Some(needs) = needs else { continue };
            kept.insert(uid.clone(), (generation, needs.clone()));
            let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
            bound.insert(
                uid,
                Bound {
                    namespace,
                    name,
                    needs,
                    placement: placement::from_api(placement),
                },
            );
        }
        kept.retain(|uid, _| bound.contains_key(uid));
        bound
    }
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
    view.shares_of(&job.namespace, &job.name)
        .find(|seen| seen.stamp.share == share)
        .map_or(0, |seen| seen.settled)
}
