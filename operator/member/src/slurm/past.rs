//! What is remembered of arrays beyond what slurmctld lists: since when they are seen, how tasks ended that it has purged,
//! what accounting said of those, what we did to those that it does not let be changed any more, and how often shares of
//! SkyDeployments have changed. Losing it costs requests, never correctness.

use std::collections::{BTreeMap, BTreeSet};

use sky_core::Seconds;
use sky_core::share::ShareKey;
use sky_core::workload::Kind;

use super::array::{Array, Doing};
use super::slots::{Fingerprint, Slots};

#[derive(Debug, Default)]
pub(super) struct Past {
    first_seen: BTreeMap<String, Seconds>,
    running_since: BTreeMap<String, Seconds>,
    over_since: BTreeMap<String, Seconds>,
    /// What a share was last seen to be, and which change that was.
    generations: BTreeMap<ShareKey, (Fingerprint, i64)>,
    changes: i64,
    ends: BTreeMap<String, BTreeMap<u32, Doing>>,
    removed: BTreeSet<String>,
    tombstones: BTreeMap<String, Seconds>,
    /// Since when replicas of an array are not accounted for.
    missed: BTreeMap<String, Seconds>,
    /// Of how many replicas of an array accounting has said all that it knows.
    answered: BTreeMap<String, i64>,
    /// When accounting last gave no clear answer, and in which words.
    unclear: Option<(Seconds, String)>,
}

impl Past {
    /// Takes in what a list shows at `now`; what it does not show is forgotten.
    pub(super) fn take_in(&mut self, arrays: &[Array], now: Seconds) {
        let present: BTreeSet<String> = arrays.iter().map(Array::instance).collect();
        for since in [
            &mut self.first_seen,
            &mut self.running_since,
            &mut self.over_since,
        ] {
            since.retain(|instance, _| present.contains(instance));
        }
        self.ends.retain(|instance, _| present.contains(instance));
        self.removed.retain(|instance| present.contains(instance));
        self.tombstones.retain(|instance, _| present.contains(instance));
        self.missed.retain(|instance, _| present.contains(instance));
        self.answered.retain(|instance, _| present.contains(instance));
        for array in arrays {
            let instance = array.instance();
            self.first_seen.entry(instance.clone()).or_insert(now);
            if array.is_over() {
                self.over_since.entry(instance.clone()).or_insert(now);
            }
            if array.doing() == Some(&Doing::Running) {
                self.running_since.entry(instance.clone()).or_insert(now);
            } else {
                self.running_since.remove(&instance);
            }
            let over = array.tasks.iter().filter(|(_, task)| task.doing.is_over());
            let over = over.map(|(index, task)| (*index, task.doing.clone()));
            self.ends.entry(instance).or_default().extend(over);
        }
        self.count_changes(arrays, now);
    }

    fn count_changes(&mut self, arrays: &[Array], now: Seconds) {
        let mut seen = BTreeMap::new();
        for (key, arrays) in deployed(arrays) {
            let fingerprint = Slots::read(arrays, self, now).fingerprint();
            let before = self.generations.remove(&key);
            let generation = match before {
                Some((same, generation)) if same == fingerprint => generation,
                _ => {
                    // Never less than what was told before the member was connected anew.
                    self.changes = self.changes.saturating_add(1).max(now);
                    self.changes
                }
            };
            seen.insert(key, (fingerprint, generation));
        }
        self.generations = seen;
    }

    /// Counts the changes of a share of a SkyDeployment, as far as they were listed; 0: it is not there.
    pub(super) fn generation(&self, key: &ShareKey) -> i64 {
        self.generations.get(key).map_or(0, |(_, generation)| *generation)
    }

    /// Since when the array is seen to be over.
    pub(super) fn over_since(&self, instance: &str) -> Option<Seconds> {
        self.over_since.get(instance).copied()
    }

    /// Since when its task is seen to run.
    pub(super) fn running_since(&self, instance: &str) -> Option<Seconds> {
        self.running_since.get(instance).copied()
    }

    /// When the array was first seen; `now` for one that was not.
    pub(super) fn first_seen(&self, instance: &str, now: Seconds) -> Seconds {
        self.first_seen.get(instance).copied().unwrap_or(now)
    }

    /// How tasks ended, by index.
    pub(super) fn ends(&self, instance: &str) -> impl Iterator<Item = (&u32, &Doing)> {
        self.ends.get(instance).into_iter().flatten()
    }

    /// Takes in how tasks ended that were never seen to.
    pub(super) fn learn(&mut self, instance: &str, ends: BTreeMap<u32, Doing>) {
        let known = self.ends.entry(instance.to_owned()).or_default();
        for (index, doing) in ends {
            known.entry(index).or_insert(doing);
        }
    }

    /// Since when replicas of it are not accounted for: `now` at the first time.
    pub(super) fn missed_since(&mut self, instance: &str, now: Seconds) -> Seconds {
        *self.missed.entry(instance.to_owned()).or_insert(now)
    }

    /// Accounting knows nothing of the `left` replicas that are still not accounted for.
    pub(super) fn answer(&mut self, instance: &str, left: i64) {
        self.answered.insert(instance.to_owned(), left);
        self.unclear = None;
    }

    pub(super) fn is_answered(&self, instance: &str, left: i64) -> bool {
        self.answered.get(instance) == Some(&left)
    }

    pub(super) fn unclear(&self) -> Option<(Seconds, String)> {
        self.unclear.clone()
    }

    pub(super) fn set_unclear(&mut self, now: Seconds, words: String) {
        self.unclear = Some((now, words));
    }

    pub(super) fn is_removed(&self, instance: &str) -> bool {
        self.removed.contains(instance)
    }

    /// The array is over, and not to be shown any more.
    pub(super) fn remove(&mut self, instance: String) {
        self.removed.insert(instance);
    }

    pub(super) fn tombstone(&self, instance: &str) -> Option<Seconds> {
        self.tombstones.get(instance).copied()
    }

    /// The array is over, and counts as a tombstone. What the first said stays.
    pub(super) fn bury(&mut self, instance: String, since: Seconds) {
        self.tombstones.entry(instance).or_insert(since);
    }
}

/// Arrays of SkyDeployments by share.
pub(super) fn deployed<'a>(
    arrays: impl IntoIterator<Item = &'a Array>,
) -> BTreeMap<ShareKey, Vec<&'a Array>> {
    let mut shares: BTreeMap<ShareKey, Vec<&Array>> = BTreeMap::new();
    let arrays = arrays.into_iter();
    for array in arrays.filter(|array| array.comment.kind() == Kind::SkyDeployment) {
        shares.entry(array.key.clone()).or_default().push(array);
    }
    shares
}
