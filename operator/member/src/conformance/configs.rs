//! Cases about ConfigMaps and Secrets: copied, kept in step, gone with the last share that uses them, and what is foreign
//! is left alone.

use std::sync::Arc;
use std::time::Duration;

use sky_core::config::{Config, ConfigKind, ConfigName, Content, User, Wanted};
use sky_core::observation::{Item, MemberEvent};
use sky_core::share::Share;

use super::dispatch::class;
use super::{Failure, PATIENCE, Scene, Verdict, expect, hear};
use crate::{Class, Desired, Ensured, MemberError, Withdraw};

const KINDS: [ConfigKind; 2] = [ConfigKind::ConfigMap, ConfigKind::Secret];

fn name(kind: ConfigKind) -> ConfigName {
    ConfigName {
        kind,
        name: "conf".into(),
    }
}

fn content(kind: ConfigKind, key: &str, value: &str) -> Content {
    let mut content = Content {
        source: "host-uid".into(),
        labels: [("team".to_owned(), "red".to_owned())].into(),
        ..Content::default()
    };
    match kind {
        ConfigKind::ConfigMap => {
            content.texts.insert(key.to_owned(), value.to_owned());
        }
        ConfigKind::Secret => {
            content.bytes.insert(key.to_owned(), value.as_bytes().to_vec());
            content.secret_type = Some("Opaque".into());
        }
    }
    content
}

fn user(share: &Share, instance: Option<&str>) -> User {
    User {
        key: share.key.clone(),
        instance: instance.map(str::to_owned),
    }
}

impl Scene<'_> {
    async fn config(&self, kind: ConfigKind, wanted: Wanted) -> Result<Ensured, MemberError> {
        let origin = self.subject.origin().to_owned();
        self.config_of(origin, kind, wanted).await
    }

    async fn config_of(
        &self,
        origin: String,
        kind: ConfigKind,
        wanted: Wanted,
    ) -> Result<Ensured, MemberError> {
        let config = Config {
            origin,
            namespace: self.namespace.clone(),
            name: name(kind),
            wanted,
        };
        self.member.ensure(Desired::Config(Box::new(config))).await
    }

    async fn held(&self, kind: ConfigKind, content: Content, user: User) -> Result<Ensured, MemberError> {
        let content = Arc::new(content);
        self.config(kind, Wanted::Held { content, user }).await
    }

    /// What is there: texts by key.
    async fn found(&self, kind: ConfigKind) -> Result<Option<Vec<(String, String)>>, Failure> {
        let found = self.subject.config(&self.namespace, &name(kind)).await?;
        Ok(found.map(|texts| texts.into_iter().collect()))
    }

    /// The identity of the share's object, which is made for it.
    async fn instance(&self, share: &Share) -> Result<String, Failure> {
        self.ensure(share).await?;
        let mut events = self.member.events();
        hear(&mut events, "event of the share", |event| {
            let items = match event {
                MemberEvent::Reset(items) | MemberEvent::Changed { upserts: items, .. } => items,
                MemberEvent::Lost(_) => return None,
            };
            items.iter().find_map(|item| match item {
                Item::Share(seen) if seen.key == share.key => Some(seen.instance.clone()),
                _ => None,
            })
        })
        .await
    }

    /// Waits until it is gone.
    async fn goes(&self, kind: ConfigKind) -> Verdict {
        let gone = async {
            while self.found(kind).await?.is_some() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        let late = Failure(format!(
            "the {} stayed for {} s",
            kind.as_str(),
            PATIENCE.as_secs()
        ));
        tokio::time::timeout(PATIENCE, gone).await.map_err(|_| late)?
    }
}

fn texts(key: &str, value: &str) -> Option<Vec<(String, String)>> {
    Some(vec![(key.to_owned(), value.to_owned())])
}

pub(super) async fn a_config_is_copied_with_its_namespace_and_kept_in_step(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("uses");
    for kind in KINDS {
        let user = || user(&share, None);
        let one = || content(kind, "one", "1");
        expect("first", scene.held(kind, one(), user()).await?, Ensured::Created)?;
        expect("again", scene.held(kind, one(), user()).await?, Ensured::Present)?;
        expect("what it holds", scene.found(kind).await?, texts("one", "1"))?;
        let two = || content(kind, "two", "2");
        expect(
            "changed",
            scene.held(kind, two(), user()).await?,
            Ensured::Updated,
        )?;
        expect("what it holds then", scene.found(kind).await?, texts("two", "2"))?;
        let mut relabelled = two();
        relabelled.labels.clear();
        let done = scene.held(kind, relabelled.clone(), user()).await?;
        expect("a label less", done, Ensured::Updated)?;
        let done = scene.held(kind, relabelled, user()).await?;
        expect("the same again", done, Ensured::Present)?;
    }
    Ok(())
}

