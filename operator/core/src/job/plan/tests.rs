//! Plans as text: what is known in, steps and status out. Properties that hold of every plan are in `properties`.

mod evictions;
mod language;
mod lost;
mod properties;

use std::collections::BTreeMap;

use super::*;
use language::*;

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
