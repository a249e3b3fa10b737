//! What holds of every plan, whatever is known and said.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn known() -> impl Strategy<Value = Facts> {
    let clauses = [
        "new",
        "deleting",
        "suspended",
        "refused",
        "placed a:2 b:2",
        "placed a:2 b:2",
        "placed a:2 b:2",
        "run x",
        "deadline 50",
        "deadline 500",
        "ttl 10",
        "ttl 500",
        "complete",
        "failed",
        "recorded a:2",
        "recorded b:1",
        "gang",
        "tries 1",
        "timeout 50",
        "was-suspended",
        "evicting 1-0 FilterPolicy",
        "evicting 1-0 PendingTimeout",
        "evicting 1-1 GangBroken",
        "reschedules",
        "reschedules",
        "evicting 1-0 ClusterLost, reschedules",
        "evicting 1-1 ClusterLost, done 1-1 2, reschedules",
    ];
    let some = prop::sample::subsequence(clauses.to_vec(), 0..6);
    some.prop_map(|clauses| facts(&clauses.join(", ")))
}

fn said() -> impl Strategy<Value = Members> {
    let reach = prop::sample::select(vec!["synced", "silent", "lost", ""]);
    let doing = vec![
        "pending",
        "running",
        "suspended",
        "leaving",
        "complete",
        "failed",
        "held",
        "ran-held",
        "stopping",
        "buried",
        "ran-buried",
        "half-done-buried",
        "lost-sight-of",
        "",
        "",
    ];
    let doing = prop::sample::select(doing);
    let stale = prop::sample::select(vec![
        "a has 0-0 running",
        "c has 1-1 running",
        "a has 2-0 pending",
        "",
        "",
        "",
    ]);
    let more = prop::sample::subsequence(
        vec![
            "seen 1-0",
            "seen 1-1",
            "completed 1-0",
            "unseen a",
            "unseen b",
            "refused 1-1",
            "busy 1-0",
            "foreign 1-0",
            "forbidden a FilterPolicy",
            "forbidden b Tainted",
        ],
        0..4,
    );
    (reach.clone(), reach, doing.clone(), doing, stale, more).prop_map(|(a, b, of_a, of_b, stale, more)| {
        let mut clauses: Vec<String> = more.into_iter().map(str::to_owned).collect();
        for (cluster, reach, id, doing) in [("a", a, "1-0", of_a), ("b", b, "1-1", of_b)] {
            if !reach.is_empty() {
                clauses.push(format!("{cluster} {reach}"));
                if !doing.is_empty() {
                    clauses.push(format!("{cluster} has {id} {doing}"));
                }
            }
        }
        if !stale.is_empty() {
            clauses.push("c synced".into());
            clauses.push(stale.into());
        }
        members(&clauses.join(", "))
    })
}

fn answered() -> impl Strategy<Value = Option<Decision>> {
    prop::sample::select(vec!["", "queued", "too large", "placed a:2 b:2", "placed c:4"]).prop_map(answer)
}

fn ensured(plan: &Plan) -> impl Iterator<Item = &PlacedShare> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Ensure { share, .. } => Some(share),
        _ => None,
    })
}

fn withdrawn(plan: &Plan) -> impl Iterator<Item = (&str, &ShareKey)> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Withdraw { cluster, key } => Some((cluster.as_str(), key)),
        _ => None,
    })
}

