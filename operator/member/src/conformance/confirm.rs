//! Cases about managers that hold an object back until its instance is recorded.

use futures::stream::BoxStream;
use sky_core::observation::{MemberEvent, Observation};
use sky_core::share::{Share, ShareKey};

use super::dispatch::class;
use super::listen::shown;
use super::{Failure, Scene, Verdict, expect, hear};
use crate::{Class, Ensured};

/// The share as it is held back for its confirmation.
async fn held(events: &mut BoxStream<'static, MemberEvent>, key: &ShareKey) -> Result<Observation, Failure> {
    let waits = |seen: &Observation| seen.confirm.is_some();
    hear(events, "the share held back", |event| {
        shown(event, key).filter(waits)
    })
    .await
}

/// Names the instance that is there, which releases it.
pub(super) async fn release(
    scene: &Scene<'_>,
    share: &mut Share,
    events: &mut BoxStream<'static, MemberEvent>,
) -> Result<(), Failure> {
    share.instance = Some(held(events, &share.key).await?.instance);
    expect("release", scene.ensure(share).await?, Ensured::Updated)
}

pub(super) async fn a_share_is_held_until_its_instance_is_named(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.member.events();
    hear(&mut events, "first event", |_| Some(())).await?;
    let mut share = scene.share("held");
    expect("ensure", scene.ensure(&share).await?, Ensured::Created)?;
    let seen = held(&mut events, &share.key).await?;
    expect("suspended", seen.suspended, false)?;
    expect("settled", seen.settled, 0)?;
    expect("active", seen.active, 0)?;
    expect("ensure again", scene.ensure(&share).await?, Ensured::Present)?;
    share.instance = Some(seen.instance);
    expect("release", scene.ensure(&share).await?, Ensured::Updated)?;
    let released = |event: &MemberEvent| shown(event, &share.key).filter(|seen| seen.confirm.is_none());
    let seen = hear(&mut events, "the share released", released).await?;
    expect("pending", seen.counts.pending, 1)?;
    expect("release again", scene.ensure(&share).await?, Ensured::Present)?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)
}

pub(super) async fn another_instance_than_the_one_there_is_not_released(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.member.events();
    hear(&mut events, "first event", |_| Some(())).await?;
    let mut share = scene.share("other");
    share.instance = Some("0/none".into());
    let answer = class(scene.ensure(&share).await);
    expect("ensure of what is lost", answer, Some(Class::Throttled))?;
    share.instance = None;
    scene.ensure(&share).await?;
    held(&mut events, &share.key).await?;
    share.instance = Some("0/none".into());
    let answer = class(scene.ensure(&share).await);
    expect("ensure of another", answer, Some(Class::Throttled))?;
    share.instance = None;
    expect("ensure", scene.ensure(&share).await?, Ensured::Present)?;
    let mut again = scene.member.events();
    held(&mut again, &share.key).await.map(drop)
}

pub(super) async fn a_share_that_is_suspended_waits_for_no_confirmation(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.member.events();
    hear(&mut events, "first event", |_| Some(())).await?;
    let mut share = scene.share("suspended");
    share.suspended = true;
    scene.ensure(&share).await?;
    let seen = hear(&mut events, "the share", |event| shown(event, &share.key)).await?;
    expect("suspended", seen.suspended, true)?;
    expect("confirm", seen.confirm, None)?;
    share.suspended = false;
    expect("resumed", scene.ensure(&share).await?, Ensured::Updated)?;
    release(scene, &mut share, &mut events).await
}
