//! What is to be said about one workload. Pure: the workload, what the user may see of the host, and the time in; the
//! report out, which `show` prints.

use serde::Serialize;
use sky_core::Seconds;
use sky_core::decision::Outcome;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::Workload;

use super::advice::{self, Situation};
use super::queue::{self, Place};
use crate::diagnosis::{self, ClusterAnswer, Part};
use crate::subject::Subject;
use crate::table::span;

/// What is said about a workload.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Waiting, Placed, Complete, Failed, Suspended, Refused, NewRun or Deleting.
    pub(super) state: &'static str,
    /// The state in words.
    pub(super) message: String,
    /// What the clusters are found to be like: `snapshot`, decided anew, or `status`, as the operator wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<&'static str>,
    /// Where replicas are, and what they are doing.
    pub(super) placement: Vec<Standing>,
    /// Where the replicas that wait would go now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) candidates: Vec<Part>,
    pub(super) clusters: Vec<ClusterAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue: Option<Place>,
    pub(super) cool_downs: Vec<Cooling>,
    pub(super) evictions: Vec<Evicted>,
    /// When it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_retry: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// What limits the answer.
    pub(super) remarks: Vec<String>,
}

/// Replicas on one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    pub(super) cluster: String,
    pub(super) replicas: i64,
    /// How often they were placed within the run, at most.
    pub(super) attempt: i64,
    /// Seconds since they were bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<Seconds>,
    pub(super) pending: i64,
    pub(super) running: i64,
    pub(super) succeeded: i64,
    pub(super) failed: i64,
    pub(super) unknown: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// A cluster that is not tried for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Cooling {
    pub(super) cluster: String,
    /// Seconds until it is tried again.
    pub(super) seconds: Seconds,
    /// Evictions from there so far.
    pub(super) count: i64,
}

/// An eviction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Evicted {
    pub(super) cluster: String,
    pub(super) replicas: i64,
    pub(super) attempt: i64,
    pub(super) reason: String,
    pub(super) message: String,
    /// Seconds since then.
    pub(super) seconds: Seconds,
}

/// What the user may see of the host.
pub(super) struct Seen {
    /// Clusters, with promised room taken, and the rules of the workload's namespace.
    pub(super) snapshot: Snapshot,
    /// Workloads that hold room or wait.
    pub(super) workloads: Vec<Subject>,
    /// It asks for what no SkyCluster shows, so that nothing true can be advised.
    pub(super) is_blind: bool,
    /// What limits the answer.
    pub(super) remarks: Vec<String>,
}

/// A workload of which nothing waits for a place.
pub(super) fn settled(subject: &Subject, now: Seconds) -> Report {
    let (state, message) = state(subject);
    let mut report = Report {
        advice: advice::settled(subject, state),
        ..base(subject, state, message, now)
    };
    if state == "Placed" {
        report.next_retry = tried_elsewhere(subject, now);
    }
    report
}

/// A workload that waits, decided anew on what is seen.
pub(super) fn waiting(subject: &Subject, seen: &Seen, scheduler: &Scheduler, now: Seconds) -> Report {
    let Some(asked) = subject.asked(now) else {
        return settled(subject, now);
    };
    let decision = scheduler.decide(&asked, &seen.snapshot);
    let found = match &decision.outcome {
        Outcome::Placed(parts) => {
            let parts: Vec<Part> = parts.iter().map(part).collect();
            let fit = parts
                .iter()
                .fold(0_i64, |sum, part| sum.saturating_add(part.replicas));
            let which = if fit < asked.replicas {
                format!("{fit} of them")
            } else {
                "they".to_owned()
            };
            format!("{which} would fit now, on {}", diagnosis::summary(&parts))
        }
        Outcome::Queued(message) => message.clone(),
        Outcome::TooLarge(message) => format!("too large: {message}"),
    };
    let mut report = base(subject, "Waiting", waits(subject, &asked, &found, now), now);
    if let Outcome::Placed(parts) = &decision.outcome {
        report.candidates = parts.iter().map(part).collect();
    }
    report.source = Some("snapshot");
    report.clusters = diagnosis::of_decision(&decision, asked.replicas);
    report.queue = queue::place(subject, &seen.workloads, now);
    report.next_retry = Some(next_retry(&asked, now));
    let advised = advice::waiting(&Situation {
        workload: &asked,
        snapshot: &seen.snapshot,
        decision: &decision,
        scheduler,
        now,
    });
    report.advice = (!seen.is_blind).then_some(advised);
    report.remarks.extend(seen.remarks.iter().cloned());
    // The operator sees more than a status shows: where it found something else, its words count.
    if let Some(told) = subject
        .told("Scheduled", "False")
        .map(|told| told.message.as_str())
        && told != found
        && format!("too large: {told}") != found
        && !told.is_empty()
    {
        report
            .remarks
            .push(format!("at its last look the operator found: {told}"));
    }
    report
}

