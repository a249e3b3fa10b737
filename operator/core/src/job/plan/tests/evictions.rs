//! Evictions as text: what is recorded and what members show in; steps, and the placement that is recorded next, out.
//! Shares are bound at 900, and it is 1000.

use super::*;

/// `1-0 a 0-1 evicting FilterPolicy; waiting 2-3 attempt 1 interrupted 1`.
fn text(placement: &Placement) -> String {
    let shares = placement.shares.iter().map(|share| {
        let mut text = format!("{} {} {}", share.id, share.cluster, share.ranks);
        if share.attempt > 1 {
            text += &format!(" attempt {}", share.attempt);
        }
        if share.interruptions > 0 {
            text += &format!(" interrupted {}", share.interruptions);
        }
        if share.complete {
            text += " complete";
        }
        if let Some(why) = &share.evicting {
            text += &format!(" evicting {}", why.reason);
        }
        if !share.done.is_empty() {
            text += &format!(" done {}", share.done);
        }
        text
    });
    let waiting = placement.unplaced.iter().map(|one| {
        let interrupted = match one.interruptions {
            0 => String::new(),
            count => format!(" interrupted {count}"),
        };
        format!("waiting {} attempt {}{interrupted}", one.ranks, one.attempt)
    });
    shares.chain(waiting).collect::<Vec<_>>().join("; ")
}

/// The steps of the plan, and the placement that it has recorded.
pub(super) fn evicts(known: &str, said: &str, answered: &str, expect_steps: &str, expect_placement: &str) {
    let planned = plan(&facts(known), &members(said), answer(answered).as_ref(), NOW);
    let placement = planned
        .status
        .as_ref()
        .and_then(|status| status.placement.clone());
    let steps = Plan {
        status: None,
        wake: None,
        ..planned
    };
    assert_eq!(render(&steps), expect_steps, "{known} | {said} | {answered}");
    assert_eq!(
        text(&placement.unwrap_or_default()),
        expect_placement,
        "{known} | {said} | {answered}"
    );
}

/// A job placed on a and b, of which a is forbidden by a policy.
const BOTH: &str = "a synced, b synced, a has 1-0 running, b has 1-1 running";

