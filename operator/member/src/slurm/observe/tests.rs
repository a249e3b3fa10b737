//! What is said of arrays: as recorded from 22.05.8, and as they come to be when slurmctld forgets.

use super::*;
use crate::slurm::array::{Array, Listed, Replica, Rest, sort};
use crate::slurm::comment::Comment;
use crate::slurm::dialect::{Exit, JobRecord};
use serde_json::Value;
use sky_core::share::Stamp;
use sky_core::workload::Kind;

fn listed() -> Listed {
    let body: Value = serde_json::from_str(include_str!("../fixtures/jobs-22.05.8.json")).expect("JSON");
    let records: Vec<JobRecord> = serde_json::from_value(body["jobs"].clone()).expect("jobs");
    sort(&records, "games")
}

fn said(name: &str) -> Option<Observation> {
    let listed = listed();
    let mut arrays = listed.arrays.iter();
    let array = arrays
        .find(|array| array.comment.stamp().name == name)
        .expect("the array");
    observe(array, &Past::default(), 77)
}

#[test]
fn recorded_arrays_are_counted() {
    let part = said("part").expect("a share");
    let counts = part.counts;
    assert_eq!(
        (counts.pending, counts.running, part.settled, part.active),
        (2, 2, 2, 4)
    );
    assert_eq!(part.started, Started::Yes);
    assert_eq!(
        part.trouble.map(|trouble| trouble.reason).as_deref(),
        Some("Resources")
    );
    assert_eq!(said("done").expect("a share").end, Some(End::Complete));
    assert_eq!(said("done").expect("a share").done.count(), 2);
}

#[test]
fn a_held_array_waits_for_its_confirmation_and_takes_room() {
    let held = said("held").expect("a share");
    assert_eq!((held.confirm, held.suspended), (Some(77), false));
    assert_eq!((held.settled, held.active, held.counts.pending), (0, 0, 3));
    assert_eq!((held.trouble, held.started), (None, Started::No));
}

#[test]
fn failures_say_what_happened_in_slurms_words() {
    let failed = |name: &str| match said(name).expect("a share").end {
        Some(End::Failed(trouble)) => (trouble.reason, trouble.message),
        end => panic!("{end:?}"),
    };
    let (reason, message) = failed("code");
    assert_eq!(reason, "NonZeroExitCode");
    assert_eq!(message, "replica 0: exit code 3 (FAILED)");
    let (reason, message) = failed("sig");
    assert_eq!(reason, "Signalled");
    assert_eq!(message, "replica 0: ended by signal 9 (FAILED, JobLaunchFailure)");
}

#[test]
fn what_somebody_cancelled_before_it_started_is_gone() {
    assert_eq!(said("gone"), None);
}

fn array(replicas: i64, tasks: &[(u32, Doing)], rest: Option<Doing>) -> Array {
    let stamp = Stamp {
        origin: "o".into(),
        kind: Kind::SkyJob,
        namespace: "ns".into(),
        name: "n".into(),
        uid: "u".into(),
        run: String::new(),
        share: "1-0".into(),
        attempt: 1,
        spec_hash: "h".into(),
    };
    let comment = Comment::new(&stamp, replicas, "nonce".into());
    Array {
        id: 1,
        key: comment.key("n-1"),
        comment,
        tasks: tasks
            .iter()
            .map(|(index, doing)| {
                let started = *doing != Doing::Waiting;
                let doing = doing.clone();
                let replica = Replica {
                    doing,
                    started,
                    start: None,
                    ran: None,
                };
                (*index, replica)
            })
            .collect(),
        rest: rest.map(|doing| Rest {
            doing,
            held: false,
            reason: String::new(),
            description: String::new(),
        }),
    }
}

fn failed() -> Doing {
    Doing::Failed(
        "FAILED".into(),
        "NonZeroExitCode".into(),
        Exit { code: 1, signal: 0 },
    )
}

