//! Has the ConfigMaps and Secrets that a SkyDeployment's pods name follow it: the shares that members show, as
//! `crate::follow` looks after them, and what earlier templates named.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use sky_convert::deployment::{Deployment, key, parse, share};
use sky_convert::revision::restore;
use sky_core::config::of_share;
use sky_core::deployment::{Facts, Members};
use sky_core::job::Reach;
use sky_core::placement::PlacedShare;
use sky_core::share::Share;
use sky_crds::SkyDeployment;

use super::Context;
use super::memory::Memory;
use crate::follow::{Kept, Ledger, Look, Use};

/// Looks after the copies of a deployment that is not being deleted.
pub(super) async fn keep(
    context: &Context,
    object: &SkyDeployment,
    deployment: Option<&Deployment>,
    facts: &Facts,
    members: &Members,
    memory: &mut Memory,
) -> Kept {
    let Some(deployment) = deployment.filter(|deployment| deployment.follow_config) else {
        memory.ledger = Ledger::default();
        return Kept::default();
    };
    if facts.deleting {
        return Kept::default();
    }
    let shares = facts.placement.shares.iter();
    let placed: BTreeMap<&str, &PlacedShare> = shares.map(|share| (share.id.as_str(), share)).collect();
    let seen = members.shares.iter().filter_map(|(cluster, seen)| {
        let placed = placed.get(seen.stamp.share.as_str())?;
        let is_there = placed.cluster == *cluster && !seen.deleting;
        let synced = members.reach.get(cluster) == Some(&Reach::Synced);
        (is_there && synced).then(|| {
            let outdated = facts.hashes.get(cluster) != Some(&seen.stamp.spec_hash);
            let rollout = seen.rollout.clone().unwrap_or_default();
            let all = rollout.updated >= seen.replicas
                && rollout.available >= seen.replicas
                && rollout.existing <= rollout.updated;
            Use {
                cluster: cluster.clone(),
                key: seen.key.clone(),
                id: seen.stamp.share.clone(),
                instance: seen.instance.clone(),
                outdated,
                rolled: !outdated && rollout.current && all,
            }
        })
    });
    let look = Look {
        uid: &object.uid().unwrap_or_default(),
        generation: facts.generation,
        seen: seen.collect(),
        placed: placed
            .values()
            .map(|placed| (placed.cluster.clone(), key(&deployment.workload, placed)))
            .collect(),
        ledger: &memory.ledger,
    };
    let wanted = |one: &Use| on(context, deployment, placed.get(one.id.as_str())?);
    let earlier = |one: &Use| {
        let templates = earlier(context, object, memory);
        let shares = templates
            .iter()
            .filter_map(|template| on(context, template, placed.get(one.id.as_str())?));
        shares.collect()
    };
    context.follow.keep(look, wanted, earlier).await
}

/// The deployment as it was with each of the templates that its revisions keep.
fn earlier(context: &Context, object: &SkyDeployment, memory: &Memory) -> Vec<Deployment> {
    let defaults = context.defaults.now();
    let each = memory.earlier.iter().filter_map(|template| {
        let mut before = serde_json::to_value(object).ok()?;
        restore(&mut before, template);
        let before: SkyDeployment = serde_json::from_value(before).ok()?;
        parse(&before, &defaults).ok()
    });
    each.collect()
}

/// Removes what was copied for shares that never came to be. False: something is still to be removed.
pub(super) async fn let_go(
    context: &Context,
    deployment: Option<&Deployment>,
    facts: &Facts,
    memory: &Memory,
) -> bool {
    let Some(deployment) = deployment.filter(|deployment| deployment.follow_config) else {
        return true;
    };
    let placed = facts.placement.shares.iter().map(|share| &share.cluster);
    let clusters: BTreeSet<&String> = placed
        .chain(facts.evictions.iter().map(|eviction| &eviction.cluster))
        .collect();
    let names = clusters.into_iter().filter_map(|cluster| {
        let placed = PlacedShare {
            cluster: cluster.clone(),
            ..PlacedShare::default()
        };
        let names: BTreeSet<_> = of_share(&on(context, deployment, &placed)?).into_keys().collect();
        Some((cluster.clone(), names))
    });
    let namespace = &deployment.workload.namespace;
    let names = names.collect();
    context.follow.let_go(namespace, names, &memory.ledger).await
}

/// The share as its cluster is to have it; `None`: its SkyCluster is gone.
fn on(context: &Context, deployment: &Deployment, placed: &PlacedShare) -> Option<Share> {
    let rules = context.rules.read();
    let standing = rules.clusters.get(placed.cluster.as_str())?;
    Some(share(deployment, placed, standing, &context.origin))
}
