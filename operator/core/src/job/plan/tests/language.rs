//! The words in which plans are tested: clauses become facts, members and answers; a plan becomes a line.

use super::*;
use crate::decision::Verdict;
use crate::eviction::{Eviction, OnLost};
use crate::job::{Finished, Refused, Run, SentBack};
use crate::observation::{Counts, End, Started, Trouble};
use crate::plugin::Refusal;
use crate::ranks::Ranks;
use crate::share::Stamp;
use crate::workload::Kind;

/// The moment of all these plans.
pub(super) const NOW: Seconds = 1000;

pub(super) fn trouble(reason: &str) -> Trouble {
    Trouble {
        reason: reason.into(),
        message: "words".into(),
    }
}

/// `a:2 b:1` as clusters and numbers.
pub(super) fn amounts(text: &str) -> Vec<(String, i64)> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once(':'));
    pairs
        .map(|(name, count)| (name.to_owned(), count.parse().expect("a number")))
        .collect()
}

/// A job of four replicas with our finalizer, and what each clause adds.
pub(super) fn facts(text: &str) -> Facts {
    let mut facts = Facts {
        generation: 1,
        finalizer: true,
        replicas: 4,
        ..Facts::default()
    };
    for clause in text.split(", ").filter(|clause| !clause.is_empty()) {
        let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
        let number = || rest.parse().expect("a number");
        match word {
            "new" => facts.finalizer = false,
            "deleting" => facts.deleting = true,
            "suspended" => facts.suspend = true,
            "refused" => {
                facts.refused = Some(Refused {
                    reason: "NotSupported".into(),
                    message: "words".into(),
                });
            }
            "placed" => place(&mut facts, &amounts(rest)),
            "run" => facts.run = rest.into(),
            "gang" => facts.gang = true,
            "reschedules" => facts.on_lost = OnLost::Reschedule,
            "tries" => facts.limit = number(),
            "timeout" => facts.pending_timeout = number(),
            "was-suspended" => facts.was_suspended = true,
            "evicted" | "evicting" | "done" => of_share(&mut facts, word, rest),
            "deadline" => facts.deadline = Some(number()),
            "ttl" => facts.ttl = Some(number()),
            "complete" | "failed" => {
                facts.finished = Some(Finished {
                    complete: word == "complete",
                    at: Some(950),
                    record: None,
                });
            }
            "recorded" => {
                let counts = |(cluster, succeeded)| {
                    (
                        cluster,
                        Counts {
                            succeeded,
                            ..Counts::default()
                        },
                    )
                };
                facts.recorded = amounts(rest).into_iter().map(counts).collect();
                for share in facts
                    .placement
                    .iter_mut()
                    .flat_map(|placement| &mut placement.shares)
                {
                    share.seen = facts.recorded.contains_key(&share.cluster);
                }
            }
            other => panic!("no such fact: {other}"),
        }
    }
    facts
}

/// `evicting 1-0 REASON`, `done 1-0 RANKS` of a share, `evicted a REASON` of a cluster that had one.
fn of_share(facts: &mut Facts, word: &str, rest: &str) {
    let (of, what) = rest.split_once(' ').expect("two words");
    if word == "evicted" {
        facts.evictions.push(Eviction {
            cluster: of.into(),
            replicas: 2,
            reason: what.into(),
            message: "words".into(),
            at: 950,
            attempt: 1,
        });
    }
    let placement = facts.placement.iter_mut();
    let shares = placement.flat_map(|placement| &mut placement.shares);
    for share in shares.filter(|share| share.id == of) {
        match word {
            "evicting" => share.evicting = Some(trouble(what)),
            _ => share.done = what.parse().expect("ranks"),
        }
    }
}

/// The job is placed so, and all its replicas have a place.
pub(super) fn place(facts: &mut Facts, parts: &[(String, i64)]) {
    facts.replicas = parts.iter().map(|(_, count)| count).sum();
    let mut placement = Placement::of_all(1, parts);
    placement
        .shares
        .iter_mut()
        .for_each(|share| share.bound = Some(900));
    facts.placement = Some(placement);
    facts.revision = 1;
    facts.start = Some(900);
    facts.runs = vec![Run {
        id: String::new(),
        outcome: "Running".into(),
        start: Some(900),
        completion: None,
    }];
}