/// Shares that are held back or buried.
fn stopped(plan: &Plan) -> impl Iterator<Item = String> {
    plan.steps.iter().filter_map(|step| match step {
        Step::Hold { key, .. } => Some(key.object.trim_start_matches("object-").to_owned()),
        Step::Bury { share } => Some(share.id.clone()),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_plan_is_a_function_of_what_is_known(facts in known(), members in said(), answer in answered()) {
        prop_assert_eq!(plan(&facts, &members, answer.as_ref(), NOW), plan(&facts, &members, answer.as_ref(), NOW));
    }

    #[test]
    fn a_share_is_created_only_on_a_member_that_answers_and_never_where_it_may_have_run(
        facts in known(), members in said(), answer in answered(),
    ) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        for share in ensured(&planned) {
            prop_assert_eq!(members.reach.get(&share.cluster), Some(&Reach::Synced));
            let bound = facts.placement.iter().flat_map(|placement| &placement.shares);
            let bound = bound.filter(|bound| bound.evicting.is_none()).any(|bound| bound.id == share.id);
            prop_assert!(bound, "only what is bound, and not what is to go");
            let is_there = observed(&members, share).is_some();
            prop_assert!(is_there || !members.seen.contains(&share.id), "never a second time");
            prop_assert!(!completed(&facts, &members, share));
        }
    }

    #[test]
    fn every_rank_has_one_place_or_waits_for_one(facts in known(), members in said(), answer in answered()) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let same_run = facts.runs.last().is_none_or(|run| run.id == facts.run);
        let (Some(before), Some(after), true) =
            (&facts.placement, planned.status.and_then(|status| status.placement), same_run) else { return Ok(()) };
        let ranks = |placement: &Placement| {
            let placed = placement.shares.iter().flat_map(|share| share.ranks.iter());
            let waiting = placement.unplaced.iter().flat_map(|one| one.ranks.iter());
            let mut all: Vec<u32> = placed.chain(waiting).collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(ranks(before), ranks(&after));
    }

    #[test]
    fn nothing_is_stopped_whose_eviction_is_not_recorded(facts in known(), members in said(), answer in answered()) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let shares: Vec<&PlacedShare> = facts.placement.iter().flat_map(|placement| &placement.shares).collect();
        for id in stopped(&planned) {
            let recorded = shares.iter().any(|share| share.id == id && share.evicting.is_some());
            prop_assert!(recorded, "{id}");
        }
    }

    #[test]
    fn a_replica_that_may_have_started_moves_only_with_a_try_left(
        facts in known(), members in said(), answer in answered(),
    ) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let status = planned.status.unwrap_or_default();
        let waiting = status.placement.iter().flat_map(|placement| &placement.unplaced);
        let used: i64 = waiting.map(|one| one.interruptions).max().unwrap_or(0);
        prop_assert!(used <= facts.limit);
    }

    #[test]
    fn no_share_is_both_created_and_withdrawn(facts in known(), members in said(), answer in answered()) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let objects: BTreeSet<(&str, &ShareKey)> = withdrawn(&planned).collect();
        for share in ensured(&planned) {
            if let Some(seen) = observed(&members, share) {
                prop_assert!(!objects.contains(&(share.cluster.as_str(), &seen.key)));
            }
        }
    }

    #[test]
    fn nothing_complete_is_withdrawn_while_the_job_runs(facts in known(), members in said(), answer in answered()) {
        if facts.deleting || facts.finished.is_some() || !facts.run.is_empty() {
            return Ok(());
        }
        let Some(placement) = facts.placement.clone() else { return Ok(()) };
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let objects: BTreeSet<(&str, &ShareKey)> = withdrawn(&planned).collect();
        let interrupted = planned.status.iter().flat_map(|status| &status.conditions);
        if interrupted.into_iter().any(|condition| condition.reason == "InterruptedByEviction") {
            return Ok(());
        }
        for share in &placement.shares {
            if let Some(seen) = observed(&members, share).filter(|seen| seen.end.is_some()) {
                prop_assert!(!objects.contains(&(share.cluster.as_str(), &seen.key)));
            }
        }
    }

    #[test]
    fn cold_members_lead_to_no_step_at_all(facts in known(), answer in answered()) {
        let planned = plan(&facts, &members("a silent, b silent"), answer.as_ref(), NOW);
        prop_assert!(planned.steps.is_empty());
        prop_assert!(facts.placement.is_none() || planned.finalizer != Finalizer::Remove);
    }

    #[test]
    fn the_finalizer_goes_only_when_nothing_is_left(facts in known(), members in said(), answer in answered()) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        if planned.finalizer == Finalizer::Remove {
            prop_assert!(facts.deleting && facts.finalizer);
            prop_assert!(members.shares.is_empty());
            prop_assert!(planned.steps.is_empty() && planned.status.is_none());
        }
        if planned.finalizer == Finalizer::Add {
            prop_assert!(planned.steps.is_empty() && planned.status.is_none() && !planned.queue);
        }
    }

    #[test]
    fn only_what_is_neither_placed_nor_finished_waits_for_the_scheduler(
        facts in known(), members in said(), answer in answered(),
    ) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        if planned.queue {
            let missing = facts.placement.iter().all(|placed| !placed.without_lost().missing(facts.replicas).is_empty());
            prop_assert!(missing && facts.finished.is_none());
            prop_assert!(!facts.suspend && !facts.deleting && facts.refused.is_none());
        }
    }

    #[test]
    fn a_recorded_placement_is_kept_or_dropped_whole_and_its_revision_never_falls(
        facts in known(), members in said(), answer in answered(),
    ) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let Some(status) = planned.status else { return Ok(()) };
        let revision = status.placement.as_ref().map_or(0, |placement| placement.revision);
        prop_assert!(revision >= facts.revision);
        let new_run = facts.runs.iter().all(|run| run.id != facts.run);
        if let Some(placed) = facts.placement.as_ref().filter(|_| !new_run) {
            let evicts = !members.forbidden.is_empty() || facts.pending_timeout > 0 || facts.was_suspended;
            let evicting = placed.shares.iter().any(|share| share.evicting.is_some());
            let foreign = members.sent_back.values().any(|refusal| refusal.trouble.reason == "Conflict");
            let lost = facts.on_lost == crate::eviction::OnLost::Reschedule;
            let alike = status.placement.as_ref().is_some_and(|placement| placement.is_like(placed));
            prop_assert!(alike || evicts || evicting || foreign || lost);
        }
    }

    #[test]
    fn the_replicas_of_a_placed_job_add_up(facts in known(), members in said(), answer in answered()) {
        let planned = plan(&facts, &members, answer.as_ref(), NOW);
        let Some(status) = planned.status else { return Ok(()) };
        let counts = status.totals.counts;
        let sum = counts.pending + counts.running + counts.succeeded + counts.failed + status.totals.unknown;
        let recorded_only_partly = facts.recorded.values().any(|counts| counts.succeeded < 2);
        if !recorded_only_partly {
            prop_assert_eq!(sum, facts.replicas);
        }
    }
}
