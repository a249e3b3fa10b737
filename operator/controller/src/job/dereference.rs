//! Step 1: what members say about one SkyJob's shares, and how far each can be believed.

use std::collections::BTreeMap;
use std::time::Duration;

use sky_core::job::{Facts, Members, Reach};

use super::Context;
use super::memory::Memory;
use crate::fleet::{Contact, Fleet};

/// What is known of the members that hold or are to hold a share of this uid.
pub(super) fn members(context: &Context, uid: &str, facts: &Facts, memory: &mut Memory) -> Members {
    let shares = context.fleet.shares_of(uid);
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
