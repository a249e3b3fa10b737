//! The upkeep of copies: in step with the host about once a minute, put back when somebody on the member changes one, and
//! released when nothing names them any more. Steady state reads and writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sky_core::config::{ConfigName, Named, Need, User, of_share};
use sky_core::observation::Trouble;
use sky_core::share::{Share, ShareKey};
use sky_member::{Class, Member};
use tokio::time::Instant;

use super::ledger::{Entry, Ledger, Place};
use super::{BLOCKED, Follow, Setback};
use crate::fleet::Contact;
use crate::requeue::{LOOK_AGAIN, jittered};

/// Between two looks at an object of the host.
const POLL: Duration = Duration::from_secs(60);
/// What a member did not take is tried again after this long.
const RETRY: Duration = Duration::from_secs(15);

/// A share that its member shows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// Its cluster.
    pub cluster: String,
    /// Its object.
    pub key: ShareKey,
    /// Its id within the workload.
    pub id: String,
    /// Identity of its object.
    pub instance: String,
    /// Its object is still of an earlier template.
    pub outdated: bool,
    /// Every pod is of the present template: nothing uses what only earlier ones named.
    pub rolled: bool,
}

/// One workload.
pub struct Look<'l> {
    /// Its uid.
    pub uid: &'l str,
    /// Generation of its spec.
    pub generation: i64,
    /// Its shares that members show.
    pub seen: BTreeSet<Use>,
    /// All that it is to have: cluster and object.
    pub placed: BTreeSet<(String, ShareKey)>,
    /// What was done so far.
    pub ledger: &'l Ledger,
}

/// When to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// After this long; `None`: it names nothing.
    pub again: Option<Duration>,
    /// There is something else to be said than before.
    pub news: bool,
}

impl Follow {
    /// Looks after the copies of one workload, when it is time to. `wanted` makes a share as it is to be, `earlier` as it
    /// would be of the templates that the workload had before.
    pub async fn keep(
        &self,
        look: Look<'_>,
        wanted: impl Fn(&Use) -> Option<Share>,
        earlier: impl Fn(&Use) -> Vec<Share>,
    ) -> Kept {
        let ledger = look.ledger;
        let picture = (look.generation, look.seen);
        if let Some(wait) = ledger.wait(&picture) {
            let again = (!ledger.is_empty()).then_some(wait);
            return Kept { again, news: false };
        }
        let mut soonest: Option<Duration> = None;
        let mut notes = BTreeMap::new();
        for one in &picture.1 {
            let Some(share) = wanted(one) else { continue };
            let named = of_share(&share);
            let place = (one.cluster.clone(), one.key.clone());
            if ledger.is_news(&place, look.generation) {
                let earlier = earlier(one);
                let names = earlier.iter().flat_map(|share| of_share(share).into_keys());
                ledger.recall(&place, names.filter(|name| !named.contains_key(name)));
            }
            let (again, note) = self.keep_share(one, &place, &named, ledger).await;
            soonest = soonest.into_iter().chain(again).min();
            notes.extend(note.map(|note| (one.id.clone(), note)));
        }
        self.release_strays(&picture.1, &look.placed, ledger).await;
        let uses = !ledger.is_empty();
        let pause = soonest.unwrap_or(if uses {
            jittered(self.source.period(POLL), look.uid)
        } else {
            LOOK_AGAIN
        });
        Kept {
            again: (uses || soonest.is_some()).then_some(pause),
            news: ledger.looked(picture, notes, pause),
        }
    }

