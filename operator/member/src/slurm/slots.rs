//! The replicas that a SkyDeployment's share has, and which of them are to be cancelled and submitted. Pure; carried out by
//! `deployment`, told by `look`.
//!
//! Each replica is an array of one task, whose index is its slot: one can be replaced or taken away without the others, in
//! every version of slurmrestd. None is held, for one too many for a moment does no harm. An array that is over makes room
//! in its slot for the next; while it is listed, it is the history by which the next one waits.

use std::collections::{BTreeMap, BTreeSet};

use sky_core::Seconds;
use sky_core::observation::{Counts, Observation, Rollout, Started, Trouble};
use sky_core::ranks::Ranks;

use super::array::{Array, Doing};
use super::observe::{failure, queued};
use super::past::Past;

/// Seconds that a replica must have run to count as available: a broken one ends before.
const AVAILABLE_AFTER: Seconds = 10;
/// A replica that ran for as many seconds has not failed to start.
const RAN_LONG: Seconds = 600;
/// Seconds before the third replica of a slot whose first two ended soon; then twice as many, and so on.
const FIRST_PAUSE: Seconds = 10;
const LONGEST_PAUSE: Seconds = 300;
/// Replicas of one slot that ended soon, after which a template counts as stuck.
const TOO_OFTEN: usize = 3;

/// What each array of a share is to `Slots::turn`, by id and slot.
pub(super) type Fingerprint = BTreeMap<(i64, u32), u8>;

/// What is wanted of a share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'w> {
    pub(super) replicas: i64,
    /// Hash of the template that all are to have; `None`: whichever they have.
    pub(super) hash: Option<&'w str>,
}

/// What is to be done next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Ids of arrays.
    pub(super) cancel: Vec<i64>,
    /// Slots.
    pub(super) submit: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running {
        available: bool,
    },
    /// Cancelled by us, and not over yet.
    Going,
    /// Over, since it was first seen so.
    Over(Seconds),
}

#[derive(Clone, Copy, Debug)]
struct One<'a> {
    array: &'a Array,
    phase: Phase,
}

impl<'a> One<'a> {
    /// `None`: it was taken away, and is over.
    fn read(array: &'a Array, past: &Past, now: Seconds) -> Option<Self> {
        let instance = array.instance();
        let removed = array.comment.removed || past.is_removed(&instance);
        let running = array.doing() == Some(&Doing::Running);
        let phase = match (array.is_over(), removed) {
            (true, true) => return None,
            (true, false) => Phase::Over(past.over_since(&instance).unwrap_or(now)),
            (false, true) => Phase::Going,
            (false, false) if running => {
                let seen = past.running_since(&instance).unwrap_or(now);
                // Its own clock may be wrong: ours has seen it for as long, then.
                let since = array.sole().and_then(|task| task.start).unwrap_or(seen).min(seen);
                Phase::Running {
                    available: now.saturating_sub(since) >= AVAILABLE_AFTER,
                }
            }
            (false, false) => Phase::Waiting,
        };
        Some(Self { array, phase })
    }

    fn slot(&self) -> u32 {
        self.array.comment.slot.unwrap_or(0)
    }

    fn hash(&self) -> &'a str {
        self.array.comment.spec_hash()
    }

    fn runs(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
    }

    fn is_available(&self) -> bool {
        self.phase == Phase::Running { available: true }
    }

    fn is_live(&self) -> bool {
        self.runs() || self.phase == Phase::Waiting
    }

    /// Whether it ended before it can have been of use. Its time limit is what its user wanted.
    fn ended_soon(&self) -> bool {
        let timed = matches!(self.array.doing(), Some(Doing::Failed(state, ..)) if state == "TIMEOUT");
        let ran = self.array.sole().and_then(|task| task.ran);
        matches!(self.phase, Phase::Over(_)) && !timed && ran.is_none_or(|ran| ran < RAN_LONG)
    }
}

