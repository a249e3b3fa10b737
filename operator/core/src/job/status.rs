//! Words the status of a SkyJob from its placement and what members say. Turned into the API's status by sky-convert.

use super::clusters::{ClusterStatus, Totals, clusters, sum};
use super::facts::{Facts, Members, Run, push_run};
use super::finish::Ending;
use crate::Seconds;
use crate::config;
use crate::decision::{Decision, Outcome};
use crate::eviction::{CoolDown, Eviction};
use crate::observation::{Counts, Trouble};
use crate::placement::Placement;

/// Clusters that a diagnosis lists at most.
const MOST_DIAGNOSED: usize = 32;

/// The status of a SkyJob, without times of transitions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Generation of the spec that it speaks of.
    pub generation: i64,
    /// For display.
    pub phase: Phase,
    /// In the order they are shown.
    pub conditions: Vec<Condition>,
    /// Where it is placed.
    pub placement: Option<Placement>,
    /// By cluster name.
    pub clusters: Vec<ClusterStatus>,
    /// Over all clusters.
    pub totals: Totals,
    /// Cluster, reason code, words.
    pub diagnosis: Vec<(String, String, String)>,
    /// Evictions, the last one last.
    pub evictions: Vec<Eviction>,
    /// Clusters that are not tried for a while.
    pub cool_downs: Vec<CoolDown>,
    /// Runs so far.
    pub runs: Vec<Run>,
    /// The retry that was last taken in: it asks for nothing any more.
    pub retry: Option<String>,
    /// When it was first placed.
    pub start: Option<Seconds>,
    /// When it ended.
    pub completion: Option<Seconds>,
}

/// For display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not placed yet.
    #[default]
    Queued,
    /// Placed, nothing started.
    Pending,
    /// A replica has started.
    Running,
    /// Held back.
    Suspended,
    /// Every replica succeeded.
    Complete,
    /// A replica failed for good.
    Failed,
    /// Every unfinished share is on a silent cluster.
    Unknown,
    /// The spec cannot be carried out.
    Invalid,
    /// Being withdrawn.
    Deleting,
}

impl Phase {
    /// As the status writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Suspended => "Suspended",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
            Self::Invalid => "Invalid",
            Self::Deleting => "Deleting",
        }
    }
}

/// A condition without the time of its transition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Scheduled, Reconciling, Complete, Failed, Suspended or Stalled.
    pub kind: &'static str,
    /// True or False.
    pub status: bool,
    /// CamelCase code.
    pub reason: String,
    /// In words.
    pub message: String,
}

pub(super) fn condition(kind: &'static str, status: bool, reason: &str, message: &str) -> Condition {
    Condition {
        kind,
        status,
        reason: reason.into(),
        message: message.into(),
    }
}

/// A job that is not placed: refused, held back, or waiting with the scheduler's answer.
pub(super) fn unplaced(facts: &Facts, answer: Option<&Decision>) -> Status {
    let mut status = Status {
        generation: facts.generation,
        totals: Totals {
            replicas: facts.replicas,
            counts: Counts {
                pending: facts.replicas,
                ..Counts::default()
            },
            unknown: 0,
        },
        runs: facts.runs.clone(),
        retry: facts.retry.clone(),
        // Ids of shares are made from the revision: it is kept when no share is.
        placement: (facts.revision > 0).then(|| Placement {
            revision: facts.revision,
            shares: Vec::new(),
            unplaced: facts.unplaced.clone(),
        }),
        evictions: facts.evictions.clone(),
        cool_downs: facts.cool_downs.clone(),
        // A deadline counts from the first start, also while evicted replicas wait.
        start: facts.start,
        ..Status::default()
    };
    let (phase, conditions) = if let Some(refused) = &facts.refused {
        let not_scheduled = condition("Scheduled", false, &refused.reason, &refused.message);
        (
            Phase::Invalid,
            vec![
                not_scheduled,
                condition("Stalled", true, &refused.reason, &refused.message),
            ],
        )
    } else if facts.suspend {
        let words = "spec.suspend is true";
        let not_scheduled = condition("Scheduled", false, "Suspended", words);
        (
            Phase::Suspended,
            vec![
                not_scheduled,
                // Until it has ended: who waits for it waits on.
                condition("Reconciling", true, "Suspended", words),
                condition("Suspended", true, "Suspended", words),
            ],
        )
    } else {
        (Phase::Queued, waiting(answer))
    };
    status.phase = phase;
    status.conditions = conditions;
    if let Some(decision) = answer.filter(|_| phase == Phase::Queued) {
        status.diagnosis = diagnosis(decision, facts.replicas);
    }
    status
}