    /// Looks after what one share uses. Answers when to try again what did not succeed, and what is to be said.
    async fn keep_share(
        &self,
        one: &Use,
        place: &Place,
        named: &Named,
        ledger: &Ledger,
    ) -> (Option<Duration>, Option<Trouble>) {
        let Some(member) = self.fleet.member(&place.0) else {
            return ((!named.is_empty()).then_some(RETRY), None);
        };
        let known = ledger.of(place);
        let (mut soonest, mut note) = (None, None);
        // Of an earlier template only what is there for it already.
        let wanted: Vec<(&ConfigName, Need)> = if one.outdated {
            let there = |entry: &Entry| entry.version.is_some();
            let each = known.iter().filter(|(_, entry)| there(entry));
            each.map(|(name, _)| (name, Need::Optional)).collect()
        } else {
            named.iter().map(|(name, need)| (name, *need)).collect()
        };
        for (name, need) in wanted {
            match self
                .refresh(&*member, one, name, need, known.get(name), ledger)
                .await
            {
                Ok(said) => note = note.or(said),
                Err(Setback::Config(why)) => {
                    soonest = Some(soonest.unwrap_or(BLOCKED).min(BLOCKED));
                    note = note.or(Some(why));
                }
                Err(Setback::Member(error)) => {
                    tracing::info!(cluster = place.0, %name, class = error.class.as_str(), message = %error.message, "failed to keep a copy in step");
                    soonest = Some(RETRY);
                    let lasting = matches!(error.class, Class::Conflict | Class::Unauthorized);
                    note = note.or(lasting.then(|| Trouble {
                        reason: error.class.as_str().into(),
                        message: error.message,
                    }));
                }
            }
        }
        if one.rolled {
            for name in known.keys().filter(|name| !named.contains_key(name)) {
                let user = Some(place.1.clone());
                if self.release(&place.0, &place.1.namespace, name, user).await {
                    ledger.forget(place, name);
                } else {
                    soonest = Some(RETRY);
                }
            }
        }
        (soonest, note)
    }

    /// Looks at the host, and at the member when the host's has changed or was not compared for long.
    async fn refresh(
        &self,
        member: &dyn Member,
        one: &Use,
        name: &ConfigName,
        need: Need,
        known: Option<&Entry>,
        ledger: &Ledger,
    ) -> Result<Option<Trouble>, Setback> {
        let place = (one.cluster.clone(), one.key.clone());
        let version = self.source.version(&one.key.namespace, name).await?;
        let compared = |entry: &Entry| {
            let recent = entry.at.elapsed() < jittered(LOOK_AGAIN, &one.instance);
            recent
                && entry.version.as_ref() == Some(&version)
                && entry.instance.as_deref() == Some(one.instance.as_str())
        };
        if let Some(entry) = known.filter(|entry| compared(entry)) {
            return Ok(entry.note.clone());
        }
        let user = User {
            key: one.key.clone(),
            instance: Some(one.instance.clone()),
        };
        let (version, note) = self.put(member, name, need, user).await?;
        let entry = Entry {
            version: Some(version),
            instance: Some(one.instance.clone()),
            at: Instant::now(),
            note: note.clone(),
        };
        ledger.enter(&place, name, entry);
        Ok(note)
    }

    /// What was copied for shares that are neither there nor to come: nobody removes it with them, if they never were.
    async fn release_strays(&self, shown: &BTreeSet<Use>, placed: &BTreeSet<Place>, ledger: &Ledger) {
        let mut present = placed.clone();
        present.extend(shown.iter().map(|one| (one.cluster.clone(), one.key.clone())));
        let strays = ledger.without(&present);
        for (place, name) in strays {
            let user = Some(place.1.clone());
            if self.release(&place.0, &place.1.namespace, &name, user).await {
                ledger.forget(&place, &name);
            }
        }
    }

    /// The workload is gone from everywhere: removes what was copied for shares that never came to be, from `clusters`
    /// and wherever the ledger says. False: something is still to be removed.
    pub async fn let_go(
        &self,
        namespace: &str,
        clusters: BTreeMap<String, BTreeSet<ConfigName>>,
        ledger: &Ledger,
    ) -> bool {
        let mut all = clusters;
        for ((cluster, _), name) in ledger.without(&BTreeSet::new()) {
            all.entry(cluster).or_default().insert(name);
        }
        let mut done = true;
        for (cluster, names) in all {
            // A silent member removes what shares used by itself.
            let synced = self
                .fleet
                .read(&cluster, |view| matches!(view.contact(), Contact::Synced));
            if synced != Some(true) {
                continue;
            }
            for name in names {
                done &= self.release(&cluster, namespace, &name, None).await;
            }
        }
        done
    }
}
