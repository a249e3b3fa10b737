//! Counts the replicas of a SkyJob cluster by cluster, from its placement and what members say. Called by `status`.

use std::collections::BTreeMap;

use super::facts::{Facts, Members, Reach};
use super::finish::{Ending, completed, observed, vanished};
use crate::observation::{Counts, Trouble};
use crate::placement::{PlacedShare, Placement};

/// The replicas on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Cluster name.
    pub cluster: String,
    /// Replicas placed there.
    pub replicas: i64,
    /// What they are doing.
    pub counts: Counts,
    /// State not known.
    pub unknown: i64,
    /// What keeps them from running, or made them fail.
    pub trouble: Option<Trouble>,
}

/// Replicas over all clusters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Asked for.
    pub replicas: i64,
    /// What they are doing.
    pub counts: Counts,
    /// State not known.
    pub unknown: i64,
}

pub(super) fn sum(replicas: i64, missing: i64, clusters: &[ClusterStatus]) -> Totals {
    let mut totals = Totals {
        replicas,
        ..Totals::default()
    };
    totals.counts.pending = missing;
    for cluster in clusters {
        totals.counts.pending += cluster.counts.pending;
        totals.counts.running += cluster.counts.running;
        totals.counts.succeeded += cluster.counts.succeeded;
        totals.counts.failed += cluster.counts.failed;
        totals.unknown += cluster.unknown;
    }
    totals
}

/// What each cluster's replicas are doing, by cluster name.
pub(super) fn clusters(
    facts: &Facts,
    members: &Members,
    placement: &Placement,
    ending: Option<&Ending>,
) -> Vec<ClusterStatus> {
    let mut clusters: BTreeMap<&str, ClusterStatus> = BTreeMap::new();
    for share in &placement.shares {
        let of_share = share_status(facts, members, share, ending);
        let entry = clusters.entry(&share.cluster).or_insert_with(|| ClusterStatus {
            cluster: share.cluster.clone(),
            ..ClusterStatus::default()
        });
        entry.replicas += of_share.replicas;
        entry.counts.pending += of_share.counts.pending;
        entry.counts.running += of_share.counts.running;
        entry.counts.succeeded += of_share.counts.succeeded;
        entry.counts.failed += of_share.counts.failed;
        entry.unknown += of_share.unknown;
        entry.trouble = entry.trouble.take().or(of_share.trouble);
    }
    clusters.into_values().collect()
}

fn share_status(
    facts: &Facts,
    members: &Members,
    share: &PlacedShare,
    ending: Option<&Ending>,
) -> ClusterStatus {
    let mut status = ClusterStatus {
        replicas: share.replicas,
        ..ClusterStatus::default()
    };
    let all_pending = Counts {
        pending: share.replicas,
        ..Counts::default()
    };
    match (members.reach.get(&share.cluster), observed(members, share)) {
        _ if share.complete => status.counts.succeeded = share.replicas,
        (None, _) => {
            status.unknown = share.replicas;
            status.trouble = Some(trouble("ClusterGone", "the SkyCluster is no longer registered"));
        }
        (Some(Reach::Silent { lost, message }), seen) => {
            let recorded = facts.recorded.get(&share.cluster).copied();
            status.counts = seen.map(|seen| seen.counts).or(recorded).unwrap_or(all_pending);
            if *lost {
                status.unknown = status.counts.pending + status.counts.running;
                status.counts.pending = 0;
                status.counts.running = 0;
            }
            let reason = if *lost {
                "ClusterLost"
            } else {
                "ClusterUnreachable"
            };
            status.trouble = Some(trouble(reason, message));
        }
        (Some(Reach::Synced), Some(seen)) => {
            status.counts = seen.counts;
            let note = members.notes.get(&share.id);
            status.trouble = seen.trouble.clone().or_else(|| note.cloned());
        }
        (Some(Reach::Synced), None) if vanished(facts, members, share) => {
            status.counts.failed = share.replicas;
            status.trouble = Some(trouble(
                "DeletedOnMember",
                "deleted on its member by somebody else",
            ));
        }
        (Some(Reach::Synced), None) if completed(facts, members, share) => {
            status.counts.succeeded = share.replicas;
        }
        (Some(Reach::Synced), None) => status.counts = all_pending,
    }
    if let Some(refusal) = members.sent_back.get(&share.id) {
        status.trouble = Some(refusal.trouble.clone());
    }
    if let Some(why) = &share.evicting {
        status.trouble = Some(trouble("Evicting", &format!("{}: {}", why.reason, why.message)));
    }
    if matches!(ending, Some(Ending::Failed(_))) {
        // What has not ended is withdrawn now; it will not be tried again.
        status.counts.failed += status.counts.pending + status.counts.running;
        status.counts.pending = 0;
        status.counts.running = 0;
    }
    status
}

fn trouble(reason: &str, message: &str) -> Trouble {
    Trouble {
        reason: reason.into(),
        message: message.into(),
    }
}
