//! Lost clusters as text, where the user asked for Reschedule: shares are bound at 900, and it is 1000.

use super::evictions::evicts;
use super::*;

const LOST: &str = "a lost, b synced, a has 1-0 running, b has 1-1 running";
const MOVING: &str = "placed a:2 b:2, reschedules, evicting 1-0 ClusterLost";

#[test]
fn a_share_on_a_lost_cluster_keeps_its_place_until_its_ranks_have_another() {
    let known = "placed a:2 b:2, reschedules";
    let marked = "1-0 a 0-1 evicting ClusterLost; 1-1 b 2-3";
    evicts(known, LOST, "", "", marked);
    evicts(MOVING, LOST, "", "queue", marked);
    evicts(MOVING, LOST, "queued", "queue", marked);
    evicts(MOVING, LOST, "placed c:2", "", "1-1 b 2-3; 2-0 c 0-1 attempt 2");
}

#[test]
fn moving_off_a_lost_cluster_costs_no_try() {
    // backoffLimit is 0, and a replica had started there.
    let known = "placed a:2 b:2, reschedules, recorded a:0, evicting 1-0 ClusterLost";
    check(known, LOST, "placed c:2", "Running");
}

#[test]
fn a_cluster_that_is_silent_within_its_grace_or_waited_for_keeps_its_shares() {
    let silent = "a silent, b synced, a has 1-0 running, b has 1-1 running";
    let stays = "1-0 a 0-1; 1-1 b 2-3";
    evicts("placed a:2 b:2, reschedules", silent, "", "", stays);
    evicts("placed a:2 b:2", LOST, "", "", stays);
    evicts(
        "placed a:2 b:2, reschedules, suspended",
        LOST,
        "",
        "ensure 1-1 on b suspended",
        stays,
    );
}

#[test]
fn a_restarted_operator_that_has_not_heard_the_cluster_yet_goes_on_moving_the_share() {
    let unheard = "a silent, b synced, b has 1-1 running";
    evicts(
        MOVING,
        unheard,
        "placed c:2",
        "",
        "1-1 b 2-3; 2-0 c 0-1 attempt 2",
    );
}

#[test]
fn a_cluster_that_is_not_registered_any_more_is_lost_too() {
    let gone = "b synced, b has 1-1 running";
    evicts(
        "placed a:2 b:2, reschedules",
        gone,
        "",
        "",
        "1-0 a 0-1 evicting ClusterGone; 1-1 b 2-3",
    );
}

#[test]
fn a_share_whose_cluster_is_back_before_it_has_another_place_stays() {
    let back = "a synced, b synced, a has 1-0 running, b has 1-1 running";
    evicts(MOVING, back, "placed c:2", "", "1-0 a 0-1; 1-1 b 2-3");
    let finished = "a synced, b synced, a has 1-0 complete, b has 1-1 complete";
    check(MOVING, finished, "placed c:2", "Complete Complete=Succeeded");
}

#[test]
fn a_share_that_was_being_evicted_when_its_cluster_was_lost_goes_on_leaving_when_it_is_back() {
    let buried = "a synced, b synced, a has 1-0 buried, b has 1-1 running";
    evicts(MOVING, buried, "", "", "1-1 b 2-3; waiting 0-1 attempt 1");
    let policy = "placed a:2 b:2, reschedules, evicting 1-0 FilterPolicy";
    evicts(policy, LOST, "", "", "1-0 a 0-1 evicting ClusterLost; 1-1 b 2-3");
}

#[test]
fn what_had_succeeded_before_the_loss_is_not_run_again() {
    let half = "a lost, b synced, a has 1-0 half-done, b has 1-1 running";
    evicts(
        "placed a:2 b:2, reschedules",
        half,
        "",
        "",
        "1-0 a 0-1 evicting ClusterLost done 0; 1-1 b 2-3",
    );
    let known = "placed a:2 b:2, reschedules, evicting 1-0 ClusterLost, done 1-0 0";
    // The operator was restarted: nothing is known of what is on a but the record.
    let unheard = "a lost, b synced, b has 1-1 running";
    evicts(
        known,
        unheard,
        "placed c:1",
        "",
        "1-1 b 2-3; 1-0 a 0 complete; 2-0 c 1 attempt 2",
    );
    let complete = "a lost, b synced, a has 1-0 complete, b has 1-1 running";
    evicts(
        "placed a:2 b:2, reschedules",
        complete,
        "",
        "",
        "1-0 a 0-1 complete; 1-1 b 2-3",
    );
}

#[test]
fn an_attempt_left_behind_is_withdrawn_when_its_cluster_is_back_also_from_a_job_that_is_complete() {
    let back = "a synced, b synced, c synced, a has 0-0 running, b has 1-0 running, c has 1-1 running";
    evicts(
        "placed b:2 c:2",
        back,
        "",
        "withdraw object-0-0 from a",
        "1-0 b 0-1; 1-1 c 2-3",
    );
    let complete = back
        .replace("1-0 running", "1-0 complete")
        .replace("1-1 running", "1-1 complete");
    for attempt in ["running", "complete"] {
        let back = complete.replace("0-0 running", &format!("0-0 {attempt}"));
        check(
            "placed b:2 c:2, complete",
            &back,
            "",
            "withdraw object-0-0 from a",
        );
    }
}

#[test]
fn a_gang_that_has_not_begun_is_placed_anew_as_a_whole() {
    let known = "placed a:2 b:2, reschedules, gang";
    let pending = "a lost, b synced, a has 1-0 pending, b has 1-1 pending";
    evicts(
        known,
        pending,
        "",
        "",
        "1-0 a 0-1 evicting ClusterLost; 1-1 b 2-3 evicting GangBroken",
    );
    let known = "placed a:2 b:2, reschedules, gang, evicting 1-0 ClusterLost, evicting 1-1 GangBroken";
    let buried = "a lost, b synced, a has 1-0 pending, b has 1-1 buried";
    evicts(
        known,
        buried,
        "",
        "",
        "1-0 a 0-1 evicting ClusterLost; waiting 2-3 attempt 1",
    );
    // Back just when the others have left: it goes after them.
    let back = "a synced, b synced, a has 1-0 pending, b has 1-1 buried";
    evicts(
        known,
        back,
        "",
        "",
        "1-0 a 0-1 evicting GangBroken; waiting 2-3 attempt 1",
    );
}

#[test]
fn a_deletion_and_a_new_run_wait_for_a_lost_cluster_that_may_still_run_an_attempt() {
    let known = "placed b:4, reschedules, evicted a ClusterLost";
    check(&format!("{known}, deleting"), "a lost, b synced", "", "Deleting");
    check(
        &format!("{known}, deleting"),
        "a synced, b synced",
        "",
        "remove finalizer",
    );
    check(&format!("{known}, run x"), "a lost, b synced", "", "Pending");
    check(&format!("{known}, run x"), "a synced, b synced", "", "Queued");
}