/// A workload that waits, for a user who lacks `right`.
pub(super) fn from_status(subject: &Subject, right: &str, now: Seconds) -> Report {
    let Some(asked) = subject.asked(now) else {
        return settled(subject, now);
    };
    let told = subject
        .told("Scheduled", "False")
        .or_else(|| subject.told("Reconciling", "True"));
    let found = told.map_or("the operator has not said why yet", |told| told.message.as_str());
    let mut report = base(subject, "Waiting", waits(subject, &asked, found, now), now);
    report.source = Some("status");
    report.clusters = diagnosis::of_status(&subject.record.diagnosis);
    report.next_retry = Some(next_retry(&asked, now));
    report.remarks.push(format!(
        "you may not {right}: this is what the operator last wrote into the {}'s own status",
        subject.kind.as_str()
    ));
    report
}

fn part((cluster, replicas): &(String, i64)) -> Part {
    Part {
        cluster: cluster.clone(),
        replicas: *replicas,
    }
}

fn base(subject: &Subject, state: &'static str, message: String, now: Seconds) -> Report {
    let record = &subject.record;
    let open = record
        .cool_downs
        .iter()
        .filter(|one| one.until > now && record.ended.is_none());
    let cool_downs = open.map(|one| Cooling {
        cluster: one.cluster.clone(),
        seconds: one.until - now,
        count: one.count,
    });
    let evictions = record.evictions.iter().rev().map(|eviction| Evicted {
        cluster: eviction.cluster.clone(),
        replicas: eviction.replicas,
        attempt: eviction.attempt,
        reason: eviction.reason.clone(),
        message: eviction.message.clone(),
        seconds: (now - eviction.at).max(0),
    });
    let mut remarks = Vec::new();
    if !record.current && !subject.deleting {
        remarks.push("the operator has not looked at the present spec yet; is it running?".to_owned());
    }
    Report {
        kind: subject.kind.as_str(),
        namespace: subject.namespace.clone(),
        name: subject.name.clone(),
        state,
        message,
        source: None,
        placement: standings(subject, now),
        candidates: Vec::new(),
        clusters: Vec::new(),
        queue: None,
        cool_downs: cool_downs.collect(),
        evictions: evictions.collect(),
        next_retry: None,
        advice: None,
        remarks,
    }
}

