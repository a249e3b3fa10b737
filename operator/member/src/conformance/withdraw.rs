//! Cases about shares that are held back or made tombstones: evictions rest on them.

use futures::stream::BoxStream;
use sky_core::Seconds;
use sky_core::observation::{MemberEvent, Observation, Started};
use sky_core::share::{Share, ShareKey};

use super::dispatch::{class, gone};
use super::listen::shown;
use super::{Failure, Scene, Verdict, expect, hear};
use crate::{Class, Ensured, Tombstone, Withdraw, Withdrawn};

const SINCE: Seconds = 1_700_000_000;

fn tombstone(share: &Share) -> Withdraw {
    let stamp = share.stamp.clone();
    Withdraw::Always(Tombstone { stamp, since: SINCE })
}

/// What is said of the share once it is held back and nothing of it is left to run.
async fn at_rest(
    events: &mut BoxStream<'static, MemberEvent>,
    key: &ShareKey,
) -> Result<Observation, Failure> {
    let rests = |seen: &Observation| seen.suspended && seen.active == 0;
    hear(events, "the share at rest", |event| {
        shown(event, key).filter(rests)
    })
    .await
}

/// Listens; what is there before is not told again.
async fn listen(scene: &Scene<'_>) -> Result<BoxStream<'static, MemberEvent>, Failure> {
    let mut events = scene.member.events();
    hear(&mut events, "first event", |_| Some(())).await?;
    Ok(events)
}

pub(super) async fn if_not_started_suspends_what_has_not_started(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("waiting");
    share.replicas = 3;
    scene.ensure(&share).await?;
    let withdraw = || scene.member.withdraw(&share.key, Withdraw::IfNotStarted);
    expect("withdraw", withdraw().await?, Withdrawn::Going)?;
    expect("withdraw again", withdraw().await?, Withdrawn::Going)?;
    let seen = at_rest(&mut events, &share.key).await?;
    expect("started", seen.started, Started::No)?;
    expect("done", seen.done.count(), 0)?;
    expect("tombstone", seen.tombstone, None)?;
    expect("settled", seen.settled, 3)?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)
}

pub(super) async fn what_was_held_back_can_be_resumed(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("resumed");
    scene.ensure(&share).await?;
    scene.member.withdraw(&share.key, Withdraw::IfNotStarted).await?;
    at_rest(&mut events, &share.key).await?;
    share.known = true;
    expect("ensure", scene.ensure(&share).await?, Ensured::Updated)?;
    let resumed = |event: &MemberEvent| shown(event, &share.key).filter(|seen| !seen.suspended);
    let seen = hear(&mut events, "the share resumed", resumed).await?;
    expect("pending", seen.counts.pending, 1)
}

pub(super) async fn if_not_started_of_what_is_not_there_is_gone(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("nothing");
    let answer = scene.member.withdraw(&share.key, Withdraw::IfNotStarted).await?;
    expect("withdraw", answer, Withdrawn::Gone)?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 0)
}

pub(super) async fn a_share_with_a_started_replica_is_left_alone(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("running");
    scene.ensure(&share).await?;
    scene.start(&mut share, &mut events).await?;
    let started = |event: &MemberEvent| shown(event, &share.key).filter(|seen| seen.started == Started::Yes);
    hear(&mut events, "the share started", started).await?;
    let answer = scene.member.withdraw(&share.key, Withdraw::IfNotStarted).await?;
    expect("withdraw", answer, Withdrawn::Started)?;
    expect("ensure", scene.ensure(&share).await?, Ensured::Present)
}

pub(super) async fn a_replica_that_started_is_remembered_when_it_is_gone(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("killed");
    scene.ensure(&share).await?;
    scene.start(&mut share, &mut events).await?;
    scene.member.withdraw(&share.key, tombstone(&share)).await?;
    let seen = at_rest(&mut events, &share.key).await?;
    expect("started", seen.started, Started::Yes)?;
    expect("tombstone", seen.tombstone, Some(SINCE))
}

pub(super) async fn a_tombstone_takes_the_name_of_what_is_not_there(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("late");
    let withdraw = || scene.member.withdraw(&share.key, tombstone(&share));
    expect("withdraw", withdraw().await?, Withdrawn::Going)?;
    expect("withdraw again", withdraw().await?, Withdrawn::Going)?;
    let seen = at_rest(&mut events, &share.key).await?;
    expect("stamp", seen.stamp, share.stamp.clone())?;
    expect("tombstone", seen.tombstone, Some(SINCE))?;
    expect("started", seen.started, Started::No)?;
    expect("trouble", seen.trouble, None)?;
    refused(scene, &mut share).await
}

