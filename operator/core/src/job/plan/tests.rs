//! Plans as text: what is known in, steps and status out. Properties that hold of every plan are in `properties`.

mod evictions;
mod properties;

use std::collections::BTreeMap;

use super::*;
use crate::decision::Verdict;
use crate::job::{Finished, Refused, SentBack};
use crate::observation::{Counts, End, Started, Trouble};
use crate::plugin::Refusal;
use crate::ranks::Ranks;
use crate::share::Stamp;
use crate::workload::Kind;

/// The moment of all these plans.
const NOW: Seconds = 1000;

fn trouble(reason: &str) -> Trouble {
    Trouble {
        reason: reason.into(),
        message: "words".into(),
    }
}

/// `a:2 b:1` as clusters and numbers.
fn amounts(text: &str) -> Vec<(String, i64)> {
    let pairs = text.split_whitespace().filter_map(|pair| pair.split_once(':'));
    pairs
        .map(|(name, count)| (name.to_owned(), count.parse().expect("a number")))
        .collect()
}

/// A job of four replicas with our finalizer, and what each clause adds.
fn facts(text: &str) -> Facts {
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
            "tries" => facts.limit = number(),
            "timeout" => facts.pending_timeout = number(),
            "was-suspended" => facts.was_suspended = true,
            "evicting" => {
                let (id, reason) = rest.split_once(' ').expect("a share and a reason");
                let shares = facts
                    .placement
                    .iter_mut()
                    .flat_map(|placement| &mut placement.shares);
                for share in shares.filter(|share| share.id == id) {
                    share.evicting = Some(trouble(reason));
                }
            }
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

/// The job is placed so, and all its replicas have a place.
fn place(facts: &mut Facts, parts: &[(String, i64)]) {
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
fn members(text: &str) -> Members {
    let mut members = Members::default();
    for clause in text.split(", ").filter(|clause| !clause.is_empty()) {
        let words: Vec<&str> = clause.split_whitespace().collect();
        match words.as_slice() {
            ["seen", id] => drop(members.seen.insert((*id).to_owned())),
            ["completed", id] => drop(members.completed.insert((*id).to_owned())),
            ["unseen", cluster] => {
                let key = ShareKey {
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
fn share(id: &str, doing: &str) -> Observation {
    let mut counts = Counts::default();
    match doing {
        "running" => counts.running = 2,
        "complete" => counts.succeeded = 2,
        "failed" => counts.failed = 2,
        _ => counts.pending = 2,
    }
    Observation {
        key: ShareKey {
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
        done: if doing == "half-done-buried" {
            Ranks::consecutive(0, 1)
        } else {
            Ranks::default()
        },
        active: i64::from(matches!(doing, "stopping" | "burying" | "running" | "pending")),
        tombstone: doing
            .ends_with("buried")
            .then_some(950)
            .or((doing == "burying").then_some(950)),
        suspended: !matches!(doing, "pending" | "running" | "complete" | "failed" | "leaving"),
        deleting: doing == "leaving",
        end: match doing {
            "complete" => Some(End::Complete),
            "failed" => Some(End::Failed(trouble("OOMKilled"))),
            _ => None,
        },
        trouble: None,
    }
}

fn answer(text: &str) -> Option<Decision> {
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
        scores: vec![],
    }];
    Some(Decision { outcome, verdicts })
}

/// The plan in one line.
fn render(plan: &Plan) -> String {
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

fn check(known: &str, said: &str, answered: &str, expect: &str) {
    let planned = plan(&facts(known), &members(said), answer(answered).as_ref(), NOW);
    assert_eq!(render(&planned), expect, "{known} | {said} | {answered}");
}

#[test]
fn the_finalizer_comes_first_and_alone() {
    check("new", "", "", "add finalizer");
    check("new, suspended", "", "placed a:4", "add finalizer");
    check("new, deleting", "", "", "");
}

#[test]
fn what_is_not_placed_waits_or_says_why_not() {
    check("", "", "", "queue");
    check("", "", "queued", "queue; Queued");
    check("", "", "too large", "queue; Queued Stalled=TooLarge");
    check("suspended", "", "placed a:4", "Suspended Suspended=Suspended");
    check("refused", "", "", "Invalid Stalled=NotSupported");
}

#[test]
fn an_answer_is_written_before_anything_is_dispatched() {
    check("", "", "placed a:2 b:2", "Pending");
}

#[test]
fn a_share_is_created_where_it_is_missing_and_only_there() {
    let both = "ensure 1-0 on a; ensure 1-1 on b; Pending";
    check("placed a:2 b:2", "a synced, b synced", "", both);
    let one = "ensure 1-1 on b; Running";
    check("placed a:2 b:2", "a synced, b synced, a has 1-0 running", "", one);
    check(
        "placed a:2 b:2",
        "a synced, b silent, a has 1-0 running",
        "",
        "Running",
    );
    let none = "a synced, b synced, a has 1-0 running, b has 1-1 pending";
    check("placed a:2 b:2", none, "", "Running");
}

#[test]
fn on_a_silent_or_unregistered_member_nothing_is_done() {
    check("placed a:2 b:2", "a silent, b silent", "", "Pending");
    check("placed a:2 b:2", "a lost, b lost", "", "Unknown");
    check("placed a:2 b:2", "", "", "Unknown");
    check(
        "placed a:2 b:2",
        "a silent, seen 1-0, b synced, b has 1-1 running",
        "",
        "Running",
    );
}

#[test]
fn a_share_of_another_placement_is_withdrawn() {
    let said = "a synced, b synced, a has 1-0 running, b has 1-1 running, c has 0-0 running";
    check("placed a:2 b:2", said, "", "withdraw object-0-0 from c; Running");
    check(
        "placed a:2 b:2",
        "a synced, b synced, a has 1-0 running, b has 1-1 leaving",
        "",
        "Running",
    );
}

#[test]
fn shares_newer_than_the_record_are_left_alone() {
    check("", "a synced, a has 3-0 running", "queued", "wake at 1005");
    check(
        "",
        "a synced, b synced, a has 3-0 running, b has 3-1 pending",
        "queued",
        "Pending; wake at 1005",
    );
}

#[test]
fn suspension_reaches_every_share_and_creates_what_is_missing_suspended() {
    let said = "a synced, b synced, a has 1-0 running";
    let expect = "ensure 1-0 on a suspended; ensure 1-1 on b suspended; Suspended Suspended=Suspended";
    check("placed a:2 b:2, suspended", said, "", expect);
    let held = "a synced, b synced, a has 1-0 suspended, b has 1-1 suspended";
    check(
        "placed a:2 b:2, suspended",
        held,
        "",
        "Suspended Suspended=Suspended",
    );
    check(
        "placed a:2 b:2",
        held,
        "",
        "ensure 1-0 on a; ensure 1-1 on b; Pending",
    );
}

#[test]
fn it_is_complete_when_every_share_is() {
    let half = "a synced, b synced, a has 1-0 complete, b has 1-1 running";
    check("placed a:2 b:2", half, "", "Running");
    let all = "a synced, b synced, a has 1-0 complete, b has 1-1 complete";
    check("placed a:2 b:2", all, "", "Complete Complete=Succeeded");
    let cleaned = "a synced, b synced, seen 1-0, completed 1-0, b has 1-1 complete";
    check("placed a:2 b:2", cleaned, "", "Complete Complete=Succeeded");
    let by_record = "a synced, b synced, b has 1-1 complete";
    check(
        "placed a:2 b:2, recorded a:2",
        by_record,
        "",
        "Complete Complete=Succeeded",
    );
}

#[test]
fn one_failure_withdraws_the_others() {
    let said = "a synced, b synced, a has 1-0 running, b has 1-1 failed";
    check(
        "placed a:2 b:2",
        said,
        "",
        "withdraw object-1-0 from a; Failed Failed=OOMKilled Stalled=OOMKilled",
    );
    let ended = "a synced, b synced, a has 1-0 complete, b has 1-1 failed";
    check(
        "placed a:2 b:2",
        ended,
        "",
        "Failed Failed=OOMKilled Stalled=OOMKilled",
    );
}

#[test]
fn what_was_seen_and_is_gone_may_have_run() {
    let gone = "Failed Failed=DeletedOnMember Stalled=DeletedOnMember";
    let said = "a synced, b synced, seen 1-0, b has 1-1 running";
    check(
        "placed a:2 b:2",
        said,
        "",
        &format!("withdraw object-1-1 from b; {gone}"),
    );
    check("placed a:2 b:2, recorded a:1", "a synced, b synced", "", gone);
}

#[test]
fn a_refused_share_fails_the_job_and_a_busy_member_does_not() {
    let refused = "Failed Failed=InvalidTemplate Stalled=InvalidTemplate";
    check("placed a:4", "a synced, refused 1-0", "", refused);
    check("placed a:4", "a synced, busy 1-0", "", "ensure 1-0 on a; Pending");
}

#[test]
fn a_deadline_counts_from_the_start() {
    let said = "a synced, a has 1-0 running";
    check("placed a:2, deadline 200", said, "", "Running; wake at 1100");
    let over = "withdraw object-1-0 from a; Failed Failed=DeadlineExceeded Stalled=DeadlineExceeded";
    check("placed a:2, deadline 100", said, "", over);
    check("deadline 100", "", "", "queue");
}

#[test]
fn finished_stays_finished() {
    check("placed a:2 b:2, complete", "a synced, b synced", "placed c:4", "");
    check(
        "placed a:2 b:2, complete",
        "a synced, b silent, a has 1-0 complete",
        "",
        "",
    );
    check(
        "placed a:2 b:2, failed",
        "a synced, a has 1-0 running",
        "",
        "withdraw object-1-0 from a",
    );
}

#[test]
fn after_its_ttl_what_is_on_members_goes() {
    let said = "a synced, a has 1-0 complete";
    check("placed a:2, complete, ttl 100", said, "", "wake at 1050");
    check(
        "placed a:2, complete, ttl 50",
        said,
        "",
        "withdraw object-1-0 from a",
    );
}

#[test]
fn another_run_waits_until_nothing_is_left_of_the_old_one() {
    let both = "a synced, b synced, a has 1-0 running, b has 1-1 leaving";
    check("placed a:2 b:2, run x", both, "", "withdraw object-1-0 from a");
    check("placed a:2 b:2, run x", "a synced, b silent", "", "Pending");
    check(
        "placed a:2 b:2, run x",
        "a synced, b synced, unseen a",
        "",
        "withdraw unseen-a from a",
    );
    check("placed a:2 b:2, run x", "a synced, b synced", "", "Queued");
    check(
        "placed a:2 b:2, complete, run x",
        "a synced, b synced",
        "",
        "Queued",
    );
}

#[test]
fn deletion_lets_go_when_nothing_is_left_anywhere() {
    check("deleting", "", "", "remove finalizer");
    check(
        "deleting, placed a:2 b:2",
        "a synced, b synced",
        "",
        "remove finalizer",
    );
    check("deleting, placed a:2 b:2", "", "", "remove finalizer");
    let said = "a synced, b synced, a has 1-0 running, b has 1-1 leaving";
    check("deleting, placed a:2 b:2", said, "", "withdraw object-1-0 from a");
    check("deleting, placed a:2 b:2", "a synced, b silent", "", "Deleting");
    check(
        "deleting, placed a:2 b:2",
        "a synced, b synced, unseen b",
        "",
        "withdraw unseen-b from b",
    );
    check(
        "deleting, placed a:2 b:2",
        "a synced, unseen b",
        "",
        "remove finalizer",
    );
}

#[test]
fn every_bind_has_a_revision_of_its_own() {
    let mut known = facts("");
    known.revision = 7;
    let planned = plan(
        &known,
        &Members::default(),
        answer("placed a:3 b:1").as_ref(),
        NOW,
    );
    let placement = planned
        .status
        .and_then(|status| status.placement)
        .expect("a placement");
    let shares: BTreeMap<&str, String> = placement
        .shares
        .iter()
        .map(|share| (share.id.as_str(), share.ranks.to_string()))
        .collect();
    assert_eq!(placement.revision, 8);
    assert_eq!(
        shares,
        BTreeMap::from([("8-0", "0-2".to_owned()), ("8-1", "3".to_owned())])
    );
}