/// Seconds between the last of `ends` and the next one: none after the first, more after each that came soon.
fn pause(ends: &[One<'_>]) -> Seconds {
    match ends.iter().filter(|one| one.ended_soon()).count() {
        0 | 1 => 0,
        soon => {
            let doublings = u32::try_from(soon - 2).unwrap_or(u32::MAX).min(10);
            FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
        }
    }
}

/// A share's arrays.
#[derive(Debug)]
pub(super) struct Slots<'a> {
    all: Vec<One<'a>>,
    now: Seconds,
}

impl<'a> Slots<'a> {
    /// What `arrays`, all of one share, are at `now`.
    pub(super) fn read(arrays: impl IntoIterator<Item = &'a Array>, past: &Past, now: Seconds) -> Self {
        let arrays = arrays.into_iter();
        let all = arrays.filter_map(|array| One::read(array, past, now)).collect();
        Self { all, now }
    }

    fn live(&self) -> impl Iterator<Item = One<'a>> {
        self.all.iter().copied().filter(One::is_live)
    }

    /// The one that was submitted last, of those that wait or run if there are any.
    fn newest(&self) -> Option<One<'a>> {
        let last = |ones: Vec<One<'a>>| ones.into_iter().max_by_key(|one| one.array.id);
        last(self.live().collect()).or_else(|| last(self.all.clone()))
    }

    /// The hash of the template that they have, of the newest if they have several.
    pub(super) fn hash(&self) -> Option<&'a str> {
        self.newest().map(|one| one.hash())
    }

    /// What ended in `slot` with this template, the first first.
    fn ends(&self, slot: u32, hash: Option<&str>) -> Vec<One<'a>> {
        let over = |one: &&One<'_>| matches!(one.phase, Phase::Over(_)) && one.slot() == slot;
        let same = |one: &&One<'_>| hash.is_none_or(|hash| one.hash() == hash);
        let mut ends: Vec<One<'_>> = self.all.iter().filter(over).filter(same).copied().collect();
        ends.sort_by_key(|one| one.array.id);
        ends
    }

    /// When the next one of a slot may be submitted.
    fn due(&self, slot: u32, hash: Option<&str>) -> Seconds {
        let ends = self.ends(slot, hash);
        let last = ends.iter().filter_map(|one| match one.phase {
            Phase::Over(since) => Some(since),
            Phase::Waiting | Phase::Running { .. } | Phase::Going => None,
        });
        last.max().unwrap_or(Seconds::MIN).saturating_add(pause(&ends))
    }

    /// What is to be done so that there is what is wanted. A changed template replaces as many at once as may be missing,
    /// a quarter, one at least; and no more while those that were replaced are not available.
    pub(super) fn turn(&self, wanted: Wanted<'_>) -> Turn {
        let hash = wanted.hash.or(self.hash());
        let current = |one: &One<'_>| hash.is_none_or(|hash| one.hash() == hash);
        let mut live: Vec<One<'_>> = self.live().collect();
        live.sort_by_key(|one| (!one.runs(), !current(one), one.slot(), one.array.id));
        let (mut kept, mut cancel, mut taken) = (Vec::new(), Vec::new(), BTreeSet::new());
        let most = usize::try_from(wanted.replicas).unwrap_or(0);
        for one in live {
            if kept.len() < most && taken.insert(one.slot()) {
                kept.push(one);
            } else {
                cancel.push(one.array.id);
            }
        }
        let available = kept.iter().filter(|one| one.is_available()).count();
        let mut may_go = (most / 4).max(1).saturating_sub(most - available);
        for one in kept.iter().filter(|one| !current(one)) {
            if one.is_available() {
                if may_go == 0 {
                    continue;
                }
                may_go -= 1;
            }
            cancel.push(one.array.id);
        }
        let going = self.all.iter().filter(|one| one.phase == Phase::Going);
        taken.extend(going.map(One::slot));
        let slots = 0..u32::try_from(wanted.replicas).unwrap_or(0);
        let free = slots.filter(|slot| !taken.contains(slot));
        let submit = free
            .take(most - kept.len())
            .filter(|slot| self.due(*slot, hash) <= self.now)
            .collect();
        Turn { cancel, submit }
    }

    /// Differs when `turn` may say something else than before about the same wish.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let hash = self.hash();
        let mixed = self.live().any(|one| Some(one.hash()) != hash);
        let of = |one: &One<'_>| match one.phase {
            Phase::Running { available } if mixed => 1 + u8::from(available),
            Phase::Waiting | Phase::Running { .. } => 0,
            Phase::Going => 3,
            Phase::Over(_) => 4 + u8::from(self.due(one.slot(), hash) <= self.now),
        };
        let each = self.all.iter();
        each.map(|one| ((one.array.id, one.slot()), of(one))).collect()
    }

    /// What is said of the share; `None`: it counts as gone.
    pub(super) fn observe(&self, generation: i64) -> Option<Observation> {
        let newest = self.newest()?;
        let hash = newest.hash();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let existing = number(self.live().count());
        let running = number(self.live().filter(One::runs).count());
        let available = number(self.live().filter(One::is_available).count());
        let updated = number(self.live().filter(|one| one.hash() == hash).count());
        let going = self.all.iter().filter(|one| one.phase == Phase::Going);
        let going = number(going.count());
        let stands = |one: &One<'_>| one.is_live() || matches!(one.phase, Phase::Over(_));
        let started = |one: &One<'_>| one.array.has_started();
        Some(Observation {
            key: newest.array.key.clone(),
            stamp: newest.array.comment.stamp(),
            instance: newest.array.key.object.clone(),
            replicas: existing,
            counts: Counts {
                pending: existing - running,
                running,
                succeeded: 0,
                failed: 0,
            },
            settled: running,
            started: if self.all.iter().any(started) {
                Started::Yes
            } else {
                Started::No
            },
            done: Ranks::default(),
            active: existing + going,
            suspended: false,
            confirm: None,
            tombstone: None,
            deleting: !self.all.iter().any(stands),
            end: None,
            trouble: self.trouble(hash),
            rollout: Some(Rollout {
                generation,
                current: true,
                existing,
                updated,
                ready: running,
                available,
                stuck: self.stuck(hash),
            }),
        })
    }

    /// Slots where something ended and nothing has become of the next one yet.
    fn down(&self) -> BTreeSet<u32> {
        let over = self.all.iter().filter(|one| matches!(one.phase, Phase::Over(_)));
        let up: BTreeSet<u32> = self
            .live()
            .filter(One::is_available)
            .map(|one| one.slot())
            .collect();
        over.map(One::slot).filter(|slot| !up.contains(slot)).collect()
    }

    /// Why the last one of a slot that is down ended; else why those that wait do.
    fn trouble(&self, hash: &str) -> Option<Trouble> {
        let ended = self.down().into_iter().find_map(|slot| self.ended(slot, hash));
        ended.or_else(|| self.live().find_map(|one| queued(one.array)))
    }

    fn ended(&self, slot: u32, hash: &str) -> Option<Trouble> {
        let ends = self.ends(slot, Some(hash));
        let last = ends.last().filter(|one| one.ended_soon())?;
        let why = match last.array.doing()? {
            Doing::Succeeded => Trouble {
                reason: "Ended".into(),
                message: format!("replica {slot}: it ended by itself with exit code 0"),
            },
            Doing::Cancelled => Trouble {
                reason: "Cancelled".into(),
                message: format!("replica {slot}: it was cancelled on the cluster"),
            },
            doing => failure(Some(slot), doing)?,
        };
        let next = match pause(&ends) {
            0 => String::new(),
            pause => format!(
                "; it ended {} times, and is submitted again after {pause} s",
                ends.len()
            ),
        };
        Some(Trouble {
            message: format!("{}{next}", why.message),
            ..why
        })
    }

    fn stuck(&self, hash: &str) -> Option<Trouble> {
        let often = |slot: &u32| {
            let ends = self.ends(*slot, Some(hash));
            ends.iter().filter(|one| one.ended_soon()).count() >= TOO_OFTEN
        };
        let slot = self.down().into_iter().find(often)?;
        self.ended(slot, hash)
    }
}

#[cfg(test)]
mod tests;
