//! Shares of SkyDeployments: made as wanted, scaled, told of, taken away.

use futures::stream::BoxStream;
use sky_core::observation::{Item, MemberEvent, Observation};
use sky_core::share::{Share, ShareKey};
use sky_core::workload::Kind;

use super::dispatch::{class, gone};
use super::{Failure, Scene, Verdict, expect, hear};
use crate::{Class, Desired, Ensured, Scale, Withdraw, Withdrawn};

/// As `Scene::share`, of a SkyDeployment.
fn share(scene: &Scene<'_>, name: &str) -> Share {
    let mut share = scene.share(name);
    share.key.kind = Kind::SkyDeployment;
    share.stamp.kind = Kind::SkyDeployment;
    share
}

/// Ensures the share; the generation of its object then.
async fn applied(scene: &Scene<'_>, share: &Share) -> Result<i64, Failure> {
    match scene.ensure(share).await? {
        Ensured::AsWanted(generation) => Ok(generation),
        other => Err(Failure(format!("ensure: {other:?}"))),
    }
}

/// The first observation of the share that is as `holds` wants it.
async fn seen(
    events: &mut BoxStream<'static, MemberEvent>,
    key: &ShareKey,
    what: &str,
    holds: impl Fn(&Observation) -> bool,
) -> Result<Observation, Failure> {
    hear(events, what, |event| {
        let items = match event {
            MemberEvent::Reset(items) | MemberEvent::Changed { upserts: items, .. } => items,
            MemberEvent::Lost(_) => return None,
        };
        let mut shares = items.iter().filter_map(|item| match item {
            Item::Share(share) if share.key == *key => Some(share),
            _ => None,
        });
        shares.find(|share| holds(share)).cloned()
    })
    .await
}

pub(super) async fn a_deployment_is_made_as_wanted_and_repeating_that_changes_nothing(
    scene: &Scene<'_>,
) -> Verdict {
    let mut wanted = share(scene, "web");
    let first = applied(scene, &wanted).await?;
    expect(
        "generation after a repetition",
        applied(scene, &wanted).await?,
        first,
    )?;
    let mut events = scene.member.events();
    let found = seen(&mut events, &wanted.key, "the share", |_| true).await?;
    expect("stamp", &found.stamp, &wanted.stamp)?;
    expect("replicas", found.replicas, 1)?;
    wanted.replicas = 3;
    let second = applied(scene, &wanted).await?;
    expect("a changed number is a new generation", second > first, true)?;
    let found = seen(&mut events, &wanted.key, "three replicas", |share| {
        share.replicas == 3
    })
    .await?;
    let generation = found.rollout.map(|rollout| rollout.generation);
    expect("generation that is told", generation, Some(second))
}

pub(super) async fn only_the_number_of_a_deployments_replicas_is_changed(scene: &Scene<'_>) -> Verdict {
    let before = share(scene, "scaled");
    applied(scene, &before).await?;
    let mut stamp = before.stamp.clone();
    stamp.spec_hash = "0ther".into();
    let scale = Scale {
        key: before.key.clone(),
        stamp,
        replicas: 2,
        template: Some(Box::new(before.clone())),
    };
    scene.member.ensure(Desired::Replicas(Box::new(scale))).await?;
    let mut events = scene.member.events();
    let found = seen(&mut events, &before.key, "two replicas", |share| {
        share.replicas == 2
    })
    .await?;
    expect(
        "hash of the template",
        found.stamp.spec_hash,
        before.stamp.spec_hash,
    )
}

pub(super) async fn a_deployment_that_is_not_there_is_not_scaled(scene: &Scene<'_>) -> Verdict {
    let share = share(scene, "absent");
    let scale = Scale {
        key: share.key,
        stamp: share.stamp,
        replicas: 2,
        template: None,
    };
    let answer = scene.member.ensure(Desired::Replicas(Box::new(scale))).await;
    expect("scale", class(answer), Some(Class::Throttled))
}

pub(super) async fn a_deployment_of_another_share_under_the_name_is_a_conflict(scene: &Scene<'_>) -> Verdict {
    let first = share(scene, "taken");
    applied(scene, &first).await?;
    let mut second = first.clone();
    second.stamp.share = "2-0".into();
    expect(
        "ensure",
        class(scene.ensure(&second).await),
        Some(Class::Conflict),
    )
}

pub(super) async fn another_hosts_deployment_is_not_taken_away(scene: &Scene<'_>) -> Verdict {
    let mut theirs = share(scene, "theirs");
    theirs.stamp.origin = "another-host".into();
    applied(scene, &theirs).await?;
    let answer = scene.member.withdraw(&theirs.key, Withdraw::Remove).await;
    expect("withdraw", class(answer), Some(Class::Conflict))
}

pub(super) async fn a_deployment_that_is_withdrawn_shows_as_gone(scene: &Scene<'_>) -> Verdict {
    let share = share(scene, "gone");
    applied(scene, &share).await?;
    let mut events = scene.member.events();
    seen(&mut events, &share.key, "the share", |_| true).await?;
    let answer = scene.member.withdraw(&share.key, Withdraw::Remove).await?;
    expect("withdraw", answer, Withdrawn::Going)?;
    hear(&mut events, "event that it is gone", |event| {
        gone(event, &share.key)
    })
    .await?;
    let answer = scene.member.withdraw(&share.key, Withdraw::Remove).await?;
    expect("withdraw of what is gone", answer, Withdrawn::Gone)
}