/// State and words of a workload that waits for no place.
fn state(subject: &Subject) -> (&'static str, String) {
    let told = |kind: &str, status: &str| {
        let message = subject.told(kind, status).map(|told| told.message.clone());
        message.filter(|message| !message.is_empty())
    };
    let record = &subject.record;
    if subject.deleting {
        let words =
            told("Reconciling", "True").unwrap_or_else(|| "its shares are being withdrawn".to_owned());
        return ("Deleting", words);
    }
    if let Some((old, new)) = &subject.superseded {
        let words = format!("run {new:?} starts when nothing of run {old:?} is left on any member");
        return ("NewRun", told("Reconciling", "True").unwrap_or(words));
    }
    match (record.ended, &subject.parsed) {
        (Some(true), _) => {
            return (
                "Complete",
                told("Complete", "True").unwrap_or_else(|| "succeeded".to_owned()),
            );
        }
        (Some(false), _) => {
            let reason = subject
                .told("Failed", "True")
                .map(|failed| failed.reason.clone())
                .unwrap_or_default();
            let words = told("Failed", "True").unwrap_or_default();
            return ("Failed", format!("{reason}: {words}"));
        }
        (None, Err(refused)) => return ("Refused", format!("{}: {}", refused.reason, refused.message)),
        (None, Ok(_)) => {}
    }
    if subject.suspended {
        return ("Suspended", "spec.suspend is true".to_owned());
    }
    let words = match record.placement.summary().as_str() {
        "" => "asks for no replicas".to_owned(),
        summary => format!("placed on {summary} (revision {})", record.placement.revision),
    };
    ("Placed", words)
}

fn waits(subject: &Subject, asked: &Workload, found: &str, now: Seconds) -> String {
    let since = match subject.created {
        0 => String::new(),
        created => format!(", created {} ago", span(now - created)),
    };
    let all = subject
        .parsed
        .as_ref()
        .map_or(asked.replicas, |workload| workload.replicas);
    format!(
        "{} of {all} replicas wait for a place{since}: {found}",
        asked.replicas
    )
}

/// Replicas by cluster, with what their status says they are doing.
fn standings(subject: &Subject, now: Seconds) -> Vec<Standing> {
    let record = &subject.record;
    let each = record
        .placement
        .by_cluster()
        .into_iter()
        .map(|(cluster, replicas)| {
            let shares = || {
                record
                    .placement
                    .shares
                    .iter()
                    .filter(|share| share.cluster == cluster)
            };
            let bound = shares().filter_map(|share| share.bound).min();
            let counts = record
                .clusters
                .iter()
                .find(|counts| counts.cluster == cluster)
                .cloned()
                .unwrap_or_default();
            let evicting = shares().find_map(|share| share.evicting.as_ref());
            Standing {
                cluster: cluster.to_owned(),
                replicas,
                attempt: shares().map(|share| share.attempt).max().unwrap_or(0),
                seconds: bound.map(|bound| (now - bound).max(0)),
                pending: counts.pending,
                running: counts.running,
                succeeded: counts.succeeded,
                failed: counts.failed,
                unknown: counts.unknown,
                reason: evicting
                    .map(|why| format!("Evicting{}", why.reason))
                    .or(counts.reason),
                message: evicting.map(|why| why.message.clone()).or(counts.message),
            }
        });
    each.collect()
}

fn next_retry(asked: &Workload, now: Seconds) -> String {
    let at_once = "at once when something changes that can help";
    let soonest = asked.cooling.iter().min_by_key(|(_, until)| **until);
    match soonest {
        Some((cluster, until)) => format!("{at_once}; {cluster} again in {}", span(until - now)),
        None => at_once.to_owned(),
    }
}

/// When replicas that do not start are tried on another cluster.
fn tried_elsewhere(subject: &Subject, now: Seconds) -> Option<String> {
    if subject.pending_timeout == 0 {
        return None;
    }
    let shares = subject.record.placement.shares.iter();
    let idle = shares.filter(|share| !share.seen && !share.complete && share.evicting.is_none());
    let idle = idle.filter(|share| {
        let counts = subject
            .record
            .clusters
            .iter()
            .find(|counts| counts.cluster == share.cluster);
        counts.is_none_or(|counts| counts.running + counts.succeeded + counts.failed == 0)
    });
    let (bound, cluster) = idle
        .filter_map(|share| Some((share.bound?, share.cluster.as_str())))
        .min()?;
    let left = bound + subject.pending_timeout - now;
    let when = if left > 0 {
        format!("in {}", span(left))
    } else {
        "any moment".to_owned()
    };
    Some(format!(
        "elsewhere {when}, when no replica on {cluster} starts before"
    ))
}