/// Why each cluster does not take `replicas` now: its name, a reason code, words.
#[must_use]
pub fn diagnosis(decision: &Decision, replicas: i64) -> Vec<(String, String, String)> {
    let each = decision.verdicts.iter().map(|verdict| {
        let (reason, message) = match &verdict.refusal {
            Some((_, refusal)) => (refusal.reason.to_owned(), refusal.message.to_string()),
            None => (
                "TooFewReplicas".to_owned(),
                format!("room for {} of {replicas}", verdict.fit),
            ),
        };
        (verdict.cluster.to_string(), reason, message)
    });
    each.take(MOST_DIAGNOSED).collect()
}

/// Whether all replicas have a place; else what the rest waits for.
fn scheduled(
    facts: &Facts,
    placement: &Placement,
    ending: Option<&Ending>,
    answer: Option<&Decision>,
) -> Condition {
    let placement = placement.without_lost();
    let missing = placement.missing(facts.replicas).count();
    if placement.shares.is_empty() && ending.is_some() {
        return condition("Scheduled", false, "Evicted", "no replica had a place at the end");
    }
    let where_to = format!("placed on {}", placement.summary());
    if missing == 0 || ending.is_some() {
        return condition("Scheduled", true, "Placed", &where_to);
    }
    let waits = match answer.map(|answer| &answer.outcome) {
        Some(Outcome::Queued(message) | Outcome::TooLarge(message)) => message.as_str(),
        _ => "waiting for the scheduler",
    };
    let mut words = format!("{missing} of {} replicas wait: {waits}", facts.replicas);
    if !placement.shares.is_empty() {
        words.push_str(&format!("; {where_to}"));
    }
    condition("Scheduled", false, "Queued", &words)
}

fn waiting(answer: Option<&Decision>) -> Vec<Condition> {
    match answer.map(|decision| &decision.outcome) {
        // Helm and Flux take the first of Stalled and Reconciling that is True: this is a failure to them.
        Some(Outcome::TooLarge(message)) => vec![
            condition("Scheduled", false, "TooLarge", message),
            condition("Stalled", true, "TooLarge", message),
            condition("Reconciling", true, "Queued", message),
        ],
        Some(Outcome::Queued(message)) => vec![
            condition("Scheduled", false, "Queued", message),
            condition("Reconciling", true, "Queued", message),
        ],
        Some(Outcome::Placed(_)) | None => {
            vec![condition(
                "Reconciling",
                true,
                "Queued",
                "waiting for the scheduler",
            )]
        }
    }
}

/// A placed job, ended or not.
pub(super) fn placed(
    facts: &Facts,
    members: &Members,
    placement: &Placement,
    ending: Option<&Ending>,
    answer: Option<&Decision>,
    now: Seconds,
) -> Status {
    let clusters = clusters(facts, members, placement, ending);
    let missing = placement.missing(facts.replicas).count();
    let totals = sum(facts.replicas, missing, &clusters);
    let phase = phase(facts, &totals, ending);
    let mut conditions = vec![scheduled(facts, placement, ending, answer)];
    match ending {
        Some(Ending::Complete) => {
            let words = format!(
                "{} of {} replicas succeeded",
                totals.counts.succeeded, facts.replicas
            );
            conditions.push(condition("Reconciling", false, "Complete", &words));
            conditions.push(condition("Complete", true, "Succeeded", &words));
        }
        Some(Ending::Failed(trouble)) => {
            conditions.push(condition("Reconciling", false, "Failed", &trouble.message));
            conditions.push(condition("Failed", true, &trouble.reason, &trouble.message));
            conditions.push(condition("Stalled", true, &trouble.reason, &trouble.message));
        }
        None => {
            let words = progress(&totals, &clusters);
            let waits = waits_for_a_user(members, placement);
            let reason = waits.map_or(phase.as_str(), |why| why.reason.as_str());
            conditions.push(condition("Reconciling", true, reason, &words));
            if let Some(why) = waits.filter(|why| config::reason::stalls(&why.reason)) {
                conditions.push(condition("Stalled", true, &why.reason, &why.message));
            }
            if facts.suspend {
                conditions.push(condition("Suspended", true, "Suspended", "spec.suspend is true"));
            }
        }
    }
    Status {
        generation: facts.generation,
        phase,
        conditions,
        placement: Some(placement.clone()),
        clusters,
        totals,
        diagnosis: answer
            .map(|answer| diagnosis(answer, missing))
            .unwrap_or_default(),
        evictions: facts.evictions.clone(),
        cool_downs: facts.cool_downs.clone(),
        runs: runs(facts, ending, now),
        retry: facts.retry.clone(),
        start: facts.start.or(Some(now)),
        completion: ending.map(|_| now),
    }
}

