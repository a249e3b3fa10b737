//! Cases about what calls do: ensure, withdraw, logs.

use futures::future::join_all;

use super::{Failure, Scene, Verdict, expect, hear};
use crate::{Class, Ensured, LogQuery, MemberError, Withdraw, Withdrawn};
use sky_core::namespace::Wanted;
use sky_core::observation::{ItemKey, MemberEvent};
use sky_core::share::ShareKey;

pub(super) fn class<T>(answer: Result<T, MemberError>) -> Option<Class> {
    answer.err().map(|error| error.class)
}

pub(super) async fn ensure_creates_once_and_may_be_repeated(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("once");
    expect("first ensure", scene.ensure(&share).await?, Ensured::Created)?;
    expect("second ensure", scene.ensure(&share).await?, Ensured::Present)?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)
}

pub(super) async fn ensure_after_a_lost_reply_finds_what_the_first_one_created(scene: &Scene<'_>) -> Verdict {
    // The namespace is there before, so that the reply that is lost is the one to the share's creation.
    scene.make(Wanted::Needed).await?;
    let share = scene.share("lost");
    scene.subject.lose_next_reply();
    expect(
        "ensure without a reply",
        class(scene.ensure(&share).await),
        Some(Class::Unreachable),
    )?;
    expect("ensure again", scene.ensure(&share).await?, Ensured::Present)?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)
}

pub(super) async fn a_foreign_object_of_the_name_is_a_conflict_and_stays(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("taken");
    scene.subject.plant(&share.key).await?;
    expect("ensure", class(scene.ensure(&share).await), Some(Class::Conflict))?;
    expect(
        "the foreign object is untouched",
        scene.subject.is_untouched(&share.key).await?,
        true,
    )
}

pub(super) async fn a_share_of_another_run_under_the_name_is_a_conflict(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("run");
    scene.ensure(&share).await?;
    let mut other = share.clone();
    other.stamp.run = "again".into();
    expect("ensure", class(scene.ensure(&other).await), Some(Class::Conflict))?;
    expect("the first one", scene.ensure(&share).await?, Ensured::Present)
}

pub(super) async fn a_share_is_suspended_and_resumed(scene: &Scene<'_>) -> Verdict {
    let mut share = scene.share("held");
    share.suspended = true;
    expect("created suspended", scene.ensure(&share).await?, Ensured::Created)?;
    // More than once: the member works on it meanwhile, and its changes must not get in the way.
    for round in 0..3 {
        for suspended in [false, true] {
            share.suspended = suspended;
            let what = format!("round {round}, suspended {suspended}");
            expect(&what, scene.ensure(&share).await?, Ensured::Updated)?;
            expect(
                &format!("{what}, repeated"),
                scene.ensure(&share).await?,
                Ensured::Present,
            )?;
        }
    }
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)
}

pub(super) async fn a_share_that_was_seen_is_changed_but_never_created_anew(scene: &Scene<'_>) -> Verdict {
    let mut share = scene.share("known");
    scene.ensure(&share).await?;
    share.known = true;
    share.suspended = true;
    expect("ensure", scene.ensure(&share).await?, Ensured::Updated)?;
    let mut events = scene.member.events();
    hear(&mut events, "first event", |_| Some(())).await?;
    scene.subject.delete(&share.key).await?;
    hear(&mut events, "event that it is gone", |event| {
        gone(event, &share.key)
    })
    .await?;
    expect(
        "ensure of what is gone",
        class(scene.ensure(&share).await),
        Some(Class::Throttled),
    )?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 0)
}

