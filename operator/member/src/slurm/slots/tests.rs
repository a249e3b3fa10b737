//! Who is cancelled and who is submitted, told on shares as text: one word for each array, `id.slot.template.state`. States:
//! `wait`, `run` (for a minute), `new` (runs since a moment), `going`, `end` (soon, with exit code 3), `late` (so, but after
//! long), `cut` (soon, by its time limit).

use sky_core::share::Stamp;
use sky_core::workload::Kind;

use super::*;
use crate::slurm::array::{Replica, Rest};
use crate::slurm::comment::Comment;
use crate::slurm::dialect::Exit;

const NOW: Seconds = 100_000;

fn replica(state: &str) -> Option<Replica> {
    let failed = |state: &str, code| {
        let exit = Exit { code, signal: 0 };
        Doing::Failed(state.into(), "NonZeroExitCode".into(), exit)
    };
    let (doing, start, ran) = match state {
        "run" | "going" => (Doing::Running, NOW - 60, None),
        "new" => (Doing::Running, NOW - 1, None),
        "end" => (failed("FAILED", 3), NOW - 90, Some(1)),
        "late" => (failed("FAILED", 3), NOW - 9000, Some(RAN_LONG)),
        "cut" => (failed("TIMEOUT", 0), NOW - 90, Some(60)),
        _ => return None,
    };
    Some(Replica {
        doing,
        started: true,
        start: Some(start),
        ran,
    })
}

fn array(word: &str) -> Array {
    let parts: Vec<&str> = word.split('.').collect();
    let [id, slot, hash, state] = parts[..] else {
        panic!("{word}")
    };
    let stamp = Stamp {
        origin: "o".into(),
        kind: Kind::SkyDeployment,
        namespace: "ns".into(),
        name: "web".into(),
        uid: "u".into(),
        run: String::new(),
        share: "1-0".into(),
        attempt: 1,
        spec_hash: hash.into(),
    };
    let mut comment = Comment::new(&stamp, 1, id.into());
    let slot = slot.parse().expect("a slot");
    comment.slot = Some(slot);
    comment.removed = state == "going";
    Array {
        id: id.parse().expect("an id"),
        key: comment.key("web-1"),
        comment,
        tasks: replica(state)
            .map(|replica| (slot, replica))
            .into_iter()
            .collect(),
        rest: (state == "wait").then(|| Rest {
            doing: Doing::Waiting,
            held: false,
            reason: "Resources".into(),
            description: String::new(),
        }),
    }
}

/// These arrays, the ends of them first seen some seconds ago.
struct Share {
    arrays: Vec<Array>,
    past: Past,
}

impl Share {
    fn of(text: &str, ended: Seconds) -> Self {
        let arrays: Vec<Array> = text.split_whitespace().map(array).collect();
        let mut past = Past::default();
        past.take_in(&arrays, NOW - ended);
        Self { arrays, past }
    }

    fn slots(&self) -> Slots<'_> {
        Slots::read(&self.arrays, &self.past, NOW)
    }
}

/// `cancel ids, submit slots` of a share of which `replicas` of template b are wanted.
fn turn(text: &str, replicas: i64, ended: Seconds) -> String {
    let share = Share::of(text, ended);
    let wanted = Wanted {
        replicas,
        hash: Some("b"),
    };
    let Turn { mut cancel, submit } = share.slots().turn(wanted);
    cancel.sort_unstable();
    format!("{cancel:?} {submit:?}")
}

#[test]
fn what_is_missing_is_submitted_once() {
    assert_eq!(turn("", 3, 0), "[] [0, 1, 2]");
    assert_eq!(turn("1.0.b.run 2.2.b.wait", 3, 0), "[] [1]");
    assert_eq!(turn("1.0.b.run 2.1.b.wait 3.2.b.new", 3, 0), "[] []");
}

