//! Step 1: what members say about one SkyDeployment's shares, how far each can be believed, and where its shares may be.

use std::collections::BTreeMap;

use kube::ResourceExt;
use sky_core::deployment::{Facts, Members, standing};
use sky_core::job::Reach;
use sky_core::observation::Trouble;
use sky_core::workload::{Kind, Workload};
use sky_crds::SkyDeployment;

use super::Context;
use super::memory::Memory;
use crate::clock;
use crate::fleet::View;
use crate::job::reach_of;
use crate::stores::reference;

/// What is known of the members that hold or are to hold a share of this SkyDeployment.
pub(super) fn members(
    context: &Context,
    deployment: &SkyDeployment,
    facts: &Facts,
    workload: Option<&Workload>,
    memory: &mut Memory,
) -> Members {
    let own = reference(Kind::SkyDeployment, deployment);
    let uid = deployment.uid().unwrap_or_default();
    let placed = facts.placement.shares.iter().map(|share| &share.cluster);
    // Before the shares: a member that speaks in between is not yet believed to hold nothing.
    let mut reach: BTreeMap<String, Reach> = placed
        .filter_map(|cluster| Some((cluster.clone(), reach_of(&context.fleet, cluster, &own)?)))
        .collect();
    let mut shares = context.fleet.shares_of(&own);
    shares.retain(|(_, share)| share.stamp.uid == uid);
    for (cluster, share) in &shares {
        memory.unseen.remove(&share.stamp.share);
        if !reach.contains_key(cluster)
            && let Some(contact) = reach_of(&context.fleet, cluster, &own)
        {
            reach.insert(cluster.clone(), contact);
        }
    }
    memory.look(&shares, clock::now().as_second());
    memory.forget(&facts.placement, &shares);
    let pending_since = memory.pending.iter();
    let pending_since = pending_since.map(|(share, (_, _, since))| (share.clone(), *since));
    let back_since = reach.keys().filter_map(|cluster| {
        let since = context.fleet.read(cluster, View::back_since).flatten()?;
        let ago = i64::try_from(since.elapsed().as_secs()).unwrap_or(i64::MAX);
        Some((cluster.clone(), clock::now().as_second().saturating_sub(ago)))
    });
    let back_since = back_since.collect();
    let mut members = Members {
        back_since,
        pending_since: pending_since.collect(),
        reach,
        shares,
        unseen: memory.unseen.values().cloned().collect(),
        sent_back: memory
            .sent_back
            .iter()
            .map(|(share, (why, _))| (share.clone(), why.clone()))
            .collect(),
        applied: memory.applied.clone(),
        notes: memory.ledger.notes(),
        waited: memory.waited.clone(),
        ..Members::default()
    };
    if let Some(workload) = workload.filter(|_| !facts.deleting) {
        judge(context, facts, workload, &mut members);
    }
    members
}

/// Where its shares may be by now, and how each of their clusters stands.
fn judge(context: &Context, facts: &Facts, workload: &Workload, members: &mut Members) {
    let rules = context.rules.read();
    for share in &facts.placement.shares {
        let cluster = &share.cluster;
        if let Err((_, refusal)) = context.board.retain(workload, &rules, cluster) {
            let why = Trouble {
                reason: refusal.reason.into(),
                message: refusal.message.to_string(),
            };
            members.forbidden.insert(cluster.clone(), why);
        }
        if let Some(known) = rules.clusters.get(cluster.as_str()) {
            members
                .standings
                .insert(cluster.clone(), standing(workload, known));
        }
    }
}
