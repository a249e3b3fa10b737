//! A bound placement: shares with ids that are never used twice, and ranks that wait for a place again. Kept in
//! `status.placement`.

use std::collections::BTreeMap;

use crate::Seconds;
use crate::eviction::reason;
use crate::observation::Trouble;
use crate::ranks::Ranks;

/// Shares that a status can hold.
pub const MOST_SHARES: usize = 2048;

/// Above so many shares those that are complete are kept as one for each cluster.
const APART: usize = MOST_SHARES / 2;

/// The shares of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Grows with every bind.
    pub revision: i64,
    /// The shares.
    pub shares: Vec<PlacedShare>,
    /// Ranks that had a place and were evicted from it.
    pub unplaced: Vec<Unplaced>,
}

/// Some replicas on one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacedShare {
    /// `REVISION-INDEX`.
    pub id: String,
    /// Cluster name.
    pub cluster: String,
    /// Number of replicas.
    pub replicas: i64,
    /// Their ranks.
    pub ranks: Ranks,
    /// 1 at the first placing of these ranks within the run.
    pub attempt: i64,
    /// Tries that evictions have used up: replicas that had started were stopped.
    pub interruptions: i64,
    /// When it was bound, or last held back by its user; `None`: not recorded.
    pub bound: Option<Seconds>,
    /// A replica of it was seen started.
    pub seen: bool,
    /// All its replicas have succeeded: nothing of it need be on its member any more.
    pub complete: bool,
    /// Being evicted, and why.
    pub evicting: Option<Trouble>,
    /// Ranks that had succeeded when its cluster was lost.
    pub done: Ranks,
    /// Identity of its object on a member that holds objects back until this is recorded; only that one may run.
    pub instance: Option<String>,
}

/// Ranks that wait for a place again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// Which.
    pub ranks: Ranks,
    /// How often they were placed.
    pub attempt: i64,
    /// Tries that evictions have used up.
    pub interruptions: i64,
}

impl PlacedShare {
    /// Whether its cluster was lost, and its ranks ask for another place.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        let why = self.evicting.as_ref().map(|why| why.reason.as_str());
        matches!(why, Some(reason::LOST | reason::CLUSTER_GONE))
    }
}

impl Placement {
    /// Places all ranks 0..N-1 in order over `parts`, as revision `revision`.
    #[must_use]
    pub fn of_all(revision: i64, parts: &[(String, i64)]) -> Self {
        let total = parts.iter().map(|(_, replicas)| replicas).sum::<i64>();
        let ranks = Ranks::consecutive(0, u32::try_from(total).unwrap_or(u32::MAX));
        let empty = Self {
            revision: revision.saturating_sub(1),
            ..Self::default()
        };
        empty.with(&ranks, parts, None)
    }

    /// This placement and, as its next revision, a share for each of `parts`, which take `ranks` in order. Ranks that
    /// are left over stay unplaced.
    #[must_use]
    pub fn with(&self, ranks: &Ranks, parts: &[(String, i64)], now: Option<Seconds>) -> Self {
        let mut next = self.clone();
        if next.shares.len().saturating_add(parts.len()) > APART {
            next.fold();
        }
        next.revision = self.revision.saturating_add(1);
        let mut left = ranks.iter();
        for (index, (cluster, replicas)) in parts.iter().enumerate() {
            let count = usize::try_from(*replicas).unwrap_or(0);
            let ranks: Ranks = left.by_ref().take(count).collect();
            let before = self
                .unplaced
                .iter()
                .filter(|waiting| waiting.ranks.without(&ranks).count() < waiting.ranks.count());
            let (mut attempt, mut interruptions) = (0, 0);
            for waiting in before {
                attempt = waiting.attempt.max(attempt);
                interruptions = waiting.interruptions.max(interruptions);
            }
            for waiting in &mut next.unplaced {
                waiting.ranks = waiting.ranks.without(&ranks);
            }
            next.shares.push(PlacedShare {
                id: format!("{}-{index}", next.revision),
                cluster: cluster.clone(),
                replicas: *replicas,
                ranks,
                attempt: attempt + 1,
                interruptions,
                bound: now,
                ..PlacedShare::default()
            });
        }
        next.unplaced.retain(|waiting| !waiting.ranks.is_empty());
        next
    }

    /// Keeps complete shares as one for each cluster, under the first one's id.
    fn fold(&mut self) {
        let mut folded: Vec<PlacedShare> = Vec::new();
        for share in std::mem::take(&mut self.shares) {
            let mut complete = folded.iter_mut().filter(|other| other.complete && share.complete);
            match complete.find(|other| other.cluster == share.cluster) {
                Some(first) => {
                    first.ranks = first.ranks.iter().chain(share.ranks.iter()).collect();
                    first.replicas = first.replicas.saturating_add(share.replicas);
                }
                None => folded.push(share),
            }
        }
        self.shares = folded;
    }

    /// Ranks of 0..`replicas`-1 that have no place.
    #[must_use]
    pub fn missing(&self, replicas: i64) -> Ranks {
        let placed: i64 = self.shares.iter().map(|share| share.replicas).sum();
        if placed >= replicas {
            return Ranks::default();
        }
        let all = Ranks::consecutive(0, u32::try_from(replicas).unwrap_or(u32::MAX));
        let placed = self.shares.iter().flat_map(|share| share.ranks.iter());
        all.without(&placed.collect())
    }