#[test]
fn of_two_in_a_slot_the_one_that_runs_stays() {
    assert_eq!(turn("1.0.b.wait 2.0.b.run", 1, 0), "[1] []");
    assert_eq!(turn("1.0.b.run 2.0.b.run 3.1.b.run", 2, 0), "[2] []");
}

#[test]
fn of_too_many_those_that_do_not_run_go_first() {
    assert_eq!(turn("1.0.b.wait 2.1.b.run 3.2.b.run", 2, 0), "[1] []");
    assert_eq!(turn("1.0.b.run 2.1.b.run 3.2.b.run", 1, 0), "[2, 3] []");
    assert_eq!(turn("1.0.b.run 2.1.b.run", 0, 0), "[1, 2] []");
    // Slot 0 is free now, and the next one takes it.
    assert_eq!(turn("2.1.b.run 3.2.b.run", 3, 0), "[] [0]");
}

#[test]
fn a_slot_is_free_when_what_was_cancelled_there_is_over() {
    assert_eq!(turn("1.0.b.going 2.1.b.run", 2, 0), "[] []");
}

#[test]
fn a_changed_template_replaces_a_quarter_at_once() {
    let four = "1.0.a.run 2.1.a.run 3.2.a.run 4.3.a.run";
    assert_eq!(turn(four, 4, 0), "[1] []");
    let eight = format!("{four} 5.4.a.run 6.5.a.run 7.6.a.run 8.7.a.run");
    assert_eq!(turn(&eight, 8, 0), "[1, 2] []");
    // No more before what was replaced is available.
    assert_eq!(turn("2.1.a.run 3.2.a.run 4.3.a.run", 4, 0), "[] [0]");
    assert_eq!(turn("5.0.b.wait 2.1.a.run 3.2.a.run 4.3.a.run", 4, 0), "[] []");
    assert_eq!(turn("5.0.b.new 2.1.a.run 3.2.a.run 4.3.a.run", 4, 0), "[] []");
    assert_eq!(turn("5.0.b.run 2.1.a.run 3.2.a.run 4.3.a.run", 4, 0), "[2] []");
}

#[test]
fn a_changed_template_replaces_what_is_not_available_anyway_first() {
    assert_eq!(turn("1.0.a.wait 2.1.a.run 3.2.a.new", 3, 0), "[1, 3] []");
}

#[test]
fn one_that_ended_is_replaced_at_once_and_later_each_time_that_it_ends_soon() {
    assert_eq!(turn("1.0.b.end", 1, 0), "[] [0]");
    assert_eq!(turn("1.0.b.end 2.0.b.end", 1, 9), "[] []");
    assert_eq!(turn("1.0.b.end 2.0.b.end", 1, 10), "[] [0]");
    assert_eq!(turn("1.0.b.end 2.0.b.end 3.0.b.end", 1, 19), "[] []");
    assert_eq!(turn("1.0.b.end 2.0.b.end 3.0.b.end", 1, 20), "[] [0]");
    assert_eq!(turn("1.0.b.late 2.0.b.late 3.0.b.late", 1, 0), "[] [0]");
    assert_eq!(turn("1.0.b.cut 2.0.b.cut 3.0.b.cut", 1, 0), "[] [0]");
    assert_eq!(
        turn("1.0.a.end 2.0.a.end 3.0.a.end", 1, 0),
        "[] [0]",
        "another template"
    );
    assert_eq!(
        turn("1.0.b.end 2.0.b.end 3.1.b.run", 2, 0),
        "[] []",
        "that slot alone"
    );
}

#[test]
fn the_share_is_counted() {
    let share = Share::of("1.0.b.run 2.1.b.new 3.2.b.wait 4.3.b.going 5.4.a.run", 0);
    let said = share.slots().observe(7).expect("a share");
    assert_eq!(
        (said.replicas, said.counts.running, said.counts.pending),
        (4, 3, 1)
    );
    assert_eq!((said.active, said.settled, said.started), (5, 3, Started::Yes));
    assert_eq!(said.stamp.spec_hash, "a", "of the one that was submitted last");
    assert_eq!(
        said.trouble.map(|trouble| trouble.reason).as_deref(),
        Some("Resources")
    );
    let rollout = said.rollout.expect("a rollout");
    assert_eq!((rollout.generation, rollout.existing, rollout.ready), (7, 4, 3));
    assert_eq!((rollout.updated, rollout.available), (1, 2));
    assert!(!said.deleting && rollout.stuck.is_none());
}

