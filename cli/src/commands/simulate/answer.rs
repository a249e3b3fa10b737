//! Decides workloads one after the other on one snapshot, and shows the answers. Pure.

use std::cmp::Reverse;

use serde::Serialize;
use sky_core::decision::{self, Outcome};
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::Workload;

use crate::diagnosis::{self, ClusterAnswer, Part};
use crate::subject::Subject;

/// Where one workload would go, or why nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Answer {
    kind: &'static str,
    namespace: String,
    name: String,
    /// Whether every replica has a place.
    scheduled: bool,
    placement: Vec<Part>,
    /// Placed, PartlyPlaced, Queued, TooLarge, Suspended or InvalidSpec.
    reason: String,
    message: String,
    clusters: Vec<ClusterAnswer>,
}

impl Answer {
    fn new(subject: &Subject, scheduled: bool, reason: &str, message: String) -> Self {
        Self {
            kind: subject.kind.as_str(),
            namespace: subject.namespace.clone(),
            name: subject.name.clone(),
            scheduled,
            placement: Vec::new(),
            reason: reason.to_owned(),
            message,
            clusters: Vec::new(),
        }
    }

    /// Whether it should have a place and has none, or not for every replica.
    pub(super) fn is_open(&self) -> bool {
        !self.scheduled && self.reason != SUSPENDED
    }
}

const SUSPENDED: &str = "Suspended";

/// Decides in the order of priority, of equals in the given order. What is placed is taken from `snapshot`.
pub(super) fn decide(
    scheduler: &Scheduler,
    snapshot: &mut Snapshot,
    mut subjects: Vec<Subject>,
) -> Vec<Answer> {
    subjects.sort_by_key(|subject| Reverse(subject.parsed.as_ref().map_or(0, |workload| workload.priority)));
    subjects
        .iter()
        .map(|subject| one(scheduler, snapshot, subject))
        .collect()
}

fn one(scheduler: &Scheduler, snapshot: &mut Snapshot, subject: &Subject) -> Answer {
    let workload = match &subject.parsed {
        Ok(workload) => workload,
        Err(refused) => return Answer::new(subject, false, &refused.reason, refused.message.clone()),
    };
    if subject.suspended {
        let words = "spec.suspend is true: it waits for its user, and takes no room";
        return Answer::new(subject, false, SUSPENDED, words.to_owned());
    }
    if workload.replicas == 0 {
        return Answer::new(subject, true, "Placed", "asks for no replicas".to_owned());
    }
    let decision = scheduler.decide(workload, snapshot);
    let clusters = diagnosis::of_decision(&decision, workload.replicas);
    let (placement, reason, message) = match decision.outcome {
        Outcome::Placed(parts) => {
            let parts: Vec<Part> = parts
                .into_iter()
                .map(|(cluster, replicas)| Part { cluster, replicas })
                .collect();
            let (reason, message) = placed(workload, &parts, &decision.verdicts);
            (parts, reason, message)
        }
        Outcome::Queued(message) => (Vec::new(), "Queued", message),
        Outcome::TooLarge(message) => (Vec::new(), "TooLarge", message),
    };
    for part in &placement {
        snapshot.reserve_for(&part.cluster, workload, part.replicas);
    }
    Answer {
        placement,
        clusters,
        ..Answer::new(subject, reason == "Placed", reason, message)
    }
}

fn placed(workload: &Workload, parts: &[Part], verdicts: &[decision::Verdict]) -> (&'static str, String) {
    let taken = parts
        .iter()
        .fold(0_i64, |sum, part| sum.saturating_add(part.replicas));
    if taken == workload.replicas {
        return ("Placed", format!("placed on {}", diagnosis::summary(parts)));
    }
    let found = decision::summary(verdicts, workload.replicas);
    ("PartlyPlaced", format!("the rest waits: {found}"))
}

/// For each workload a line with the answer and a table of clusters.
pub(super) fn tables(answers: &[Answer], wide: bool) -> String {
    let each = answers.iter().map(|answer| {
        let mut text = heading(answer);
        if !answer.clusters.is_empty() {
            text.push_str(&diagnosis::table(&answer.clusters, &answer.placement, wide).render());
        }
        text
    });
    each.collect::<Vec<_>>().join("\n")
}

fn heading(answer: &Answer) -> String {
    let Answer {
        kind,
        namespace,
        name,
        reason,
        message,
        ..
    } = answer;
    let told = match reason.as_str() {
        "Placed" => message.clone(),
        "PartlyPlaced" => format!("placed on {}; {message}", diagnosis::summary(&answer.placement)),
        _ => format!("not placed, {reason}: {message}"),
    };
    let line = format!("{kind} {namespace}/{name}: {told}");
    // A message quotes what documents say, and must not move the cursor.
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    line + "\n"
}