/// What keeps a share from being created until a user mends it.
fn waits_for_a_user<'m>(members: &'m Members, placement: &Placement) -> Option<&'m Trouble> {
    let mut sent_back = placement
        .shares
        .iter()
        .filter_map(|share| members.sent_back.get(&share.id));
    let waiting = sent_back.find(|refusal| refusal.waits_for_a_user())?;
    Some(&waiting.trouble)
}

fn phase(facts: &Facts, totals: &Totals, ending: Option<&Ending>) -> Phase {
    let counts = totals.counts;
    match ending {
        Some(Ending::Complete) => Phase::Complete,
        Some(Ending::Failed(_)) => Phase::Failed,
        None if facts.suspend => Phase::Suspended,
        None if totals.unknown > 0 && counts.pending + counts.running == 0 => Phase::Unknown,
        None if counts.running + counts.succeeded > 0 => Phase::Running,
        None => Phase::Pending,
    }
}

fn progress(totals: &Totals, clusters: &[ClusterStatus]) -> String {
    let counts = totals.counts;
    let mut parts = Vec::new();
    let named = [
        ("pending", counts.pending),
        ("running", counts.running),
        ("succeeded", counts.succeeded),
    ];
    for (name, count) in named
        .into_iter()
        .chain([("failed", counts.failed), ("unknown", totals.unknown)])
    {
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    let mut text = format!("{} of {} replicas", parts.join(", "), totals.replicas);
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

/// Runs so far, the present one last, closed when it has ended. At most 20.
fn runs(facts: &Facts, ending: Option<&Ending>, now: Seconds) -> Vec<Run> {
    let mut runs = facts.runs.clone();
    if runs.last().is_none_or(|run| run.id != facts.run) {
        let (id, outcome) = (facts.run.clone(), "Running".into());
        push_run(
            &mut runs,
            Run {
                id,
                outcome,
                start: Some(now),
                completion: None,
            },
        );
    }
    if let Some(run) = runs.last_mut().filter(|run| run.completion.is_none()) {
        // A run that follows another is recorded while it still waits for a place.
        run.start = run.start.or(facts.start).or(Some(now));
        run.outcome = "Running".into();
    }
    if let (Some(run), Some(ending)) = (runs.last_mut(), ending) {
        run.outcome = if *ending == Ending::Complete {
            "Complete".into()
        } else {
            "Failed".into()
        };
        run.completion = Some(now);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The condition by which those who wait with kstatus judge: the first of the two that is True.
    fn judged(conditions: &[Condition]) -> Option<&'static str> {
        let either = |c: &&Condition| c.status && ["Stalled", "Reconciling"].contains(&c.kind);
        conditions.iter().find(either).map(|condition| condition.kind)
    }

    #[test]
    fn what_is_too_large_is_a_failure_to_those_who_wait_and_what_is_suspended_is_waited_for() {
        let too_large = Decision {
            outcome: Outcome::TooLarge("too large".into()),
            verdicts: Vec::new(),
        };
        let status = unplaced(&Facts::default(), Some(&too_large));
        assert_eq!(judged(&status.conditions), Some("Stalled"));
        let held = Facts {
            suspend: true,
            ..Facts::default()
        };
        assert_eq!(judged(&unplaced(&held, None).conditions), Some("Reconciling"));
    }

    #[test]
    fn a_run_that_waited_begins_when_it_is_placed() {
        let waiting = Run {
            id: "b".into(),
            outcome: "Queued".into(),
            start: None,
            completion: None,
        };
        let facts = Facts {
            run: "b".into(),
            runs: vec![waiting],
            ..Facts::default()
        };
        let begun = runs(&facts, None, 7);
        assert_eq!((begun[0].outcome.as_str(), begun[0].start), ("Running", Some(7)));
        let later = runs(
            &Facts {
                runs: begun,
                ..facts.clone()
            },
            Some(&Ending::Complete),
            9,
        );
        assert_eq!(
            (later[0].outcome.as_str(), later[0].start, later[0].completion),
            ("Complete", Some(7), Some(9))
        );
    }
}
