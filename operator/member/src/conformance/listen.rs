//! Cases about what a member says of itself.

use sky_core::observation::{Item, MemberEvent, Observation, Started};
use sky_core::share::ShareKey;

use super::dispatch::gone;
use super::{Failure, Scene, Verdict, expect, hear};
use crate::Withdraw;

/// The share under `key`, where an event shows it.
pub(super) fn shown(event: &MemberEvent, key: &ShareKey) -> Option<Observation> {
    let items = match event {
        MemberEvent::Reset(items) => items,
        MemberEvent::Changed { upserts, .. } => upserts,
        MemberEvent::Lost(_) => return None,
    };
    items.iter().find_map(|item| match item {
        Item::Share(share) if share.key == *key => Some(share.clone()),
        Item::Share(_) | Item::Node(_) | Item::Namespace(_) => None,
    })
}

pub(super) async fn events_begin_with_a_reset_of_what_is_there(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("there");
    scene.ensure(&share).await?;
    let mut events = scene.member.events();
    let items = hear(&mut events, "first event", |event| Some(event.clone())).await?;
    let MemberEvent::Reset(items) = items else {
        return Err(Failure(format!("the first event is no Reset: {items:?}")));
    };
    let nodes = items.iter().filter(|item| matches!(item, Item::Node(_))).count();
    expect("whether there are nodes", nodes > 0, true)?;
    let listed = shown(&MemberEvent::Reset(items), &share.key);
    expect(
        "the stamp listed",
        listed.map(|seen| seen.stamp),
        Some(share.stamp),
    )
}

pub(super) async fn an_ensured_share_shows_up_with_its_stamp(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.member.events();
    hear(&mut events, "first event", |_| Some(())).await?;
    let mut share = scene.share("seen");
    share.replicas = 3;
    share.stamp.run = "run of 1/2".into();
    share.stamp.attempt = 2;
    scene.ensure(&share).await?;
    let seen = hear(&mut events, "event of the share", |event| {
        shown(event, &share.key)
    })
    .await?;
    expect("stamp", seen.stamp, share.stamp)?;
    expect("replicas", seen.replicas, 3)?;
    expect("pending", seen.counts.pending, 3)?;
    expect("settled", seen.settled, 0)?;
    expect("started", seen.started, Started::No)?;
    expect("deleting", seen.deleting, false)?;
    expect("tombstone", seen.tombstone, None)?;
    expect("end", seen.end, None)?;
    expect("whether it has an instance", seen.instance.is_empty(), false)
}

pub(super) async fn a_suspended_share_shows_as_suspended(scene: &Scene<'_>) -> Verdict {
    let mut share = scene.share("paused");
    scene.ensure(&share).await?;
    let mut events = scene.member.events();
    for suspended in [false, true, false] {
        share.suspended = suspended;
        scene.ensure(&share).await?;
        let as_wanted =
            |event: &MemberEvent| shown(event, &share.key).filter(|seen| seen.suspended == suspended);
        let seen = hear(
            &mut events,
            &format!("event with suspended {suspended}"),
            as_wanted,
        )
        .await?;
        expect("pending", seen.counts.pending, 1)?;
    }
    Ok(())
}

pub(super) async fn a_withdrawn_share_shows_as_gone(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("leaving");
    scene.ensure(&share).await?;
    let mut events = scene.member.events();
    hear(&mut events, "the share", |event| shown(event, &share.key)).await?;
    scene.member.withdraw(&share.key, Withdraw::Remove).await?;
    hear(&mut events, "event that it is gone", |event| {
        gone(event, &share.key)
    })
    .await
}

pub(super) async fn a_share_deleted_by_somebody_else_shows_as_gone(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("deleted");
    scene.ensure(&share).await?;
    let mut events = scene.member.events();
    hear(&mut events, "the share", |event| shown(event, &share.key)).await?;
    scene.subject.delete(&share.key).await?;
    hear(&mut events, "event that it is gone", |event| {
        gone(event, &share.key)
    })
    .await?;
    // Under the name, another one is another one.
    scene.ensure(&share).await?;
    hear(&mut events, "the share anew", |event| {
        shown(event, &share.key).filter(|seen| !seen.deleting)
    })
    .await
    .map(drop)
}

pub(super) async fn every_listener_hears_everything(scene: &Scene<'_>) -> Verdict {
    let mut first = scene.member.events();
    let mut second = scene.member.events();
    hear(&mut first, "first event", |_| Some(())).await?;
    hear(&mut second, "first event", |_| Some(())).await?;
    let share = scene.share("heard");
    scene.ensure(&share).await?;
    hear(&mut first, "the share, by one", |event| shown(event, &share.key)).await?;
    hear(&mut second, "the share, by the other", |event| {
        shown(event, &share.key)
    })
    .await?;
    Ok(())
}
