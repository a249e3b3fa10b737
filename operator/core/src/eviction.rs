//! Evictions: what is recorded of them, and how long a cluster is not tried again. Planned by `job`, kept in the status.

use std::collections::BTreeMap;

use crate::Seconds;

/// Evictions that a status remembers.
const REMEMBERED: usize = 10;

/// The first cool-down of a cluster; each next one is twice as long.
const FIRST: Seconds = 300;

/// The longest cool-down.
const LONGEST: Seconds = 3600;

/// A cluster whose last cool-down ended this long ago starts anew.
const FORGOTTEN: Seconds = 4 * 3600;

/// Clusters that cool down at most; those that do longest are kept.
const MOST: usize = 256;

/// For so long the name of a withdrawn share stays taken: longer than a request that was sent before can still be on
/// its way, with the client's own retries and a change of leader.
pub const TOMBSTONE_SECONDS: Seconds = 120;

/// Why replicas are evicted though nothing forbids them where they are.
pub mod reason {
    /// No replica of the share started in time.
    pub const PENDING_TIMEOUT: &str = "PendingTimeout";
    /// Something foreign has the name of the share's object.
    pub const CONFLICT: &str = "Conflict";
    /// Its cluster is silent for longer than its grace.
    pub const LOST: &str = "ClusterLost";
    /// Its cluster is no longer registered.
    pub const CLUSTER_GONE: &str = "ClusterGone";
    /// Its cluster was lost while it was being evicted for another reason, and is back.
    pub const RETURNED: &str = "ClusterReturned";
    /// Another share of a gang that has not begun goes.
    pub const GANG: &str = "GangBroken";
    /// A replica had started when it was stopped, and no try is left.
    pub const INTERRUPTED: &str = "InterruptedByEviction";
}

/// What happens to the shares of a lost cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLost {
    /// They stay, state unknown, until the cluster returns.
    #[default]
    Wait,
    /// They are placed elsewhere.
    Reschedule,
}

/// One eviction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Cluster name.
    pub cluster: String,
    /// Number of replicas that were withdrawn.
    pub replicas: i64,
    /// CamelCase code.
    pub reason: String,
    /// In words.
    pub message: String,
    /// When they were gone.
    pub at: Seconds,
    /// The attempt that ended.
    pub attempt: i64,
}

/// A cluster that is not tried again for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoolDown {
    /// Cluster name.
    pub cluster: String,
    /// Until when.
    pub until: Seconds,
    /// Evictions from there so far.
    pub count: i64,
}

/// Adds an eviction; the oldest are forgotten.
pub fn record(evictions: &mut Vec<Eviction>, eviction: Eviction) {
    evictions.push(eviction);
    let surplus = evictions.len().saturating_sub(REMEMBERED);
    evictions.drain(..surplus);
}

/// Has `cluster` cool down from `now`: 5 minutes, twice as long each time, an hour at most.
pub fn cool_down(all: &mut Vec<CoolDown>, cluster: &str, now: Seconds) {
    all.retain(|cooling| cooling.until.saturating_add(FORGOTTEN) > now);
    let before = all.iter().position(|cooling| cooling.cluster == cluster);
    let count = before
        .map_or(0, |index| all.remove(index).count)
        .saturating_add(1);
    let doublings = u32::try_from(count - 1).unwrap_or(u32::MAX).min(10);
    let seconds = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    all.push(CoolDown {
        cluster: cluster.to_owned(),
        until: now.saturating_add(seconds),
        count,
    });
    all.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    while all.len() > MOST {
        let soonest = (0..all.len()).min_by_key(|&index| all[index].until);
        soonest.map(|index| all.remove(index));
    }
}

/// Clusters that cool down at `now`, and until when.
#[must_use]
pub fn cooling(all: &[CoolDown], now: Seconds) -> BTreeMap<String, Seconds> {
    let open = all.iter().filter(|cooling| cooling.until > now);
    open.map(|cooling| (cooling.cluster.clone(), cooling.until))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cool_down_doubles_up_to_an_hour() {
        let mut all = Vec::new();
        let mut now = 1000;
        let mut lengths = Vec::new();
        for _ in 0..6 {
            cool_down(&mut all, "a", now);
            lengths.push(all[0].until - now);
            now = all[0].until;
        }
        assert_eq!(lengths, [300, 600, 1200, 2400, 3600, 3600]);
        assert!(cooling(&all, now).is_empty());
        assert_eq!(cooling(&all, now - 1).len(), 1);
        cool_down(&mut all, "a", now + FORGOTTEN);
        assert_eq!(all[0].count, 1, "long past is forgotten");
    }
}