#[test]
fn an_eviction_is_recorded_before_anything_is_done() {
    let said = format!("{BOTH}, forbidden a FilterPolicy");
    evicts(
        "placed a:2 b:2",
        &said,
        "",
        "",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
}

#[test]
fn a_recorded_eviction_is_carried_on_whether_or_not_the_reason_still_holds() {
    let known = "placed a:2 b:2, evicting 1-0 FilterPolicy";
    evicts(
        known,
        BOTH,
        "",
        "bury 1-0 on a",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
    let stopping = "a synced, b synced, a has 1-0 burying, b has 1-1 running";
    evicts(
        known,
        stopping,
        "",
        "",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
}

#[test]
fn only_the_evicted_ranks_are_queued_again_and_only_when_nothing_of_them_runs() {
    let known = "placed a:2 b:2, evicting 1-0 FilterPolicy, tries 1";
    let gone = "a synced, b synced, a has 1-0 buried, b has 1-1 running";
    evicts(known, gone, "", "", "1-1 b 2-3; waiting 0-1 attempt 1");
    let started = "a synced, b synced, a has 1-0 ran-buried, b has 1-1 running";
    evicts(
        known,
        started,
        "",
        "",
        "1-1 b 2-3; waiting 0-1 attempt 1 interrupted 1",
    );
}

#[test]
fn what_has_succeeded_is_not_run_again() {
    let known = "placed a:2 b:2, evicting 1-0 FilterPolicy, tries 1";
    let half = "a synced, b synced, a has 1-0 half-done-buried, b has 1-1 running";
    evicts(
        known,
        half,
        "",
        "",
        "1-0 a 0 complete; 1-1 b 2-3; waiting 1 attempt 1 interrupted 1",
    );
}

#[test]
fn a_started_replica_without_a_try_left_fails_the_job() {
    let known = "placed a:2 b:2, evicting 1-0 FilterPolicy";
    let started = "a synced, b synced, a has 1-0 ran-buried, b has 1-1 running";
    check(
        known,
        started,
        "",
        "withdraw object-1-1 from b; Failed Failed=InterruptedByEviction Stalled=InterruptedByEviction",
    );
}

#[test]
fn a_silent_member_is_waited_for() {
    let silent = "a silent, b synced, b has 1-1 running, forbidden a FilterPolicy";
    evicts(
        "placed a:2 b:2",
        silent,
        "",
        "",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
    let known = "placed a:2 b:2, evicting 1-0 FilterPolicy";
    evicts(
        known,
        silent,
        "",
        "",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
}

#[test]
fn a_share_that_was_never_created_leaves_a_tombstone_too() {
    let known = "placed a:2 b:2, evicting 1-0 FilterPolicy";
    let missing = "a synced, b synced, b has 1-1 running";
    evicts(
        known,
        missing,
        "",
        "bury 1-0 on a",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
}

#[test]
fn a_share_that_waits_too_long_is_held_back_unless_it_started() {
    let waiting = "a synced, b synced, a has 1-0 pending, b has 1-1 running";
    evicts(
        "placed a:2 b:2, timeout 101",
        waiting,
        "",
        "",
        "1-0 a 0-1; 1-1 b 2-3",
    );
    evicts(
        "placed a:2 b:2, timeout 0",
        waiting,
        "",
        "",
        "1-0 a 0-1; 1-1 b 2-3",
    );
    let late = "1-0 a 0-1 evicting PendingTimeout; 1-1 b 2-3";
    evicts("placed a:2 b:2, timeout 100", waiting, "", "", late);
    let known = "placed a:2 b:2, timeout 100, evicting 1-0 PendingTimeout";
    evicts(known, waiting, "", "hold object-1-0 on a", late);
    evicts(known, BOTH, "", "", "1-0 a 0-1; 1-1 b 2-3");
}

#[test]
fn what_is_held_back_is_buried_when_its_pods_are_gone_and_none_had_started() {
    let known = "placed a:2 b:2, timeout 100, evicting 1-0 PendingTimeout";
    let late = "1-0 a 0-1 evicting PendingTimeout; 1-1 b 2-3";
    evicts(
        known,
        "a synced, b synced, a has 1-0 stopping, b has 1-1 running",
        "",
        "",
        late,
    );
    let held = "a synced, b synced, a has 1-0 held, b has 1-1 running";
    evicts(known, held, "", "bury 1-0 on a", late);
}

#[test]
fn a_replica_that_started_in_between_costs_a_try_and_is_resumed_where_it_is() {
    let known = "placed a:2 b:2, timeout 100, tries 1, evicting 1-0 PendingTimeout";
    let raced = "a synced, b synced, a has 1-0 ran-held, b has 1-1 running";
    evicts(known, raced, "", "", "1-0 a 0-1 interrupted 1; 1-1 b 2-3");
    let resumed = "placed a:2 b:2, timeout 100, tries 1";
    let step = "ensure 1-0 on a";
    evicts(resumed, raced, "", step, "1-0 a 0-1; 1-1 b 2-3");
    let unseen = "a synced, b synced, a has 1-0 lost-sight-of, b has 1-1 running";
    evicts(known, unseen, "", "", "1-0 a 0-1 interrupted 1; 1-1 b 2-3");
    let no_try = "placed a:2 b:2, timeout 100, evicting 1-0 PendingTimeout";
    check(
        no_try,
        raced,
        "",
        "withdraw object-1-0 from a; withdraw object-1-1 from b; \
         Failed Failed=InterruptedByEviction Stalled=InterruptedByEviction",
    );
}

#[test]
fn a_gang_that_has_not_begun_goes_and_comes_back_as_a_whole() {
    let waiting = "a synced, b synced, a has 1-0 pending, b has 1-1 pending, forbidden a FilterPolicy";
    let all = "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3 evicting GangBroken";
    evicts("placed a:2 b:2, gang", waiting, "", "", all);
    evicts(
        "placed a:2 b:2",
        waiting,
        "",
        "",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
    let begun = "a synced, b synced, a has 1-0 pending, b has 1-1 running, forbidden a FilterPolicy";
    evicts(
        "placed a:2 b:2, gang",
        begun,
        "",
        "",
        "1-0 a 0-1 evicting FilterPolicy; 1-1 b 2-3",
    );
    let known = "placed a:2 b:2, gang, evicting 1-0 FilterPolicy, evicting 1-1 GangBroken";
    let gone = "a synced, b synced, a has 1-0 buried, b has 1-1 buried";
    evicts(
        known,
        gone,
        "",
        "",
        "waiting 0-1 attempt 1; waiting 2-3 attempt 1",
    );
}

#[test]
fn a_foreign_object_sends_the_share_to_another_cluster() {
    let foreign = "a synced, b synced, foreign 1-0, b has 1-1 running";
    let known = "placed a:2 b:2";
    // It is tried as before until the eviction is recorded.
    evicts(known, foreign, "", "", "1-0 a 0-1 evicting Conflict; 1-1 b 2-3");
    let recorded = "placed a:2 b:2, evicting 1-0 Conflict";
    evicts(recorded, foreign, "", "", "1-1 b 2-3; waiting 0-1 attempt 1");
}

#[test]
fn waiting_ranks_are_queued_and_placed_as_a_new_attempt() {
    let mut known = facts("placed a:2 b:2");
    let placement = known.placement.as_mut().expect("placed");
    let share = placement.shares.remove(0);
    placement.unplaced.push(crate::placement::Unplaced {
        ranks: share.ranks,
        attempt: 1,
        interruptions: 0,
    });
    let said = members("a synced, b synced, b has 1-1 running, a has 1-0 buried");
    let waits = plan(&known, &said, None, NOW);
    assert_eq!(render(&waits), "queue; Running; wake at 1070");
    let placed = plan(&known, &said, answer("placed c:2").as_ref(), NOW);
    let status = placed.status.expect("a status");
    assert_eq!(
        text(&status.placement.expect("a placement")),
        "1-1 b 2-3; 2-0 c 0-1 attempt 2"
    );
}

#[test]
fn a_tombstone_keeps_its_name_for_two_minutes() {
    let gone = "a synced, b synced, a has 1-0 buried, b has 1-1 complete";
    let mut known = facts("placed b:4");
    known.placement.as_mut().expect("placed").shares[0].id = "1-1".into();
    let said = members(gone);
    let at = |now| render(&plan(&known, &said, None, now));
    assert!(!at(1069).contains("withdraw"), "{}", at(1069));
    assert!(at(1070).contains("withdraw object-1-0 from a"), "{}", at(1070));
}

#[test]
fn the_deadline_counts_from_the_first_start_also_while_evicted_replicas_wait() {
    let mut known = facts("placed a:2, tries 1, evicting 1-0 FilterPolicy, deadline 200");
    let gone = members("a synced, a has 1-0 buried");
    let evicted = plan(&known, &gone, None, NOW).status.expect("a status");
    assert_eq!((evicted.phase, evicted.start), (Phase::Queued, Some(900)));
    known.unplaced = evicted.placement.expect("ranks that wait").unplaced;
    known.placement = None;
    assert_eq!(render(&plan(&known, &gone, None, NOW)), "queue; wake at 1070");
    let late = plan(&known, &Members::default(), answer("placed b:2").as_ref(), 1100);
    assert_eq!(
        render(&late),
        "Failed Failed=DeadlineExceeded Stalled=DeadlineExceeded"
    );
}

#[test]
fn a_job_that_lost_every_share_is_not_complete_whatever_its_spec_says_now() {
    let mut known = facts("placed a:2, tries 1, evicting 1-0 FilterPolicy, refused");
    known.replicas = 0;
    let gone = members("a synced, a has 1-0 buried");
    let planned = plan(&known, &gone, None, NOW).status.expect("a status");
    assert_eq!(planned.phase, Phase::Invalid);
    known.placement = None;
    let planned = plan(&known, &gone, None, NOW).status.expect("a status");
    assert_eq!(planned.phase, Phase::Invalid);
}

#[test]
fn a_tombstone_stays_until_it_is_recorded_that_its_share_has_left() {
    let mut known = facts("placed a:2 b:2, evicting 1-0 FilterPolicy, tries 1");
    let stuck = members("a synced, b synced, a has 1-0 burying, b has 1-1 running");
    let at = |known: &Facts| render(&plan(known, &stuck, None, 2000));
    assert_eq!(at(&known), "Running");
    known.placement.as_mut().expect("placed").shares.remove(0);
    assert!(
        at(&known).starts_with("withdraw object-1-0 from a"),
        "{}",
        at(&known)
    );
}

#[test]
fn what_its_user_had_stopped_is_not_interrupted_by_an_eviction() {
    let known = "placed a:2, suspended, was-suspended, evicting 1-0 FilterPolicy";
    evicts(
        known,
        "a synced, a has 1-0 ran-buried",
        "",
        "",
        "waiting 0-1 attempt 1",
    );
}

#[test]
fn clusters_where_all_is_done_do_not_count_as_used() {
    let mut known = facts("placed a:1 b:3");
    let placement = known.placement.as_mut().expect("placed");
    placement.shares[0].complete = true;
    let share = placement.shares.remove(1);
    placement.unplaced.push(crate::placement::Unplaced {
        ranks: share.ranks,
        attempt: 1,
        interruptions: 0,
    });
    let asked = crate::job::missing(&workload(4), placement, &[], NOW).expect("ranks that wait");
    assert_eq!((asked.replicas, asked.gang, asked.placed.len()), (3, false, 0));
}

#[test]
fn where_a_tombstone_is_refused_too_the_share_goes_elsewhere_when_no_request_can_be_on_its_way() {
    let waiting = "placed a:2 b:2, timeout 100, evicting 1-0 PendingTimeout";
    let said = members("a synced, b synced, busy 1-0, b has 1-1 running");
    let at = |now| plan(&facts(waiting), &said, None, now);
    let recorded = |plan: &Plan| {
        text(
            &plan
                .status
                .clone()
                .and_then(|status| status.placement)
                .expect("a placement"),
        )
    };
    assert!(render(&at(1119)).starts_with("bury 1-0 on a"));
    assert_eq!(recorded(&at(1120)), "1-1 b 2-3; waiting 0-1 attempt 1");
    let unseen = members("a synced, b synced, busy 1-0, unseen a, b has 1-1 running");
    let late = plan(&facts(waiting), &unseen, None, 2000);
    assert!(render(&late).starts_with("bury 1-0 on a"), "{}", render(&late));
}

fn workload(replicas: i64) -> crate::workload::Workload {
    crate::workload::Workload {
        replicas,
        revision: 1,
        ..crate::workload::Workload::new(crate::workload::Kind::SkyJob, "default", "job")
    }
}
