//! What slurmctld has forgotten before its end was seen is asked of accounting, where the cluster has it (slurmdbd). Called
//! by `look` for each list; reads what `client` brings, and teaches `past`.
//!
//! An answer that is unclear is not "not found": until there is a clear one, replicas are neither over nor gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sky_core::Seconds;
use sky_core::share::{ShareKey, Stamp};

use super::array::{Array, Doing, Listed, Rest};
use super::comment::Comment;
use super::dialect::{AccountRecord, Exit};
use super::logs;
use super::look::{Site, now};
use super::past::Past;

/// Reason of what waits for a clear answer.
pub(super) const UNCLEAR: &str = "AccountingUnclear";

/// Names in one question: its line stays below what servers take.
const AT_ONCE: usize = 40;

/// Seconds between two questions after an unclear answer.
const AGAIN: Seconds = 5;

/// Seconds in which slurmctld may still tell slurmdbd of an end: after that, what is said to run was lost.
const PATIENCE: Seconds = 60;

/// A share whose array is recorded on the host as put there and not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its place on the member.
    pub key: ShareKey,
    /// What was stamped on it.
    pub stamp: Stamp,
    /// Identity of the array.
    pub instance: String,
    /// Its replicas.
    pub replicas: i64,
}

/// Tells what the host has recorded as being on one member, without the instances that it is given.
pub type Record = Arc<dyn Fn(&BTreeSet<String>) -> Vec<Recorded> + Send + Sync>;

/// The array of `recorded`, of which slurmctld knows nothing any more; `None`: its identity is not one of Slurm's.
fn forgotten(recorded: &Recorded) -> Option<Array> {
    let (id, nonce) = recorded.instance.split_once('/')?;
    Some(Array {
        id: id.parse().ok()?,
        key: recorded.key.clone(),
        comment: Comment::new(&recorded.stamp, recorded.replicas, nonce.to_owned()),
        tasks: BTreeMap::new(),
        rest: None,
    })
}

/// How many replicas of `array` are neither listed nor known to have ended.
fn missing(array: &Array, past: &Past) -> i64 {
    let instance = array.instance();
    let ended = past.ends(&instance);
    let apart = ended
        .filter(|(index, _)| !array.tasks.contains_key(index))
        .count();
    let known = array.tasks.len() + apart;
    array.comment.replicas - i64::try_from(known).unwrap_or(i64::MAX)
}

/// Takes in what is listed, with what the host has recorded and slurmctld has forgotten; accounting is asked how that ended.
pub(super) async fn take_in(site: &Site, listed: &mut Listed) {
    let present: BTreeSet<String> = listed.arrays.iter().map(Array::instance).collect();
    let recorded = site
        .record
        .get()
        .map(|record| record(&present))
        .unwrap_or_default();
    let of_host: BTreeSet<String> = recorded.iter().map(|one| one.instance.clone()).collect();
    listed.arrays.extend(recorded.iter().filter_map(forgotten));
    let now = now();
    let mut unknown: Vec<&mut Array> = {
        let mut past = site.past();
        past.take_in(&listed.arrays, now);
        let each = listed.arrays.iter_mut();
        each.filter(|array| {
            let ours = array.comment.origin() == site.origin && !array.comment.removed;
            let left = missing(array, &past);
            ours && array.rest.is_none() && left > 0 && !past.is_answered(&array.instance(), left)
        })
        .collect()
    };
    let most = AT_ONCE.min(unknown.len());
    let (first, later) = unknown.split_at_mut(most);
    if !first.is_empty() {
        ask(site, first, now).await;
    }
    for array in later {
        array.rest = Some(unclear("it is asked for others first"));
    }
    // What is not found there either is gone.
    let past = site.past();
    listed.arrays.retain(|array| {
        let instance = array.instance();
        !of_host.contains(&instance) || array.rest.is_some() || past.ends(&instance).next().is_some()
    });
}

async fn ask(site: &Site, arrays: &mut [&mut Array], now: Seconds) {
    let before = site
        .past()
        .unclear()
        .filter(|(at, _)| now < at.saturating_add(AGAIN));
    let answer = match before {
        Some((_, words)) => Err(words),
        None => {
            let names: Vec<&str> = arrays.iter().map(|array| array.key.object.as_str()).collect();
            let answer = site.client.accounts(&names).await;
            answer.map_err(|error| {
                tracing::warn!("failed to ask accounting: {error}");
                site.past().set_unclear(now, error.message.clone());
                error.message
            })
        }
    };
    for array in arrays {
        let instance = array.instance();
        match &answer {
            Err(words) => array.rest = Some(unclear(words)),
            Ok(None) => {
                let mut past = site.past();
                let left = missing(array, &past);
                past.answer(&instance, left);
            }
            Ok(Some(records)) => {
                let mut told = read(records, array);
                add_codes(site, array, &mut told).await;
                let mut past = site.past();
                let waiting = now < past.missed_since(&instance, now).saturating_add(PATIENCE);
                past.learn(&instance, told.ends);
                match told.open {
                    Some(state) if waiting => {
                        array.rest = Some(unclear(&format!("slurmdbd still says {state}")));
                    }
                    _ => {
                        let left = missing(array, &past);
                        past.answer(&instance, left);
                    }
                }
            }
        }
    }
}

/// Exit codes that accounting does not tell are beside the output, where that can be read here.
async fn add_codes(site: &Site, array: &Array, told: &mut Told) {
    for (index, doing) in &mut told.ends {
        if let Doing::Failed(_, _, exit) = doing
            && *exit == Exit::default()
        {
            exit.code = logs::code(site, &array.key.object, *index).await.unwrap_or(0);
        }
    }
}

/// Replicas that are neither listed nor accounted for, as long as that may change.
fn unclear(words: &str) -> Rest {
    Rest {
        doing: Doing::Running,
        held: false,
        reason: UNCLEAR.to_owned(),
        description: format!(
            "slurmctld has forgotten replicas before their end was seen, and accounting does not say how they ended: {words}"
        ),
    }
}

/// What accounting tells of an array.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// How replicas ended, by index.
    ends: BTreeMap<u32, Doing>,
    /// State of one that has not, as it says.
    open: Option<String>,
}

/// What `records` tell of `array`: those of its name and its id. An id alone may have been given to another job.
fn read(records: &[AccountRecord], array: &Array) -> Told {
    let mut told = Told::default();
    let own = |record: &&AccountRecord| record.name == array.key.object && record.array_id == Some(array.id);
    let replicas = u32::try_from(array.comment.replicas).unwrap_or(u32::MAX);
    // What was ended before it had started has one record for all.
    for record in records.iter().filter(own) {
        // The reason that accounting keeps is the one for which it waited.
        let doing = Doing::of(&record.state, "", record.exit);
        match record.index {
            // What waits is never forgotten by slurmctld: it lost it, or has not told of its start.
            _ if doing == Doing::Waiting => {}
            _ if doing == Doing::Running => told.open = record.state.first().cloned(),
            Some(index) => {
                told.ends.insert(index, doing);
            }
            None => {
                for index in 0..replicas {
                    told.ends.entry(index).or_insert_with(|| doing.clone());
                }
            }
        }
    }
    told.ends.retain(|index, _| *index < replicas);
    told
}

#[cfg(test)]
mod tests;
