//! Words the status of a SkyDeployment from its placement and what members say. Turned into the API's status by
//! sky-convert.

use super::facts::{Facts, Members};
use super::rollout::{Stage, stage, stuck};
use super::settle::Settled;
use crate::config;
use crate::decision::{Decision, Outcome};
use crate::eviction::{CoolDown, Eviction};
use crate::job::{Condition, Reach, diagnosis};
use crate::observation::Trouble;
use crate::placement::{PlacedShare, Placement};

/// The status of a SkyDeployment, without times of transitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Generation of the spec that it speaks of.
    pub generation: i64,
    /// For display: Queued, Progressing, Ready, Unavailable, Paused, Stalled, Deleting.
    pub phase: String,
    /// In the order they are shown.
    pub conditions: Vec<Condition>,
    /// Where it is placed.
    pub placement: Placement,
    /// By cluster name.
    pub clusters: Vec<ClusterStatus>,
    /// Over all clusters.
    pub counts: Counts,
    /// Cluster, reason code, words.
    pub diagnosis: Vec<(String, String, String)>,
    /// Evictions, the last one last.
    pub evictions: Vec<Eviction>,
    /// Clusters that are not tried for a while.
    pub cool_downs: Vec<CoolDown>,
}

/// Replicas that exist, by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that exist, of any template.
    pub existing: i64,
    /// Ready to serve.
    pub ready: i64,
    /// Of the present template.
    pub updated: i64,
    /// Ready for long enough.
    pub available: i64,
    /// State not known, since the cluster is lost.
    pub unknown: i64,
}

/// The replicas on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Cluster name.
    pub cluster: String,
    /// Replicas placed there.
    pub replicas: i64,
    /// Those that exist.
    pub counts: Counts,
    /// What keeps them from being available.
    pub trouble: Option<Trouble>,
}

/// The status of one that is not being deleted. `answer` says what the rest waits for.
pub(super) fn status(
    facts: &Facts,
    members: &Members,
    settled: &Settled,
    answer: Option<&Decision>,
) -> Status {
    let placement = &settled.placement;
    let clusters: Vec<ClusterStatus> = placement
        .shares
        .iter()
        .map(|share| cluster(facts, members, share))
        .collect();
    let counts = sum(&clusters);
    let placed: i64 = placement.shares.iter().map(|share| share.replicas).sum();
    let missing = (facts.replicas - placed).max(0);
    let done = |share: &PlacedShare| stage(facts, members, share) == Some(Stage::Done);
    let rolled = missing == 0 && placement.shares.iter().all(done);
    let scheduled = scheduled(facts, placement, missing, answer);
    let stalled = stalled(facts, members, answer);
    let progressing = progressing(facts, members, rolled, counts, stalled.as_ref());
    let available = counts.available >= facts.replicas && missing == 0;
    let ready = if rolled && available {
        let words = format!(
            "{} of {} replicas are available",
            counts.available, facts.replicas
        );
        condition("Ready", true, "Available", &words)
    } else {
        let words = describe(facts, counts, &clusters);
        let reason = if missing > 0 { "NotPlaced" } else { "NotAvailable" };
        condition("Ready", false, reason, &words)
    };
    let phase = match (&stalled, ready.status) {
        (Some(_), _) => "Stalled",
        (None, true) => "Ready",
        (None, false) if missing == facts.replicas && missing > 0 => "Queued",
        (None, false) if facts.paused => "Paused",
        (None, false) => "Progressing",
    };
    let reconciling = (!ready.status).then(|| condition("Reconciling", true, &ready.reason, &ready.message));
    let mut conditions = vec![ready, progressing, scheduled];
    // Helm and Flux take the first of the two that is True: stalled is a failure, also while other replicas go on.
    conditions.extend(stalled);
    conditions.extend(reconciling);
    Status {
        generation: facts.generation,
        phase: phase.into(),
        conditions,
        placement: placement.clone(),
        clusters,
        counts,
        diagnosis: answer
            .map(|answer| diagnosis(answer, missing))
            .unwrap_or_default(),
        evictions: settled.evictions.clone(),
        cool_downs: settled.cool_downs.clone(),
    }
}

