//! What a round reads: clusters from the host and the fleet, policies, and room promised to what is bound already.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use sky_convert::job::{Defaults, has_ended, parse};
use sky_convert::{cluster, policy, status};
use sky_core::cluster::{Cluster, Health};
use sky_core::decision::Outcome;
use sky_core::placement::Placement;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Needs, Policy};
use sky_crds::{FilterPolicy, SkyCluster, SkyJob};

use super::board::Assumed;
use crate::fleet::{Contact, Fleet, View};

/// An unfinished placement.
struct Bound {
    namespace: String,
    name: String,
    needs: Arc<Needs>,
    placement: Placement,
}

/// Where a round reads from.
pub struct Sources {
    /// SkyJobs of the host.
    pub jobs: Store<DeserializeGuard<SkyJob>>,
    /// SkyClusters of the host.
    pub clusters: Store<DeserializeGuard<SkyCluster>>,
    /// FilterPolicies of the host.
    pub policies: Store<DeserializeGuard<FilterPolicy>>,
    /// The members.
    pub fleet: Arc<Fleet>,
    /// What is added where a spec is silent.
    pub defaults: Defaults,
    /// What replicas of bound jobs need, by uid and generation: parsing it anew each round would cost most of it.
    pub needs: Mutex<HashMap<String, (i64, Arc<Needs>)>>,
}

impl Sources {
    /// Clusters with all reservations taken. Assumed placements that the host's cache shows by now, and those of jobs
    /// that are gone, are dropped.
    pub(super) fn snapshot(&self, assumed: &mut Assumed) -> Snapshot {
        let clusters = self.clusters.state();
        let clusters = clusters
            .iter()
            .filter_map(|guard| guard.0.as_ref().ok())
            .map(|api| self.cluster(api));
        let clusters: BTreeMap<String, Cluster> =
            clusters.map(|cluster| (cluster.name.clone(), cluster)).collect();
        let mut snapshot = Snapshot {
            clusters,
            policies: self.policies(),
        };
        let bound = self.bound();
        drop_seen(assumed, &bound);
        for job in bound.values() {
            for share in &job.placement.shares {
                let settled = self
                    .fleet
                    .read(&share.cluster, |view| settled(view, job, &share.id))
                    .unwrap_or(0);
                snapshot.reserve(&share.cluster, &job.needs, share.replicas - settled);
            }
        }
        for (workload, decision) in assumed.values() {
            if let Outcome::Placed(parts) = &decision.outcome {
                parts
                    .iter()
                    .for_each(|(cluster, count)| snapshot.reserve(cluster, &workload.needs, *count));
            }
        }
        snapshot
    }

    /// Drops assumed placements that need no keeping any more.
    pub(super) fn drop_bound(&self, assumed: &mut Assumed) {
        if !assumed.is_empty() {
            drop_seen(assumed, &self.bound());
        }
    }

    fn cluster(&self, api: &SkyCluster) -> Cluster {
        let mut cluster = cluster::cluster(api);
        let seen = self
            .fleet
            .read(&cluster.name, |view| (view.contact().clone(), view.nodes()));
        if let Some((contact, nodes)) = seen {
            cluster.nodes = nodes;
            cluster.health = match contact {
                Contact::Synced => Health::Ready,
                Contact::Waiting => Health::NotReady {
                    reason: "Connecting".into(),
                    message: "has not answered yet".into(),
                },
                Contact::Silent { trouble, .. } => Health::NotReady {
                    reason: trouble.reason,
                    message: trouble.message,
                },
            };
        }
        cluster
    }

    fn policies(&self) -> Vec<Policy> {
        let state = self.policies.state();
        let each = state.iter().map(|guard| match &guard.0 {
            Ok(api) => policy::policy(api),
            Err(bad) => {
                let namespace = guard.namespace().unwrap_or_default();
                policy::unreadable(&namespace, &guard.name_any(), &bad.error)
            }
        });
        each.collect()
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
                parse(job, &self.defaults)
                    .ok()
                    .map(|job| Arc::new(job.workload.needs))
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
                    placement: status::placement(placement),
                },
            );
        }
        kept.retain(|uid, _| bound.contains_key(uid));
        bound
    }
}

/// Replicas of the share that need no reservation any more, as its member shows it.
fn settled(view: &View, job: &Bound, share: &str) -> i64 {
    view.shares_of(&job.namespace, &job.name)
        .find(|seen| seen.stamp.share == share)
        .map_or(0, |seen| seen.settled)
}

fn drop_seen(assumed: &mut Assumed, bound: &BTreeMap<String, Bound>) {
    assumed.retain(|uid, _| !bound.contains_key(uid));
}