#[test]
fn what_was_taken_away_is_gone_when_it_is_over() {
    let said = Share::of("1.0.b.going", 0).slots().observe(1).expect("a share");
    assert!(said.deleting && said.replicas == 0 && said.active == 1);
    let mut share = Share::of("1.0.b.end", 0);
    assert!(share.slots().observe(1).is_some());
    share.past.remove("1/1".into());
    assert_eq!(share.slots().observe(1), None);
}

#[test]
fn a_template_that_keeps_ending_is_stuck_and_says_how_it_ended() {
    let stuck = |text: &str| {
        let said = Share::of(text, 0).slots().observe(1).expect("a share");
        said.rollout.and_then(|rollout| rollout.stuck)
    };
    assert_eq!(stuck("1.0.b.end 2.0.b.end"), None);
    let trouble = stuck("1.0.b.end 2.0.b.end 3.0.b.end").expect("stuck");
    assert_eq!(trouble.reason, "NonZeroExitCode");
    assert_eq!(
        trouble.message,
        "replica 0: exit code 3 (FAILED); it ended 3 times, and is submitted again after 20 s"
    );
    assert_eq!(
        stuck("1.0.b.end 2.0.b.end 3.0.b.end 4.0.b.run"),
        None,
        "it runs by now"
    );
    assert_eq!(stuck("1.0.b.late 2.0.b.late 3.0.b.late"), None, "each ran long");
    assert_eq!(stuck("1.0.b.cut 2.0.b.cut 3.0.b.cut"), None);
}

#[test]
fn the_generation_changes_with_what_is_there_and_with_time_only_while_one_waits_for_it() {
    let mut past = Past::default();
    let mut generation = |text: &str, now: Seconds| {
        let arrays: Vec<Array> = text.split_whitespace().map(array).collect();
        past.take_in(&arrays, now);
        past.generation(&arrays[0].key)
    };
    let first = generation("1.0.b.wait", NOW);
    assert_eq!(
        generation("1.0.b.run", NOW + 1),
        first,
        "it started, as was wanted"
    );
    assert_eq!(generation("1.0.b.run", NOW + 60), first);
    let second = generation("1.0.b.end 2.0.b.end", NOW + 61);
    assert!(second > first);
    assert_eq!(generation("1.0.b.end 2.0.b.end", NOW + 70), second);
    let third = generation("1.0.b.end 2.0.b.end", NOW + 71);
    assert!(third > second, "the next one is due");
}

#[test]
fn the_generation_changes_while_a_template_takes_the_place_of_another() {
    let arrays: Vec<Array> = ["3.0.b.new", "4.1.a.run"].map(array).into();
    let mut past = Past::default();
    let mut generation = |now: Seconds| {
        past.take_in(&arrays, now);
        past.generation(&arrays[0].key)
    };
    let first = generation(NOW);
    assert_eq!(generation(NOW + AVAILABLE_AFTER - 2), first);
    assert!(generation(NOW + AVAILABLE_AFTER - 1) > first, "it is available");
}

#[test]
fn the_generation_does_not_fall_when_the_member_is_connected_anew() {
    let arrays: Vec<Array> = ["1.0.b.run"].map(array).into();
    let key = &arrays[0].key;
    let (mut first, mut second) = (Past::default(), Past::default());
    first.take_in(&arrays, NOW);
    first.take_in(&["1.0.b.run", "2.1.b.wait"].map(array), NOW + 5);
    second.take_in(&arrays, NOW + 30);
    assert!(second.generation(key) > first.generation(key));
}