pub(super) async fn withdraw_removes_and_may_be_repeated(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("gone");
    expect(
        "withdraw of what never was",
        scene.member.withdraw(&share.key, Withdraw::Remove).await?,
        Withdrawn::Gone,
    )?;
    scene.ensure(&share).await?;
    let mut events = scene.member.events();
    hear(&mut events, "Reset", |event| {
        matches!(event, MemberEvent::Reset(_)).then_some(())
    })
    .await?;
    expect(
        "withdraw",
        scene.member.withdraw(&share.key, Withdraw::Remove).await?,
        Withdrawn::Going,
    )?;
    scene.member.withdraw(&share.key, Withdraw::Remove).await?;
    hear(&mut events, "event that it is gone", |event| {
        gone(event, &share.key)
    })
    .await?;
    expect(
        "withdraw of what is gone",
        scene.member.withdraw(&share.key, Withdraw::Remove).await?,
        Withdrawn::Gone,
    )?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 0)
}

pub(super) fn gone(event: &MemberEvent, key: &ShareKey) -> Option<()> {
    let MemberEvent::Changed { gone, .. } = event else {
        return None;
    };
    gone.contains(&ItemKey::Share(key.clone())).then_some(())
}

pub(super) async fn withdraw_of_a_foreign_object_is_a_conflict_and_it_stays(scene: &Scene<'_>) -> Verdict {
    let key = scene.share("foreign").key;
    scene.subject.plant(&key).await?;
    expect(
        "withdraw",
        class(scene.member.withdraw(&key, Withdraw::Remove).await),
        Some(Class::Conflict),
    )?;
    expect(
        "the foreign object is untouched",
        scene.subject.is_untouched(&key).await?,
        true,
    )
}

pub(super) async fn withdraw_of_another_hosts_share_is_a_conflict(scene: &Scene<'_>) -> Verdict {
    let mut share = scene.share("theirs");
    share.stamp.origin = "another-host".into();
    scene.ensure(&share).await?;
    expect(
        "withdraw",
        class(scene.member.withdraw(&share.key, Withdraw::Remove).await),
        Some(Class::Conflict),
    )?;
    expect("objects", scene.subject.count(&scene.namespace).await?, 1)
}

pub(super) async fn a_namespace_is_created_when_a_share_first_needs_it(scene: &Scene<'_>) -> Verdict {
    let there = || scene.subject.has_namespace(&scene.namespace);
    expect("the namespace before", there().await?, false)?;
    scene.ensure(&scene.share("first")).await?;
    expect("the namespace after", there().await?, true)?;
    expect(
        "ensure of it",
        scene.make(Wanted::Needed).await?,
        Ensured::Present,
    )
}

pub(super) async fn a_refused_template_is_rejected_in_the_members_words(scene: &Scene<'_>) -> Verdict {
    let (program, word) = scene.subject.refused();
    let mut share = scene.share("refused");
    share.program = program;
    match scene.ensure(&share).await {
        Err(error) if error.class == Class::Rejected && error.message.contains(word) => Ok(()),
        other => Err(Failure(format!(
            "ensure: found {other:?}, wanted Rejected with {word:?}"
        ))),
    }
}

pub(super) async fn fifty_shares_at_once_are_fifty_objects(scene: &Scene<'_>) -> Verdict {
    let shares: Vec<_> = (0..50)
        .map(|number| scene.share(&format!("burst-{number}")))
        .collect();
    for answer in join_all(shares.iter().map(|share| scene.ensure(share))).await {
        expect("ensure", answer?, Ensured::Created)?;
    }
    expect("objects", scene.subject.count(&scene.namespace).await?, 50)
}

pub(super) async fn a_replica_that_has_not_started_has_no_output(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("quiet");
    let query = |index| LogQuery {
        key: share.key.clone(),
        index,
        follow: false,
        tail: None,
    };
    let answer = class(scene.member.logs(query(0)).await.map(drop));
    expect("before the share is there", answer, Some(Class::Rejected))?;
    scene.ensure(&share).await?;
    // From here on the replica appears on the member, some time, and waits: at no moment has it output.
    for _ in 0..20 {
        let answer = class(scene.member.logs(query(0)).await.map(drop));
        expect("while it waits", answer, Some(Class::Rejected))?;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let answer = class(scene.member.logs(query(7)).await.map(drop));
    expect("of an index that is not there", answer, Some(Class::Rejected))
}
