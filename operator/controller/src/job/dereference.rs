//! Step 1: what members say about one SkyJob's shares, and how far each can be believed.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::ResourceExt;
use sky_core::job::{Facts, Members, Reach};
use sky_crds::SkyJob;

use super::Context;
use super::memory::Memory;
use crate::fleet::{Contact, Fleet};

/// What is known of the members that hold or are to hold a share of this SkyJob. A share of another uid but of equal
/// name, run and spec is its own too: the host was restored from a backup, which gives new uids.
pub(super) fn members(context: &Context, job: &SkyJob, facts: &Facts, memory: &mut Memory) -> Members {
    let uid = job.uid().unwrap_or_default();
    let mut shares = context
        .fleet
        .shares_of(&job.namespace().unwrap_or_default(), &job.name_any());
    shares.retain(|(_, share)| {
        let stamp = &share.stamp;
        stamp.uid == uid || (stamp.run == facts.run && stamp.spec_hash == facts.spec_hash)
    });
    for (_, share) in &shares {
        memory.seen.insert(share.stamp.share.clone());
        memory.sent_back.remove(&share.stamp.share);
    }
    let placed = facts
        .placement
        .iter()
        .flat_map(|placement| &placement.shares)
        .map(|share| &share.cluster);
    let holders = shares.iter().map(|(cluster, _)| cluster);
    let mut reach = BTreeMap::new();
    for cluster in placed.chain(holders) {
        if let Some(contact) = reach_of(&context.fleet, cluster) {
            reach.insert(cluster.clone(), contact);
        }
    }
    let sent_back = memory
        .sent_back
        .iter()
        .map(|(share, (why, _))| (share.clone(), why.clone()))
        .collect();
    Members {
        reach,
        shares,
        seen: memory.seen.clone(),
        sent_back,
    }
}

/// How far the cluster can be believed; `None` when it is not registered.
fn reach_of(fleet: &Fleet, cluster: &str) -> Option<Reach> {
    let (contact, grace) = fleet.read(cluster, |view| (view.contact().clone(), view.lost_after()))?;
    Some(match contact {
        Contact::Synced => Reach::Synced,
        Contact::Waiting => Reach::Silent {
            lost: false,
            message: "has not answered yet".into(),
        },
        Contact::Silent { since, trouble } => {
            let lost = since.elapsed() >= Duration::from_secs(grace);
            Reach::Silent {
                lost,
                message: trouble.message,
            }
        }
    })
}
