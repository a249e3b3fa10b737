//! What is planned for a SkyDeployment, by examples: shares as `cluster replicas`, members as what they show.

use super::*;
use crate::deployment::Standing;
use crate::eviction::OnLost;
use crate::observation::{Counts, Rollout, Started, Trouble};
use crate::ranks::Ranks;
use crate::share::Stamp;
use crate::workload::Kind;

/// A SkyDeployment of the template `new`, placed like this: `a 2, b 1`.
fn facts(placed: &str, replicas: i64) -> Facts {
    let mut facts = Facts {
        on_lost: OnLost::Reschedule,
        finalizer: true,
        replicas,
        most_unavailable: 1,
        ..Facts::default()
    };
    for (index, one) in placed.split(", ").filter(|one| !one.is_empty()).enumerate() {
        let (cluster, count) = one.split_once(' ').expect("a cluster and a number");
        facts.placement.revision = 1;
        facts.placement.shares.push(PlacedShare {
            id: format!("1-{index}"),
            cluster: cluster.into(),
            replicas: count.parse().expect("a number"),
            attempt: 1,
            bound: Some(0),
            seen: true,
            ..PlacedShare::default()
        });
        facts.hashes.insert(cluster.into(), "new".into());
    }
    facts
}

/// What the member of this share shows: its template, and how many replicas are available.
fn seen(share: &PlacedShare, template: &str, available: i64) -> (String, Observation) {
    let stamp = Stamp {
        origin: "o".into(),
        kind: Kind::SkyDeployment,
        namespace: "n".into(),
        name: "web".into(),
        uid: "u".into(),
        run: String::new(),
        share: share.id.clone(),
        attempt: 1,
        spec_hash: template.into(),
    };
    let observation = Observation {
        key: ShareKey {
            kind: Kind::SkyDeployment,
            namespace: "n".into(),
            object: format!("web-{}", share.id),
        },
        stamp,
        instance: "i".into(),
        replicas: share.replicas,
        counts: Counts {
            running: available,
            pending: share.replicas - available,
            ..Counts::default()
        },
        settled: available,
        started: Started::Yes,
        done: Ranks::default(),
        active: share.replicas,
        suspended: false,
        confirm: None,
        tombstone: None,
        deleting: false,
        end: None,
        trouble: None,
        rollout: Some(Rollout {
            generation: 1,
            current: true,
            existing: share.replicas,
            updated: share.replicas,
            ready: available,
            available,
            stuck: None,
        }),
    };
    (share.cluster.clone(), observation)
}

/// Members that answer and have everything, as `template available` by share.
fn members(facts: &Facts, states: &[(&str, i64)]) -> Members {
    let mut members = Members::default();
    for (share, (template, available)) in facts.placement.shares.iter().zip(states) {
        members.reach.insert(share.cluster.clone(), Reach::Synced);
        members.shares.push(seen(share, template, *available));
        members.applied.insert(share.id.clone(), 1);
        members
            .standings
            .insert(share.cluster.clone(), Standing::default());
    }
    members
}

/// Steps in short: `apply a 2`, `scale a 2`, `withdraw a`.
fn steps(plan: &Plan) -> Vec<String> {
    let each = plan.steps.iter().map(|step| match step {
        Step::Ensure {
            share,
            only_scale,
            as_before,
            ..
        } => {
            let verb = if *only_scale { "scale" } else { "apply" };
            let before = if *as_before { " as before" } else { "" };
            format!("{verb} {} {}{before}", share.cluster, share.replicas)
        }
        Step::Withdraw { cluster, .. } => format!("withdraw {cluster}"),
    });
    each.collect()
}

fn check(facts: &Facts, members: &Members, wanted: &[&str]) -> Plan {
    let plan = plan(facts, members, None, 1000);
    assert_eq!(steps(&plan), wanted);
    plan
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    let facts = facts("a 2, b 1", 3);
    check(&facts, &members(&facts, &[("new", 2), ("new", 1)]), &[]);
}

#[test]
fn a_changed_template_goes_to_one_cluster_and_to_the_next_when_that_serves() {
    let facts = facts("a 2, b 1, c 1", 4);
    let old = [("old", 2), ("old", 1), ("old", 1)];
    check(&facts, &members(&facts, &old), &["apply a 2"]);
    let under_way = [("new", 1), ("old", 1), ("old", 1)];
    check(&facts, &members(&facts, &under_way), &[]);
    let served = [("new", 2), ("old", 1), ("old", 1)];
    check(&facts, &members(&facts, &served), &["apply b 1"]);
    let faster = Facts {
        most_unavailable: 2,
        ..facts
    };
    check(&faster, &members(&faster, &old), &["apply a 2", "apply b 1"]);
}