/// What members say: `a synced`, `a silent`, `a lost`, `a has 1-0 running`, `seen 1-0`, `unseen a`, `refused 1-0`.
pub(super) fn members(text: &str) -> Members {
    let mut members = Members::default();
    for clause in text.split(", ").filter(|clause| !clause.is_empty()) {
        let words: Vec<&str> = clause.split_whitespace().collect();
        match words.as_slice() {
            ["seen", id] => drop(members.seen.insert((*id).to_owned())),
            ["completed", id] => drop(members.completed.insert((*id).to_owned())),
            ["unseen", cluster] => {
                let key = ShareKey {
                    kind: crate::workload::Kind::SkyJob,
                    namespace: "default".into(),
                    object: format!("unseen-{cluster}"),
                };
                members.unseen.push(((*cluster).to_owned(), key));
            }
            ["forbidden", cluster, reason] => {
                members.forbidden.insert((*cluster).to_owned(), trouble(reason));
            }
            [word @ ("refused" | "busy" | "foreign"), id] => {
                let reason = if *word == "foreign" {
                    "Conflict"
                } else {
                    "InvalidTemplate"
                };
                let why = SentBack {
                    for_good: *word == "refused",
                    trouble: trouble(reason),
                };
                members.sent_back.insert((*id).to_owned(), why);
            }
            [cluster, "synced"] => drop(members.reach.insert((*cluster).to_owned(), Reach::Synced)),
            [cluster, word @ ("silent" | "lost")] => {
                let reach = Reach::Silent {
                    lost: *word == "lost",
                    message: "no answer".into(),
                };
                members.reach.insert((*cluster).to_owned(), reach);
            }
            [cluster, "has", id, doing] => members.shares.push(((*cluster).to_owned(), share(id, doing))),
            other => panic!("no member says {other:?}"),
        }
    }
    members
}

/// A share of two replicas. What is held back may still have active replicas, and may have started one.
pub(super) fn share(id: &str, doing: &str) -> Observation {
    let mut counts = Counts::default();
    match doing {
        "running" => counts.running = 2,
        "complete" => counts.succeeded = 2,
        "failed" => counts.failed = 2,
        _ => counts.pending = 2,
    }
    Observation {
        key: ShareKey {
            kind: crate::workload::Kind::SkyJob,
            namespace: "default".into(),
            object: format!("object-{id}"),
        },
        stamp: Stamp {
            origin: "o".into(),
            kind: Kind::SkyJob,
            namespace: "default".into(),
            name: "job".into(),
            uid: "u".into(),
            run: String::new(),
            share: id.into(),
            attempt: 1,
            spec_hash: "h".into(),
        },
        instance: "x".into(),
        replicas: 2,
        counts,
        settled: 0,
        started: match doing {
            "pending" | "suspended" | "held" | "stopping" | "buried" | "burying" => Started::No,
            "lost-sight-of" => Started::Unknown,
            _ => Started::Yes,
        },
        done: if doing.starts_with("half-done") {
            Ranks::consecutive(0, 1)
        } else {
            Ranks::default()
        },
        active: i64::from(matches!(doing, "stopping" | "burying" | "running" | "pending")),
        tombstone: doing
            .ends_with("buried")
            .then_some(950)
            .or((doing == "burying").then_some(950)),
        confirm: None,
        suspended: !matches!(
            doing,
            "pending" | "running" | "complete" | "failed" | "leaving" | "half-done"
        ),
        deleting: doing == "leaving",
        end: match doing {
            "complete" => Some(End::Complete),
            "failed" => Some(End::Failed(trouble("OOMKilled"))),
            _ => None,
        },
        trouble: None,
        rollout: None,
    }
}

pub(super) fn answer(text: &str) -> Option<Decision> {
    let outcome = match text.split_once(' ').unwrap_or((text, "")) {
        ("", _) => return None,
        ("placed", parts) => Outcome::Placed(amounts(parts)),
        ("queued", _) => Outcome::Queued("words".into()),
        _ => Outcome::TooLarge("words".into()),
    };
    let refusal = Refusal::new("Cordoned", "cordoned");
    let verdicts = vec![Verdict {
        cluster: "a".into(),
        refusal: Some(("Unschedulable".into(), refusal)),
        fit: 0,
        weight: 0,
        score: 0,
        scores: vec![].into(),
    }];
    Some(Decision { outcome, verdicts })
}

/// The plan in one line.
pub(super) fn render(plan: &Plan) -> String {
    let mut parts = Vec::new();
    match plan.finalizer {
        Finalizer::Keep => {}
        Finalizer::Add => parts.push("add finalizer".to_owned()),
        Finalizer::Remove => parts.push("remove finalizer".to_owned()),
    }
    for step in &plan.steps {
        parts.push(match step {
            Step::Ensure { share, suspended, .. } => {
                let held = if *suspended { " suspended" } else { "" };
                format!("ensure {} on {}{held}", share.id, share.cluster)
            }
            Step::Withdraw { cluster, key } => format!("withdraw {} from {cluster}", key.object),
            Step::Hold { cluster, key } => format!("hold {} on {cluster}", key.object),
            Step::Bury { share } => format!("bury {} on {}", share.id, share.cluster),
        });
    }
    if plan.queue {
        parts.push("queue".to_owned());
    }
    if let Some(status) = &plan.status {
        let mut words = vec![status.phase.as_str().to_owned()];
        let shown = status
            .conditions
            .iter()
            .filter(|c| c.status && !["Scheduled", "Reconciling"].contains(&c.kind));
        words.extend(shown.map(|c| format!("{}={}", c.kind, c.reason)));
        parts.push(words.join(" "));
    }
    if let Some(wake) = plan.wake {
        parts.push(format!("wake at {wake}"));
    }
    parts.join("; ")
}

pub(super) fn check(known: &str, said: &str, answered: &str, expect: &str) {
    let planned = plan(&facts(known), &members(said), answer(answered).as_ref(), NOW);
    assert_eq!(render(&planned), expect, "{known} | {said} | {answered}");
}
