//! Step 1: what the host and the members show of one SkyNamespace's namespace, and who is in it.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use sky_convert::job::has_ended;
use sky_convert::namespace::{annotations, labels, recorded, rule};
use sky_core::cluster::Manager;
use sky_core::job::Reach;
use sky_core::namespace::{Facts, Place, SeenNamespace, Site};
use sky_core::workload::Kind;
use sky_crds::{SkyNamespace, names};

use super::{Context, HOST, Memory};
use crate::fleet::View;
use crate::workloads::Workloads;

/// Everything that a plan depends on.
pub(super) fn facts(context: &Context, namespace: &SkyNamespace, memory: &Memory) -> Facts {
    let name = namespace.name_any();
    let rule = rule(namespace).rule;
    let recorded = recorded(namespace);
    let placed = placed(&context.workloads, |of| of == name);
    let survey = context.fleet.survey(|view| look(view, &name));
    let host = context.host.read(HOST, |view| look(view, &name));
    let site = |place: &Place, look: Option<Look>, selected, recorded| {
        let (reach, seen, mut shares) = look.unwrap_or_else(nobody);
        if let Place::Member(cluster) = place {
            shares.extend(
                placed
                    .get(&(name.clone(), cluster.clone()))
                    .cloned()
                    .unwrap_or_default(),
            );
        }
        Site {
            selected,
            reach,
            seen,
            shares,
            recorded,
            refused: memory.refused.get(place).map(|(_, trouble, _)| trouble.clone()),
        }
    };
    let clusters = context.rules.read();
    let members = clusters.clusters.values();
    let members = members.filter(|cluster| cluster.manager == Manager::Kubernetes);
    let mut sites: BTreeMap<Place, Site> = members
        .map(|cluster| {
            let place = Place::Member(cluster.name.to_string());
            let selected = rule.allows(&cluster.name, &cluster.labels) && !cluster.leaving;
            let recorded = recorded.contains(&*cluster.name);
            let look = survey.get(&*cluster.name).cloned();
            let site = site(&place, look, selected, recorded);
            (place, site)
        })
        .collect();
    sites.insert(Place::Host, site(&Place::Host, host, true, true));
    Facts {
        generation: namespace.metadata.generation.unwrap_or(0),
        deleting: namespace.metadata.deletion_timestamp.is_some(),
        finalizer: namespace
            .finalizers()
            .iter()
            .any(|known| known == names::FINALIZER),
        labels: labels(namespace),
        annotations: annotations(namespace),
        workloads: unfinished(&context.workloads, &name),
        grace: context.grace,
        sites,
    }
}

type Look = (Reach, Option<SeenNamespace>, BTreeSet<String>);

/// What one member shows of the namespace, and the workloads that have shares in it.
fn look(view: &View, name: &str) -> Look {
    let shares = view.shares().filter(|share| share.key.namespace == name);
    (
        view.contact().clone().reach(view.lost_after()),
        view.namespace(name).cloned(),
        shares
            .map(|share| workload(share.stamp.kind, &share.stamp.name))
            .collect(),
    )
}

/// Of a cluster that is not in the fleet yet.
fn nobody() -> Look {
    let silent = Reach::Silent {
        lost: false,
        message: "is not connected yet".into(),
    };
    (silent, None, BTreeSet::new())
}

fn workload(kind: Kind, name: &str) -> String {
    format!("{} {name}", kind.as_str())
}

/// Unfinished workloads by namespace and cluster on which they are placed, in the namespaces that `which` picks. Their
/// shares may be on their way there.
pub(super) fn placed(
    workloads: &Workloads,
    which: impl Fn(&str) -> bool,
) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut placed: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    workloads.each(|kind, object| {
        let namespace = object.metadata().namespace.clone().unwrap_or_default();
        if !object.goes_on() || !which(&namespace) {
            return;
        }
        let name = workload(kind, object.metadata().name.as_deref().unwrap_or_default());
        for share in object
            .placement()
            .into_iter()
            .flat_map(|placement| &placement.shares)
        {
            let key = (namespace.clone(), share.cluster.clone());
            placed.entry(key).or_default().insert(name.clone());
        }
    });
    placed
}

/// Workloads of the namespace that have not ended, placed or not. One that cannot be read may be unfinished.
fn unfinished(workloads: &Workloads, namespace: &str) -> BTreeSet<String> {
    let mut unfinished = BTreeSet::new();
    for guard in workloads.jobs.state() {
        let here = guard.namespace().as_deref() == Some(namespace);
        if here && guard.0.as_ref().map_or(true, |job| !has_ended(job)) {
            unfinished.insert(workload(Kind::SkyJob, &guard.name_any()));
        }
    }
    for guard in workloads.deployments.state() {
        if guard.namespace().as_deref() == Some(namespace) {
            unfinished.insert(workload(Kind::SkyDeployment, &guard.name_any()));
        }
    }
    unfinished
}
