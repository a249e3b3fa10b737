//! Cases about namespaces: who made one decides what may be done to it, and nothing is deleted with what it holds.

use futures::stream::BoxStream;
use sky_core::labels::Labels;
use sky_core::marks;
use sky_core::namespace::{Namespace, SeenNamespace, Wanted};
use sky_core::observation::{Item, ItemKey, MemberEvent};

use super::dispatch::class;
use super::{Failure, Scene, Verdict, expect, hear};
use crate::{Class, Desired, Ensured, MemberError, Withdraw};

const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

impl Scene<'_> {
    pub(super) async fn make(&self, wanted: Wanted) -> Result<Ensured, MemberError> {
        self.make_for(self.subject.origin(), wanted).await
    }

    async fn make_for(&self, origin: &str, wanted: Wanted) -> Result<Ensured, MemberError> {
        let namespace = Namespace {
            name: self.namespace.clone(),
            origin: origin.to_owned(),
            wanted,
        };
        self.member.ensure(Desired::Namespace(Box::new(namespace))).await
    }

    async fn listen(&self) -> Result<BoxStream<'static, MemberEvent>, Failure> {
        let mut events = self.member.events();
        hear(&mut events, "first event", |_| Some(())).await?;
        Ok(events)
    }

    /// The namespace as it is heard of, when it is as `is` says.
    async fn seen(
        &self,
        events: &mut BoxStream<'static, MemberEvent>,
        what: &str,
        is: impl Fn(&SeenNamespace) -> bool,
    ) -> Result<SeenNamespace, Failure> {
        let what = format!("event of the namespace {what}");
        hear(events, &what, |event| shown(event, &self.namespace).filter(&is)).await
    }

    async fn unseen(&self, events: &mut BoxStream<'static, MemberEvent>) -> Verdict {
        hear(events, "event that the namespace is gone", |event| {
            let MemberEvent::Changed { gone, .. } = event else {
                return None;
            };
            gone.contains(&ItemKey::Namespace(self.namespace.clone()))
                .then_some(())
        })
        .await
    }

    /// Asks for the removal of the namespace as it is seen, until what it holds has been counted.
    async fn remove(&self, seen: &SeenNamespace) -> Result<Ensured, MemberError> {
        for _ in 0..600 {
            let wanted = Wanted::Gone {
                instance: seen.instance.clone(),
                version: seen.version.clone(),
            };
            match self.make(wanted).await {
                Err(error) if error.class == Class::Throttled && error.message.contains("counted") => {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
        Err(MemberError::new(Class::Throttled, "not counted within a minute"))
    }
}

fn shown(event: &MemberEvent, name: &str) -> Option<SeenNamespace> {
    let items = match event {
        MemberEvent::Reset(items) => items,
        MemberEvent::Changed { upserts, .. } => upserts,
        MemberEvent::Lost(_) => return None,
    };
    items.iter().find_map(|item| match item {
        Item::Namespace(seen) if seen.name == name => Some(seen.clone()),
        _ => None,
    })
}

fn labels(team: &str) -> Labels {
    let pairs = [("team", team), (POD_SECURITY, "baseline")];
    let each = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    each.collect()
}

fn held(team: &str) -> Wanted {
    Wanted::Held {
        labels: labels(team),
        annotations: [("note".to_owned(), team.to_owned())].into(),
    }
}

fn team(seen: &SeenNamespace) -> Option<&str> {
    seen.labels.get("team").map(String::as_str)
}

pub(super) async fn a_namespace_is_created_and_kept_in_step(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.listen().await?;
    expect("created", scene.make(held("red")).await?, Ensured::Created)?;
    expect("repeated", scene.make(held("red")).await?, Ensured::Present)?;
    let red = |seen: &SeenNamespace| team(seen) == Some("red");
    let seen = scene.seen(&mut events, "with its label", red).await?;
    expect("created by us", seen.created, true)?;
    expect(
        "carries",
        seen.carries(&labels("red"), &[("note".to_owned(), "red".to_owned())].into()),
        true,
    )?;
    expect("changed", scene.make(held("blue")).await?, Ensured::Updated)?;
    let nothing = || Wanted::Held {
        labels: Labels::new(),
        annotations: Labels::new(),
    };
    expect(
        "no labels any more",
        scene.make(nothing()).await?,
        Ensured::Updated,
    )?;
    let bare = |seen: &SeenNamespace| team(seen).is_none() && !seen.annotations.contains_key("note");
    scene.seen(&mut events, "without them", bare).await?;
    expect("repeated", scene.make(nothing()).await?, Ensured::Present)
}

pub(super) async fn what_others_change_on_a_namespace_is_put_back_and_what_they_add_stays(
    scene: &Scene<'_>,
) -> Verdict {
    let mut events = scene.listen().await?;
    scene.make(held("red")).await?;
    scene
        .subject
        .label_namespace(&scene.namespace, "team", "theirs")
        .await?;
    scene
        .subject
        .label_namespace(&scene.namespace, "more", "theirs")
        .await?;
    let drifted = |seen: &SeenNamespace| team(seen) == Some("theirs") && seen.labels.contains_key("more");
    scene.seen(&mut events, "with what others wrote", drifted).await?;
    expect("put back", scene.make(held("red")).await?, Ensured::Updated)?;
    let back = |seen: &SeenNamespace| team(seen) == Some("red");
    let seen = scene.seen(&mut events, "put back", back).await?;
    expect(
        "theirs",
        seen.labels.get("more").map(String::as_str),
        Some("theirs"),
    )?;
    expect("repeated", scene.make(held("red")).await?, Ensured::Present)
}

pub(super) async fn a_namespace_that_was_there_is_adopted_and_released_but_never_removed(
    scene: &Scene<'_>,
) -> Verdict {
    let mut events = scene.listen().await?;
    scene
        .subject
        .label_namespace(&scene.namespace, "theirs", "yes")
        .await?;
    expect("adopted", scene.make(held("red")).await?, Ensured::Updated)?;
    let seen = scene
        .seen(&mut events, "adopted", |seen| team(seen) == Some("red"))
        .await?;
    expect("created by us", seen.created, false)?;
    expect(
        "a pod security label",
        seen.labels.contains_key(POD_SECURITY),
        false,
    )?;
    for wanted in [
        Wanted::Idle { since: 1 },
        Wanted::Gone {
            instance: seen.instance.clone(),
            version: seen.version.clone(),
        },
    ] {
        let what = format!("{wanted:?}");
        expect(&what, class(scene.make(wanted).await), Some(Class::Conflict))?;
    }
    expect("released", scene.make(Wanted::Released).await?, Ensured::Updated)?;
    scene.unseen(&mut events).await?;
    expect("repeated", scene.make(Wanted::Released).await?, Ensured::Present)?;
    let left = scene
        .subject
        .namespace_labels(&scene.namespace)
        .await?
        .unwrap_or_default();
    expect("their label", left.contains_key("theirs"), true)?;
    let ours = left.keys().any(|key| key == "team" || key == marks::ORIGIN);
    expect("a label of ours", ours, false)
}

pub(super) async fn a_namespace_of_another_host_is_a_conflict(scene: &Scene<'_>) -> Verdict {
    scene.make_for("another-host", held("theirs")).await?;
    expect(
        "held",
        class(scene.make(held("ours")).await),
        Some(Class::Conflict),
    )?;
    expect(
        "idle",
        class(scene.make(Wanted::Idle { since: 1 }).await),
        Some(Class::Conflict),
    )?;
    expect("needed", scene.make(Wanted::Needed).await?, Ensured::Present)?;
    let left = scene
        .subject
        .namespace_labels(&scene.namespace)
        .await?
        .unwrap_or_default();
    expect("team", left.get("team").map(String::as_str), Some("theirs"))
}

pub(super) async fn a_foreign_namespace_is_used_for_a_share_and_left_as_it_is(scene: &Scene<'_>) -> Verdict {
    scene
        .subject
        .label_namespace(&scene.namespace, "theirs", "yes")
        .await?;
    let before = scene.subject.namespace_labels(&scene.namespace).await?;
    scene.ensure(&scene.share("guest")).await?;
    expect("needed", scene.make(Wanted::Needed).await?, Ensured::Present)?;
    expect(
        "labels",
        scene.subject.namespace_labels(&scene.namespace).await?,
        before,
    )
}

pub(super) async fn an_empty_namespace_is_marked_and_removed(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.listen().await?;
    let share = scene.share("first");
    scene.ensure(&share).await?;
    let seen = scene
        .seen(&mut events, "made for a share", |seen| seen.created)
        .await?;
    scene.make(Wanted::Idle { since: 7 }).await?;
    let marked = scene
        .seen(&mut events, "marked", |seen| seen.idle_since == Some(7))
        .await?;
    expect(
        "repeated",
        scene.make(Wanted::Idle { since: 9 }).await?,
        Ensured::Present,
    )?;
    expect(
        "as it was before",
        class(scene.remove(&seen).await),
        Some(Class::Throttled),
    )?;
    expect(
        "with a share",
        class(scene.remove(&marked).await),
        Some(Class::Conflict),
    )?;
    scene.member.withdraw(&share.key, Withdraw::Remove).await?;
    let mut answer = class(scene.remove(&marked).await);
    // Its replicas go a little later.
    for _ in 0..300 {
        if answer != Some(Class::Conflict) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = class(scene.remove(&marked).await);
    }
    expect("empty", answer, None)?;
    scene.unseen(&mut events).await?;
    expect("of what is gone", scene.remove(&marked).await?, Ensured::Present)?;
    expect(
        "there",
        scene.subject.has_namespace(&scene.namespace).await?,
        false,
    )
}

pub(super) async fn what_others_put_into_a_namespace_keeps_it(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.listen().await?;
    scene.make(Wanted::Needed).await?;
    scene.subject.put_secret(&scene.namespace).await?;
    scene.make(Wanted::Idle { since: 7 }).await?;
    let marked = scene
        .seen(&mut events, "marked", |seen| seen.idle_since.is_some())
        .await?;
    match scene.remove(&marked).await {
        Err(error) if error.class == Class::Conflict && error.message.contains("secret") => Ok(()),
        other => Err(Failure(format!(
            "found {other:?}, wanted Conflict that names the secret"
        ))),
    }
}

pub(super) async fn whoever_needs_a_marked_namespace_makes_its_removal_fail(scene: &Scene<'_>) -> Verdict {
    let mut events = scene.listen().await?;
    scene.make(Wanted::Needed).await?;
    scene.make(Wanted::Idle { since: 7 }).await?;
    let marked = scene
        .seen(&mut events, "marked", |seen| seen.idle_since.is_some())
        .await?;
    expect("needed", scene.make(Wanted::Needed).await?, Ensured::Updated)?;
    expect(
        "removal that was on its way",
        class(scene.remove(&marked).await),
        Some(Class::Throttled),
    )?;
    scene
        .seen(&mut events, "without mark", |seen| seen.idle_since.is_none())
        .await?;
    expect(
        "there",
        scene.subject.has_namespace(&scene.namespace).await?,
        true,
    )
}
