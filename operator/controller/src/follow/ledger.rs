//! What is remembered of one workload's ConfigMaps and Secrets on members between two looks. Losing it costs a few
//! requests, never correctness: who uses a copy is written on the copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sky_core::config::ConfigName;
use sky_core::observation::Trouble;
use sky_core::share::ShareKey;
use tokio::time::Instant;

use super::keep::Use;
use super::source::Version;

/// A share's object on its member.
pub(super) type Place = (String, ShareKey);

/// How the shares were when they were last looked at.
pub(super) type Picture = (i64, BTreeSet<Use>);

/// Of one workload.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Kept>);

/// One ConfigMap or Secret that was made to be as wanted.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// What the host had; `None`: it is only known that an earlier template named it.
    pub(super) version: Option<Version>,
    /// The instance of the share that was said to use it.
    pub(super) instance: Option<String>,
    /// When.
    pub(super) at: Instant,
    /// What is to be said of it.
    pub(super) note: Option<Trouble>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<Place, BTreeMap<ConfigName, Entry>>,
    /// What is to be said of shares, by id, though they run.
    notes: BTreeMap<String, Trouble>,
    picture: Picture,
    next: Option<Instant>,
}

impl Ledger {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be said of shares, by id, though they run.
    #[must_use]
    pub fn notes(&self) -> BTreeMap<String, Trouble> {
        self.kept().notes.clone()
    }

    pub(super) fn enter(&self, place: &Place, name: &ConfigName, entry: Entry) {
        let mut kept = self.kept();
        let names = kept.entries.entry(place.clone()).or_default();
        names.insert(name.clone(), entry);
    }

    pub(super) fn forget(&self, place: &Place, name: &ConfigName) {
        let mut kept = self.kept();
        if let Some(names) = kept.entries.get_mut(place) {
            names.remove(name);
            if names.is_empty() {
                kept.entries.remove(place);
            }
        }
    }

    /// What an earlier template of a share named, unless it is known better.
    pub(super) fn recall(&self, place: &Place, names: impl IntoIterator<Item = ConfigName>) {
        let mut kept = self.kept();
        for name in names {
            let entries = kept.entries.entry(place.clone()).or_default();
            entries.entry(name).or_insert_with(|| Entry {
                version: None,
                instance: None,
                at: Instant::now(),
                note: None,
            });
        }
    }

    /// Whether it is time to look, the shares being as in `picture`; else how long it is until then.
    pub(super) fn wait(&self, picture: &Picture) -> Option<Duration> {
        let kept = self.kept();
        let until = kept.next.filter(|_| kept.picture == *picture)?;
        let wait = until.saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Whether nothing was done.
    pub(super) fn is_empty(&self) -> bool {
        self.kept().entries.is_empty()
    }

    /// What was done for one share.
    pub(super) fn of(&self, place: &Place) -> BTreeMap<ConfigName, Entry> {
        self.kept().entries.get(place).cloned().unwrap_or_default()
    }

    /// Whether the share was not looked at since its spec became of this generation.
    pub(super) fn is_news(&self, place: &Place, generation: i64) -> bool {
        let kept = self.kept();
        let (of, seen) = &kept.picture;
        let known = seen
            .iter()
            .any(|one| (&one.cluster, &one.key) == (&place.0, &place.1));
        *of != generation || !known
    }

    /// What was done for shares that are not `present`.
    pub(super) fn without(&self, present: &BTreeSet<Place>) -> Vec<(Place, ConfigName)> {
        let kept = self.kept();
        let others = kept.entries.iter().filter(|(place, _)| !present.contains(*place));
        let each = others.flat_map(|(place, names)| names.keys().map(|name| (place.clone(), name.clone())));
        each.collect()
    }

    /// The shares were looked at, as they are in `picture`. Answers whether there is something else to be said.
    pub(super) fn looked(&self, picture: Picture, notes: BTreeMap<String, Trouble>, pause: Duration) -> bool {
        let mut kept = self.kept();
        kept.picture = picture;
        kept.next = Some(Instant::now() + pause);
        std::mem::replace(&mut kept.notes, notes.clone()) != notes
    }
}
