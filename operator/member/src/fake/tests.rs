//! What tests can bring about with a fake beyond the conformance suite: replicas that start in between, or go unseen.

use sky_core::ranks::Ranks;
use sky_core::share::{Share, Stamp};
use sky_core::workload::Kind;

use super::*;
use crate::Tombstone;

fn stamp() -> Stamp {
    Stamp {
        origin: "o".into(),
        kind: Kind::SkyJob,
        namespace: "n".into(),
        name: "j".into(),
        uid: "u".into(),
        run: String::new(),
        share: "1-0".into(),
        attempt: 1,
        spec_hash: "h".into(),
    }
}

fn key() -> ShareKey {
    ShareKey {
        kind: sky_core::workload::Kind::SkyJob,
        namespace: "n".into(),
        object: "j-1".into(),
    }
}

/// A member with the two replicas of a share on its node.
async fn placed() -> Fake {
    let fake = Fake::new("c", "o", vec![node("n", 4000)]);
    let tombstone = Tombstone {
        stamp: stamp(),
        since: 0,
    };
    let share = Share {
        replicas: 2,
        total_replicas: 2,
        ranks: Ranks::consecutive(0, 2),
        suspended: false,
        requests: Resources::new(1000, 1),
        ..held::inert(&key(), &tombstone)
    };
    fake.ensure(Desired::Share(Box::new(share)))
        .await
        .expect("a share");
    fake.place("j");
    fake
}

async fn hold_back(fake: &Fake) -> Withdrawn {
    fake.withdraw(&key(), Withdraw::IfNotStarted)
        .await
        .expect("an answer")
}

fn seen(fake: &Fake) -> Observation {
    fake.shares_of("j").pop().expect("the share")
}

#[tokio::test]
async fn a_replica_can_start_between_the_look_and_its_end() {
    let fake = placed().await;
    fake.cling(true);
    assert_eq!(hold_back(&fake).await, Withdrawn::Going);
    assert_eq!((seen(&fake).active, seen(&fake).started), (2, Started::No));
    fake.start("j");
    fake.let_replicas_go();
    assert_eq!((seen(&fake).active, seen(&fake).started), (0, Started::Yes));
    assert_eq!(seen(&fake).settled, 2);
}

#[tokio::test]
async fn replicas_of_a_share_that_is_held_back_are_gone_at_once_otherwise() {
    let fake = placed().await;
    hold_back(&fake).await;
    fake.start("j");
    assert_eq!((seen(&fake).active, seen(&fake).started), (0, Started::No));
}

#[tokio::test]
async fn replicas_that_vanish_leave_it_unknown_whether_they_started() {
    let fake = placed().await;
    fake.vanish("j");
    assert_eq!(seen(&fake).started, Started::Unknown);
    fake.place("j");
    fake.start("j");
    fake.vanish("j");
    assert_eq!(seen(&fake).started, Started::Yes);
}

#[tokio::test]
async fn what_succeeded_stays_done_in_a_tombstone() {
    let fake = placed().await;
    fake.start("j");
    fake.succeed_one("j", 1);
    assert_eq!(hold_back(&fake).await, Withdrawn::Started);
    let tombstone = Tombstone {
        stamp: stamp(),
        since: 9,
    };
    fake.withdraw(&key(), Withdraw::Always(tombstone))
        .await
        .expect("an answer");
    fake.succeed("j");
    let seen = seen(&fake);
    assert_eq!(
        (seen.done.to_string(), seen.active, seen.end),
        ("1".into(), 0, None)
    );
    assert_eq!((seen.suspended, seen.tombstone), (true, Some(9)));
    assert_eq!(fake.effects(), ["create j/1-0", "bury j/1-0"]);
}