/// The share is a tombstone: whoever wants it here has a conflict, and it stays as it is.
async fn refused(scene: &Scene<'_>, share: &mut Share) -> Verdict {
    for (known, suspended) in [(false, false), (false, true), (true, false), (true, true)] {
        share.known = known;
        share.suspended = suspended;
        let what = format!("ensure, known {known}, suspended {suspended}");
        expect(&what, class(scene.ensure(share).await), Some(Class::Conflict))?;
    }
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)?;
    let mut events = scene.member.events();
    let seen = hear(&mut events, "the tombstone", |event| shown(event, &share.key)).await?;
    expect("suspended", seen.suspended, true)?;
    expect("tombstone", seen.tombstone, Some(SINCE))
}

pub(super) async fn a_present_share_becomes_a_tombstone_for_good(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("evicted");
    scene.ensure(&share).await?;
    let answer = scene.member.withdraw(&share.key, tombstone(&share)).await?;
    expect("withdraw", answer, Withdrawn::Going)?;
    let seen = at_rest(&mut events, &share.key).await?;
    expect("tombstone", seen.tombstone, Some(SINCE))?;
    expect("trouble", seen.trouble, None)?;
    expect("end", seen.end, None)?;
    let later = Withdraw::Always(Tombstone {
        stamp: share.stamp.clone(),
        since: SINCE + 60,
    });
    let answer = scene.member.withdraw(&share.key, later).await?;
    expect("withdraw later", answer, Withdrawn::Going)?;
    let held_back = scene.member.withdraw(&share.key, Withdraw::IfNotStarted).await?;
    expect("withdraw if not started", held_back, Withdrawn::Going)?;
    refused(scene, &mut share).await
}

pub(super) async fn what_is_held_back_becomes_a_tombstone(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let mut share = scene.share("both");
    scene.ensure(&share).await?;
    scene.member.withdraw(&share.key, Withdraw::IfNotStarted).await?;
    at_rest(&mut events, &share.key).await?;
    scene.member.withdraw(&share.key, tombstone(&share)).await?;
    let buried = |event: &MemberEvent| shown(event, &share.key).filter(|seen| seen.tombstone == Some(SINCE));
    let seen = hear(&mut events, "the tombstone", buried).await?;
    expect("active", seen.active, 0)?;
    expect("started", seen.started, Started::No)?;
    refused(scene, &mut share).await
}

pub(super) async fn remove_deletes_a_tombstone(scene: &Scene<'_>) -> Verdict {
    let mut events = listen(scene).await?;
    let share = scene.share("over");
    scene.member.withdraw(&share.key, tombstone(&share)).await?;
    let seen = |event: &MemberEvent| shown(event, &share.key);
    hear(&mut events, "the tombstone", seen).await?;
    let answer = scene.member.withdraw(&share.key, Withdraw::Remove).await?;
    expect("withdraw", answer, Withdrawn::Going)?;
    hear(&mut events, "event that it is gone", |event| {
        gone(event, &share.key)
    })
    .await?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 0)?;
    expect("ensure", scene.ensure(&share).await?, Ensured::Created)
}

pub(super) async fn a_foreign_object_is_neither_held_back_nor_made_a_tombstone(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("foreign");
    scene.subject.plant(&share.key).await?;
    for how in [Withdraw::IfNotStarted, tombstone(&share)] {
        let what = format!("withdraw {how:?}");
        let answer = scene.member.withdraw(&share.key, how).await;
        expect(&what, class(answer), Some(Class::Conflict))?;
    }
    let untouched = scene.subject.is_untouched(&share.key).await?;
    expect("the foreign object is untouched", untouched, true)
}

pub(super) async fn a_share_of_another_run_is_not_made_a_tombstone(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("newer");
    scene.ensure(&share).await?;
    let mut other = share.clone();
    other.stamp.run = "before".into();
    let answer = scene.member.withdraw(&share.key, tombstone(&other)).await;
    expect("withdraw", class(answer), Some(Class::Conflict))?;
    expect("ensure", scene.ensure(&share).await?, Ensured::Present)
}

pub(super) async fn another_hosts_share_is_not_held_back(scene: &Scene<'_>) -> Verdict {
    let mut share = scene.share("theirs");
    share.stamp.origin = "another-host".into();
    scene.ensure(&share).await?;
    let answer = scene.member.withdraw(&share.key, Withdraw::IfNotStarted).await;
    expect("withdraw", class(answer), Some(Class::Conflict))?;
    expect("ensure", scene.ensure(&share).await?, Ensured::Present)
}
