//! Namespaces that have no SkyNamespace: one that we made because a share needed it goes when nothing of ours needs it any
//! more and nobody has put anything into it. What a SkyNamespace left behind is seen to here as well.
//!
//! `sky_core::namespace::leave` and `stay` say when; whoever sends a share there asks `claim` first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use sky_core::Seconds;
use sky_core::namespace::{Namespace, SeenNamespace, Wanted, leave, stay};
use sky_crds::SkyNamespace;
use sky_member::Desired;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::pause;
use super::dereference::placed;
use crate::clock;
use crate::fleet::{Contact, Fleet, View};
use crate::workloads::Workloads;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// What is looked at.
pub struct Idle {
    /// Members, and a fleet of the host alone.
    pub fleets: [Arc<Fleet>; 2],
    /// Identity of the host.
    pub origin: String,
    /// SkyNamespaces of the host: theirs are left to the reconciler.
    pub namespaces: Store<DeserializeGuard<SkyNamespace>>,
    /// Workloads of the host.
    pub workloads: Workloads,
    /// Seconds that a namespace is marked idle before it goes.
    pub grace: Seconds,
}

/// Cluster and namespace.
type Site = (String, String);

impl Idle {
    /// Looks until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut retry = BTreeMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = self.look(&mut retry) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// One look; `retry` says when to try again what failed.
    async fn look(&self, retry: &mut BTreeMap<Site, Instant>) {
        let now = Instant::now();
        retry.retain(|_, until| *until > now);
        let calls = self.fleets.iter().flat_map(|fleet| {
            let due = self.due(fleet).into_iter();
            due.map(move |(site, wanted)| (fleet.clone(), site, wanted))
        });
        let calls = calls.filter(|(_, site, _)| !retry.contains_key(site));
        let outcomes = futures::future::join_all(calls.map(|(fleet, site, wanted)| async move {
            let answer = match fleet.member(&site.0) {
                Some(member) => {
                    let namespace = Namespace {
                        name: site.1.clone(),
                        origin: self.origin.clone(),
                        wanted: wanted.clone(),
                    };
                    member.ensure(Desired::Namespace(Box::new(namespace))).await
                }
                None => return None,
            };
            let error = answer.err()?;
            tracing::info!(cluster = site.0, namespace = site.1, class = error.class.as_str(), message = %error.message, "an idle namespace stays for now");
            Some((site, pause(&error, &wanted)))
        }))
        .await;
        let failed = outcomes.into_iter().flatten();
        retry.extend(failed.map(|(site, pause)| (site, now + pause)));
    }

    /// What is to be done now about namespaces that have no SkyNamespace.
    fn due(&self, fleet: &Fleet) -> Vec<(Site, Wanted)> {
        let now = clock::now().as_second();
        let ownerless = |name: &str| self.namespaces.get(&ObjectRef::new(name)).is_none();
        let found = fleet.survey(|view| ours(view, &ownerless));
        if found.values().all(Vec::is_empty) {
            return Vec::new();
        }
        let placed = placed(&self.workloads, ownerless);
        let mut due = Vec::new();
        for (cluster, all) in found {
            for (seen, used) in all {
                let site = (seen.name.clone(), cluster.clone());
                let wanted = if used || placed.contains_key(&site) {
                    stay(&seen)
                } else {
                    leave(&seen, now, self.grace).ok()
                };
                due.extend(wanted.map(|wanted| ((cluster.clone(), seen.name.clone()), wanted)));
            }
        }
        due
    }
}

/// Namespaces of ours on a member that can be believed, and whether there are shares in each.
fn ours(view: &View, ownerless: &impl Fn(&str) -> bool) -> Vec<(SeenNamespace, bool)> {
    let mut found: Vec<(SeenNamespace, bool)> = Vec::new();
    if matches!(view.contact(), Contact::Synced) {
        let all = view.namespaces().filter(|seen| ownerless(&seen.name));
        found.extend(all.map(|seen| (seen.clone(), false)));
    }
    if !found.is_empty() {
        let used: BTreeSet<&str> = view.shares().map(|share| share.key.namespace.as_str()).collect();
        for (seen, is_used) in &mut found {
            *is_used = used.contains(seen.name.as_str());
        }
    }
    found
}