/// The status of one that is being deleted and waits for these clusters.
pub(super) fn leaving(facts: &Facts, silent: &[String]) -> Status {
    let words = if silent.is_empty() {
        "its shares are being withdrawn".to_owned()
    } else {
        format!(
            "waiting for {} to answer before its shares can be withdrawn; if it will not return, delete its SkyCluster \
             with the annotation skymanager.io/abandon=true",
            silent.join(", ")
        )
    };
    Status {
        generation: facts.generation,
        phase: "Deleting".into(),
        conditions: vec![
            condition("Ready", false, "Deleting", &words),
            condition("Reconciling", true, "Deleting", &words),
        ],
        placement: facts.placement.clone(),
        clusters: facts.recorded.values().cloned().collect(),
        counts: sum(&facts.recorded.values().cloned().collect::<Vec<_>>()),
        evictions: facts.evictions.clone(),
        cool_downs: facts.cool_downs.clone(),
        diagnosis: Vec::new(),
    }
}

fn sum(clusters: &[ClusterStatus]) -> Counts {
    clusters.iter().fold(Counts::default(), |sum, cluster| Counts {
        existing: sum.existing + cluster.counts.existing,
        ready: sum.ready + cluster.counts.ready,
        updated: sum.updated + cluster.counts.updated,
        available: sum.available + cluster.counts.available,
        unknown: sum.unknown + cluster.counts.unknown,
    })
}

fn cluster(facts: &Facts, members: &Members, share: &PlacedShare) -> ClusterStatus {
    let mut status = ClusterStatus {
        cluster: share.cluster.clone(),
        replicas: share.replicas,
        ..ClusterStatus::default()
    };
    let outdated = stage(facts, members, share) == Some(Stage::Outdated);
    let seen = members.observed(share);
    let counted = seen.and_then(|seen| seen.rollout.as_ref()).map(|rollout| Counts {
        existing: rollout.existing,
        ready: rollout.ready,
        updated: if outdated { 0 } else { rollout.updated },
        available: rollout.available,
        unknown: 0,
    });
    let recorded = facts.recorded.get(&share.cluster).map(|recorded| recorded.counts);
    status.counts = counted.or(recorded).unwrap_or_default();
    let note = members.notes.get(&share.id).filter(|_| seen.is_some());
    status.trouble = seen
        .and_then(|seen| seen.trouble.clone())
        .or_else(|| note.cloned());
    match members.reach.get(&share.cluster) {
        Some(Reach::Synced) => {}
        Some(Reach::Silent { lost, message }) => {
            let reason = if *lost {
                "ClusterLost"
            } else {
                "ClusterUnreachable"
            };
            status.trouble = Some(Trouble {
                reason: reason.into(),
                message: message.clone(),
            });
            if *lost {
                status.counts = Counts {
                    unknown: share.replicas,
                    ..Counts::default()
                };
            }
        }
        None => status.counts = Counts::default(),
    }
    if let Some(refusal) = members.sent_back.get(&share.id) {
        status.trouble = Some(refusal.trouble.clone());
    }
    status
}

/// What only its user can mend.
fn stalled(facts: &Facts, members: &Members, answer: Option<&Decision>) -> Option<Condition> {
    if let Some(refused) = &facts.refused {
        return Some(condition("Stalled", true, &refused.reason, &refused.message));
    }
    let mut shares = facts.placement.shares.iter();
    let sent_back = shares.find_map(|share| {
        let refusal = members.sent_back.get(&share.id)?;
        let reason = refusal.trouble.reason.as_str();
        let is_final = refusal.for_good || reason == "Conflict" || config::reason::stalls(reason);
        is_final.then(|| (share.cluster.clone(), refusal.trouble.clone()))
    });
    if let Some((cluster, trouble)) = sent_back.or_else(|| stuck(facts, members)) {
        let words = format!("on {cluster}: {}", trouble.message);
        return Some(condition("Stalled", true, &trouble.reason, &words));
    }
    match answer.map(|answer| &answer.outcome) {
        Some(Outcome::TooLarge(words)) => Some(condition("Stalled", true, "TooLarge", words)),
        _ => None,
    }
}