#[test]
fn a_template_that_mends_begins_where_nothing_serves() {
    let facts = facts("a 2, b 1", 3);
    let broken = [("old", 2), ("old", 0)];
    check(&facts, &members(&facts, &broken), &["apply b 1"]);
}

#[test]
fn while_its_turn_has_not_come_a_cluster_is_only_scaled() {
    let mut facts = facts("a 2, b 2", 4);
    facts.paused = true;
    let mut members = members(&facts, &[("old", 2), ("old", 2)]);
    facts.placement.shares[1].replicas = 1;
    facts.replicas = 3;
    members.shares[1].1.replicas = 2;
    check(&facts, &members, &["scale b 1"]);
}

#[test]
fn what_somebody_changed_is_applied_again_and_what_is_still_to_be_told_is_waited_for() {
    let facts = facts("a 2", 2);
    let mut members = members(&facts, &[("new", 2)]);
    members.applied.insert("1-0".into(), 0);
    check(&facts, &members, &["apply a 2"]);
    members.applied.insert("1-0".into(), 2);
    check(&facts, &members, &[]);
}

#[test]
fn what_may_not_stay_leaves_the_placement_first_and_its_member_then() {
    let facts = facts("a 2, b 1", 3);
    let mut members = members(&facts, &[("new", 2), ("new", 1)]);
    let why = Trouble {
        reason: "FilterPolicy".into(),
        message: "excluded".into(),
    };
    members.forbidden.insert("b".into(), why);
    let plan = check(&facts, &members, &[]);
    let placed = plan.status.expect("a status").placement;
    assert_eq!(placed.summary(), "a:2");
    let next = Facts {
        placement: placed,
        ..facts
    };
    check(&next, &members, &["withdraw b"]);
}

#[test]
fn a_lost_cluster_keeps_its_replicas_only_when_asked_to_wait() {
    let mut facts = facts("a 2, b 1", 3);
    let mut members = members(&facts, &[("new", 2), ("new", 1)]);
    let lost = Reach::Silent {
        lost: true,
        message: "no answer".into(),
    };
    members.reach.insert("b".into(), lost);
    let summary = |facts: &Facts| {
        let status = plan(facts, &members, None, 1000).status;
        status.expect("a status").placement.summary()
    };
    assert_eq!(summary(&facts), "a:2");
    facts.on_lost = OnLost::Wait;
    assert_eq!(summary(&facts), "a:2,b:1");
}

#[test]
fn a_lost_record_is_written_again_and_nothing_is_withdrawn() {
    let known = facts("a 2, b 1", 3);
    let members = members(&known, &[("new", 2), ("new", 1)]);
    let plan = check(&facts("", 3), &members, &[]);
    assert_eq!(plan.status.expect("a status").placement.summary(), "a:2,b:1");
}

#[test]
fn while_paused_a_new_share_is_of_the_template_that_the_others_have() {
    let mut facts = facts("a 2, b 1", 3);
    facts.paused = true;
    let mut members = members(&facts, &[("old", 2), ("new", 1)]);
    members.shares.pop();
    check(&facts, &members, &["apply b 1 as before"]);
    facts.paused = false;
    check(&facts, &members, &["apply a 2", "apply b 1"]);
    // Nothing waits: there is only one template.
    facts.paused = true;
    members.shares[0].1.stamp.spec_hash = "new".into();
    check(&facts, &members, &["apply b 1"]);
}

#[test]
fn replicas_that_wait_too_long_beside_others_that_run_move_and_these_stay() {
    let mut facts = facts("a 3, b 1", 4);
    facts.pending_timeout = 600;
    let mut members = members(&facts, &[("new", 1), ("new", 1)]);
    members.pending_since.insert("1-0".into(), 500);
    let plan = check(&facts, &members, &[]);
    assert_eq!(plan.wake, Some(1100));
    members.pending_since.insert("1-0".into(), 400);
    let plan = check(&facts, &members, &[]);
    let status = plan.status.expect("a status");
    assert_eq!(status.placement.summary(), "a:1,b:1");
    let moved = &status.evictions[0];
    assert_eq!((moved.replicas, moved.reason.as_str()), (2, "PendingTimeout"));
    assert_eq!(
        status.cool_downs[0].cluster, "a",
        "they are not tried there again at once"
    );
    // In a rollout, and where none runs, other rules decide.
    members.shares[0].1.rollout.as_mut().expect("a rollout").existing = 4;
    let plan = check(&facts, &members, &[]);
    assert_eq!(plan.status.expect("a status").placement.summary(), "a:3,b:1");
}