pub(super) async fn an_immutable_config_is_made_anew_when_it_changes(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("uses");
    for kind in KINDS {
        let fixed = |value: &str| Content {
            immutable: true,
            ..content(kind, "one", value)
        };
        scene.held(kind, fixed("1"), user(&share, None)).await?;
        let done = scene.held(kind, fixed("2"), user(&share, None)).await?;
        expect("changed", done, Ensured::Updated)?;
        expect("what it holds", scene.found(kind).await?, texts("one", "2"))?;
    }
    Ok(())
}

pub(super) async fn a_foreign_config_is_a_conflict_and_stays(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("uses");
    for kind in KINDS {
        scene.subject.put_config(&scene.namespace, &name(kind)).await?;
        let before = scene.found(kind).await?;
        expect("planted", before.is_some(), true)?;
        let answer = scene
            .held(kind, content(kind, "one", "1"), user(&share, None))
            .await;
        expect("class", class(answer), Some(Class::Conflict))?;
        for released in [None, Some(share.key.clone())] {
            let done = scene.config(kind, Wanted::Released(released)).await?;
            expect("released", done, Ensured::Present)?;
        }
        expect(
            "there",
            scene.config(kind, Wanted::There).await?,
            Ensured::Present,
        )?;
        expect("what it holds", scene.found(kind).await?, before)?;
    }
    Ok(())
}

pub(super) async fn a_copy_of_another_host_is_a_conflict(scene: &Scene<'_>) -> Verdict {
    let share = scene.share("uses");
    let kind = ConfigKind::ConfigMap;
    scene
        .held(kind, content(kind, "one", "1"), user(&share, None))
        .await?;
    let wanted = Wanted::Held {
        content: Arc::new(content(kind, "two", "2")),
        user: user(&share, None),
    };
    let other = || "another-host".to_owned();
    let answer = scene.config_of(other(), kind, wanted).await;
    expect("class", class(answer), Some(Class::Conflict))?;
    let done = scene.config_of(other(), kind, Wanted::Released(None)).await?;
    expect("released", done, Ensured::Present)?;
    expect("what it holds", scene.found(kind).await?, texts("one", "1"))
}

pub(super) async fn a_config_that_is_not_there_is_absent(scene: &Scene<'_>) -> Verdict {
    for kind in KINDS {
        expect("there", scene.config(kind, Wanted::There).await?, Ensured::Absent)?;
        let done = scene.config(kind, Wanted::Released(None)).await?;
        expect("released", done, Ensured::Present)?;
    }
    Ok(())
}

pub(super) async fn a_copy_goes_with_the_last_share_that_uses_it(scene: &Scene<'_>) -> Verdict {
    let (first, second) = (scene.share("first"), scene.share("second"));
    let (one, two) = (scene.instance(&first).await?, scene.instance(&second).await?);
    for kind in KINDS {
        for (share, instance) in [(&first, &one), (&second, &two)] {
            scene
                .held(kind, content(kind, "one", "1"), user(share, Some(instance)))
                .await?;
        }
    }
    scene.member.withdraw(&first.key, Withdraw::Remove).await?;
    let mut events = scene.member.events();
    hear(&mut events, "a Reset without the first share", |event| {
        let (items, gone) = match event {
            MemberEvent::Reset(items) => (items.as_slice(), &[][..]),
            MemberEvent::Changed { gone, .. } => (&[][..], gone.as_slice()),
            MemberEvent::Lost(_) => return None,
        };
        let listed = items
            .iter()
            .any(|item| matches!(item, Item::Share(seen) if seen.key == first.key));
        let reset = matches!(event, MemberEvent::Reset(_)) && !listed;
        (reset || gone.contains(&sky_core::observation::ItemKey::Share(first.key.clone()))).then_some(())
    })
    .await?;
    for kind in KINDS {
        // Asked by name, with the second share among its users: it is as it was, or without the first.
        let done = scene
            .held(kind, content(kind, "one", "1"), user(&second, Some(&two)))
            .await?;
        expect("not made anew", done == Ensured::Created, false)?;
    }
    scene.member.withdraw(&second.key, Withdraw::Remove).await?;
    for kind in KINDS {
        scene.goes(kind).await?;
    }
    Ok(())
}

pub(super) async fn a_copy_that_is_released_goes_unless_it_is_used(scene: &Scene<'_>) -> Verdict {
    let (first, second) = (scene.share("first"), scene.share("second"));
    let (one, two) = (scene.instance(&first).await?, scene.instance(&second).await?);
    for kind in KINDS {
        let held = |share: &Share, instance: &str| {
            scene.held(kind, content(kind, "one", "1"), user(share, Some(instance)))
        };
        held(&first, &one).await?;
        held(&second, &two).await?;
        let release = |share: Option<&Share>| Wanted::Released(share.map(|share| share.key.clone()));
        expect(
            "asked for users",
            scene.config(kind, release(None)).await?,
            Ensured::Present,
        )?;
        expect(
            "one of two",
            scene.config(kind, release(Some(&first))).await?,
            Ensured::Updated,
        )?;
        expect("used by the other", scene.found(kind).await?, texts("one", "1"))?;
        expect(
            "the last",
            scene.config(kind, release(Some(&second))).await?,
            Ensured::Updated,
        )?;
        scene.goes(kind).await?;
    }
    Ok(())
}