    /// A placement made up of shares that are on members though the record of them is lost. Their ranks run through
    /// them by index, as `of_all` gave them. `None` when the ids are not of one bind.
    #[must_use]
    pub fn recovered(mut shares: Vec<PlacedShare>) -> Option<Self> {
        let revision = id_revision(&shares.first()?.id);
        shares.sort_by_key(|share| id_index(&share.id));
        let mut next = 0_u32;
        for (index, share) in shares.iter_mut().enumerate() {
            if id_revision(&share.id) != revision || id_index(&share.id) != i64::try_from(index).ok()? {
                return None;
            }
            let count = u32::try_from(share.replicas).ok()?;
            share.ranks = Ranks::consecutive(next, count);
            next = next.checked_add(count)?;
        }
        Some(Self {
            revision,
            shares,
            unplaced: Vec::new(),
        })
    }

    /// This placement without what was lost with its cluster: what had succeeded there stays, the rest waits for a place.
    #[must_use]
    pub fn without_lost(&self) -> Self {
        let mut left = self.clone();
        let (lost, kept): (Vec<_>, Vec<_>) = left.shares.into_iter().partition(PlacedShare::is_lost);
        left.shares = kept;
        for share in lost {
            left.unplaced.push(Unplaced {
                ranks: share.ranks.without(&share.done),
                attempt: share.attempt,
                interruptions: share.interruptions,
            });
            if !share.done.is_empty() {
                left.shares.push(PlacedShare {
                    replicas: share.done.count(),
                    ranks: share.done,
                    done: Ranks::default(),
                    complete: true,
                    evicting: None,
                    ..share
                });
            }
        }
        left
    }

    /// Replicas by cluster.
    #[must_use]
    pub fn by_cluster(&self) -> BTreeMap<&str, i64> {
        let mut clusters = BTreeMap::new();
        for share in &self.shares {
            *clusters.entry(share.cluster.as_str()).or_default() += share.replicas;
        }
        clusters
    }

    /// Replicas by cluster that are there and stay: neither done nor on their way out.
    #[must_use]
    pub fn staying(&self) -> BTreeMap<String, i64> {
        let mut clusters = BTreeMap::new();
        let staying = |share: &&PlacedShare| share.evicting.is_none() && !share.complete;
        for share in self.shares.iter().filter(staying) {
            *clusters.entry(share.cluster.clone()).or_default() += share.replicas;
        }
        clusters
    }

    /// `c1:2,c2:1`.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts = self
            .by_cluster()
            .into_iter()
            .map(|(cluster, count)| format!("{cluster}:{count}"));
        parts.collect::<Vec<_>>().join(",")
    }

    /// Whether both say the same about where replicas are; what was seen of them meanwhile is no difference.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let bare = |placement: &Self| {
            let mut bare = placement.clone();
            for share in &mut bare.shares {
                share.seen = false;
                share.complete = false;
            }
            bare
        };
        bare(self) == bare(other)
    }
}

/// The revision in a share id `REVISION-INDEX`; -1 when it has none.
#[must_use]
pub fn id_revision(id: &str) -> i64 {
    id.split_once('-')
        .and_then(|(revision, _)| revision.parse().ok())
        .unwrap_or(-1)
}

fn id_index(id: &str) -> i64 {
    id.split_once('-')
        .and_then(|(_, index)| index.parse().ok())
        .unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(placement: &Placement) -> Vec<String> {
        let each = placement.shares.iter();
        each.map(|s| format!("{} {} {} {}", s.id, s.cluster, s.ranks, s.attempt))
            .collect()
    }

    #[test]
    fn ranks_run_through_the_shares() {
        let placement = Placement::of_all(3, &[("b".into(), 2), ("a".into(), 1)]);
        assert_eq!(text(&placement), ["3-0 b 0-1 1", "3-1 a 2 1"]);
        assert_eq!(placement.summary(), "a:1,b:2");
    }

    #[test]
    fn evicted_ranks_are_placed_again_as_a_new_attempt() {
        let mut placement = Placement::of_all(1, &[("b".into(), 2), ("a".into(), 2)]);
        let share = placement.shares.remove(0);
        assert_eq!(placement.missing(5).to_string(), "0-1,4");
        placement.unplaced.push(Unplaced {
            ranks: share.ranks,
            attempt: 1,
            interruptions: 1,
        });
        let parts = [("c".into(), 1), ("d".into(), 2)];
        let next = placement.with(&placement.missing(5), &parts, Some(9));
        assert_eq!(text(&next), ["1-1 a 2-3 1", "2-0 c 0 2", "2-1 d 1,4 2"]);
        assert!(next.unplaced.is_empty() && next.missing(5).is_empty());
        assert_eq!(next.shares[1].interruptions, 1);
    }

    #[test]
    fn a_job_of_many_small_parts_stays_within_what_a_status_holds() {
        let mut placement = Placement::default();
        for _ in 0..1200 {
            placement = placement.with(
                &placement.missing(2400),
                &[("a".into(), 1), ("b".into(), 1)],
                None,
            );
            placement
                .shares
                .iter_mut()
                .for_each(|share| share.complete = true);
            assert!(placement.shares.len() <= MOST_SHARES);
        }
        assert!(placement.missing(2400).is_empty());
        assert_eq!(placement.by_cluster()["a"], 1200);
    }

    #[test]
    fn a_lost_record_is_recovered_from_its_shares() {
        let whole = Placement::of_all(3, &[("b".into(), 2), ("a".into(), 1)]);
        let mut found = whole.shares.clone();
        found.reverse();
        found.iter_mut().for_each(|share| share.ranks = Ranks::default());
        assert_eq!(Placement::recovered(found.clone()), Some(whole));
        found.pop();
        assert_eq!(
            Placement::recovered(found),
            None,
            "the share of index 0 is missing"
        );
    }
}
