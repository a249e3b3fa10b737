//! The re-run, declared by a run id or asked for by a retry: one that is new withdraws the run before, confirmed, and then begins anew. Called by `plan`.

use super::facts::{Facts, Members, Run, push_run};
use super::lost::silent;
use super::plan::{Plan, clearance, unseen};
use super::status::{Status, condition, placed, unplaced};
use crate::Seconds;

/// The present run, when another one is asked for that has not been run before.
pub(super) fn superseded(facts: &Facts) -> Option<&Run> {
    facts.runs.last().filter(|present| present.id != facts.run)
}

/// A new run: everything of the old one is withdrawn, confirmed, and only then forgotten.
pub(super) fn restart(facts: &Facts, members: &Members, old: &Run, now: Seconds) -> Plan {
    let silent = silent(facts, members).len();
    let running = members.shares.iter().any(|(_, seen)| seen.tombstone.is_none());
    if running || unseen(members).next().is_some() || silent > 0 {
        let words = match silent {
            0 => "the shares of the run before are being withdrawn".to_owned(),
            _ => "waiting for silent clusters to answer before the run before can be withdrawn".to_owned(),
        };
        return Plan {
            steps: clearance(members, |seen| seen.tombstone.is_none()),
            status: (silent > 0).then(|| withdrawing(facts, members, &words)),
            ..Plan::default()
        };
    }
    let mut fresh = facts.clone();
    fresh.placement = None;
    fresh.unplaced = Vec::new();
    fresh.evictions = Vec::new();
    fresh.cool_downs = Vec::new();
    fresh.finished = None;
    fresh.start = None;
    if let Some(run) = fresh.runs.last_mut().filter(|run| run.completion.is_none()) {
        run.outcome = "Withdrawn".into();
        run.completion = Some(now);
    }
    let begun = Run {
        id: facts.run.clone(),
        outcome: "Queued".into(),
        start: None,
        completion: None,
    };
    push_run(&mut fresh.runs, begun);
    let mut status = unplaced(&fresh, None);
    let words = format!("run {:?} follows run {:?}", facts.run, old.id);
    status.conditions = vec![condition("Reconciling", true, "NewRun", &words)];
    Plan {
        status: Some(status),
        ..Plan::default()
    }
}

/// What is shown of a run that is withdrawn for the next one.
fn withdrawing(facts: &Facts, members: &Members, words: &str) -> Status {
    let start = facts.start.unwrap_or_default();
    let mut status = match &facts.placement {
        Some(placement) => placed(facts, members, placement, None, None, start),
        None => unplaced(facts, None),
    };
    status.runs = facts.runs.clone();
    // Until it begins, a retry is not taken in.
    status.retry = facts.retried.clone();
    status
        .conditions
        .retain(|condition| condition.kind == "Scheduled");
    status
        .conditions
        .push(condition("Reconciling", true, "WithdrawingRun", words));
    status
}