fn progressing(
    facts: &Facts,
    members: &Members,
    rolled: bool,
    counts: Counts,
    stalled: Option<&Condition>,
) -> Condition {
    let shares = &facts.placement.shares;
    let outdated = shares
        .iter()
        .filter(|share| stage(facts, members, share) == Some(Stage::Outdated));
    let words = format!(
        "{} of {} replicas are updated, {} available",
        counts.updated.min(facts.replicas),
        facts.replicas,
        counts.available
    );
    match (stalled, outdated.count()) {
        (Some(stalled), _) => condition("Progressing", false, &stalled.reason, &stalled.message),
        (None, 1..) if facts.paused => condition(
            "Progressing",
            false,
            "Paused",
            "spec.paused is true: the changed template waits",
        ),
        (None, _) if rolled => condition("Progressing", true, "Complete", &words),
        (None, 0) => condition("Progressing", true, "Replicas", &words),
        (None, left) => {
            let words = format!("{words}; {left} clusters are still to be updated");
            condition("Progressing", true, "Rollout", &words)
        }
    }
}

/// Whether all replicas have a place; else what the rest waits for.
fn scheduled(facts: &Facts, placement: &Placement, missing: i64, answer: Option<&Decision>) -> Condition {
    let summary = placement.summary();
    let where_to = if summary.is_empty() {
        "placed nowhere".to_owned()
    } else {
        format!("placed on {summary}")
    };
    if let Some(refused) = &facts.refused {
        return condition("Scheduled", false, &refused.reason, &refused.message);
    }
    if missing == 0 {
        return condition("Scheduled", true, "Placed", &where_to);
    }
    let (reason, waits) = match answer.map(|answer| &answer.outcome) {
        Some(Outcome::Queued(words)) => ("Queued", words.as_str()),
        Some(Outcome::TooLarge(words)) => ("TooLarge", words.as_str()),
        _ => ("Queued", "waiting for the scheduler"),
    };
    let words = format!(
        "{missing} of {} replicas wait: {waits}; {where_to}",
        facts.replicas
    );
    condition("Scheduled", false, reason, &words)
}

fn describe(facts: &Facts, counts: Counts, clusters: &[ClusterStatus]) -> String {
    let mut text = format!(
        "{} of {} replicas are available",
        counts.available, facts.replicas
    );
    if counts.unknown > 0 {
        text.push_str(&format!(", {} unknown", counts.unknown));
    }
    for cluster in clusters {
        if let Some(trouble) = &cluster.trouble {
            text.push_str(&format!(
                "; {}: {}: {}",
                cluster.cluster, trouble.reason, trouble.message
            ));
        }
    }
    text
}

fn condition(kind: &'static str, status: bool, reason: &str, message: &str) -> Condition {
    Condition {
        kind,
        status,
        reason: reason.into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Refused;

    #[test]
    fn what_is_stalled_is_a_failure_to_those_who_wait_also_while_it_is_reconciled() {
        let facts = Facts {
            replicas: 1,
            refused: Some(Refused {
                reason: "InvalidSpec".into(),
                message: "no".into(),
            }),
            ..Facts::default()
        };
        let members = Members::default();
        let settled = super::super::settle::settle(&facts, &members, 0);
        let status = status(&facts, &members, &settled, None);
        // Kstatus takes the first of the two that is True.
        let either = |c: &&Condition| c.status && ["Stalled", "Reconciling"].contains(&c.kind);
        let kinds: Vec<&str> = status.conditions.iter().filter(either).map(|c| c.kind).collect();
        assert_eq!(kinds, ["Stalled", "Reconciling"]);
    }
}