#[test]
fn a_replica_that_was_seen_to_end_stays_ended_when_it_is_purged() {
    let mut past = Past::default();
    let before = array(2, &[(0, Doing::Succeeded), (1, Doing::Running)], None);
    past.take_in(std::slice::from_ref(&before), 5);
    let after = array(2, &[(1, Doing::Succeeded)], None);
    past.take_in(std::slice::from_ref(&after), 6);
    let seen = observe(&after, &past, 0).expect("a share");
    assert_eq!(seen.end, Some(End::Complete));
    // Who did not see it, cannot know.
    let seen = observe(&after, &Past::default(), 0).expect("a share");
    let unknown = matches!(&seen.end, Some(End::Failed(trouble)) if trouble.reason == "OutcomeUnknown");
    assert!(unknown, "{:?}", seen.end);
    assert_eq!(seen.started, Started::Yes);
}

#[test]
fn a_share_has_failed_when_its_other_replicas_are_stopped() {
    let past = Past::default();
    let half = array(3, &[(0, failed()), (1, Doing::Running)], Some(Doing::Waiting));
    let seen = observe(&half, &past, 0).expect("a share");
    assert_eq!(seen.end, None);
    assert!(seen.trouble.is_some() && is_lost(&half, &past));
    let stopped = array(3, &[(0, failed()), (1, Doing::Cancelled)], Some(Doing::Cancelled));
    let seen = observe(&stopped, &past, 0).expect("a share");
    assert!(matches!(seen.end, Some(End::Failed(trouble)) if trouble.reason == "NonZeroExitCode"));
    assert!(!is_lost(&stopped, &past));
}

#[test]
fn what_runs_and_was_cancelled_by_others_has_failed() {
    let cancelled = array(2, &[(0, Doing::Succeeded), (1, Doing::Cancelled)], None);
    let seen = observe(&cancelled, &Past::default(), 0).expect("a share");
    assert!(matches!(seen.end, Some(End::Failed(trouble)) if trouble.reason == "Cancelled"));
}

#[test]
fn what_is_removed_is_shown_until_it_is_over() {
    let mut going = array(1, &[(0, Doing::Running)], None);
    going.comment.removed = true;
    let seen = observe(&going, &Past::default(), 0).expect("a share");
    assert!(seen.deleting);
    let mut over = array(1, &[(0, Doing::Cancelled)], None);
    over.comment.removed = true;
    assert_eq!(observe(&over, &Past::default(), 0), None);
}

#[test]
fn a_tombstone_of_what_had_ended_is_remembered() {
    let over = array(1, &[(0, Doing::Succeeded)], None);
    let mut past = Past::default();
    past.take_in(std::slice::from_ref(&over), 5);
    past.bury(over.instance(), 9);
    let seen = observe(&over, &past, 0).expect("a share");
    assert_eq!((seen.tombstone, seen.suspended, seen.end), (Some(9), true, None));
    assert_eq!(seen.started, Started::Yes);
}

#[test]
fn a_requeued_replica_waits_and_has_started() {
    let mut again = array(1, &[(0, Doing::Waiting)], None);
    again.tasks.get_mut(&0).expect("the task").started = true;
    let seen = observe(&again, &Past::default(), 0).expect("a share");
    assert_eq!(
        (seen.started, seen.counts.pending, seen.confirm),
        (Started::Yes, 1, None)
    );
}

#[test]
fn an_array_whose_release_slurmctld_forgot_is_released_again() {
    let mut past = Past::default();
    let mut ran = array(2, &[(0, Doing::Succeeded)], Some(Doing::Waiting));
    past.take_in(std::slice::from_ref(&ran), 5);
    // Somebody holds what has not started: that is theirs to end.
    if let Some(rest) = &mut ran.rest {
        rest.held = true;
    }
    let seen = observe(&ran, &past, 7).expect("a share");
    assert_eq!((seen.confirm, seen.counts.succeeded), (None, 1));
    // Killed and started with a state from before the release.
    let mut forgot = array(2, &[], Some(Doing::Waiting));
    if let Some(rest) = &mut forgot.rest {
        rest.held = true;
    }
    past.take_in(std::slice::from_ref(&forgot), 9);
    let seen = observe(&forgot, &past, 7).expect("a share");
    assert_eq!(
        (seen.confirm, seen.started, seen.counts.succeeded),
        (Some(7), Started::Yes, 1)
    );
}
