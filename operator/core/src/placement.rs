//! A bound placement: shares with ids that are never used twice. Kept in `status.placement`.

use std::collections::BTreeMap;

use crate::ranks::Ranks;

/// The shares of a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Grows with every bind.
    pub revision: i64,
    /// The shares.
    pub shares: Vec<PlacedShare>,
}

/// Some replicas on one member.
#[derive(Clone, Debug, PartialEq, Eq)]
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
}

impl Placement {
    /// Places all ranks 0..N-1 in order over `parts`, as revision `revision`.
    #[must_use]
    pub fn of_all(revision: i64, parts: &[(String, i64)]) -> Self {
        let mut next = 0_u32;
        let shares = parts.iter().enumerate().map(|(index, (cluster, replicas))| {
            let count = u32::try_from(*replicas).unwrap_or(u32::MAX);
            let ranks = Ranks::consecutive(next, count);
            next = next.saturating_add(count);
            PlacedShare {
                id: format!("{revision}-{index}"),
                cluster: cluster.clone(),
                replicas: *replicas,
                ranks,
                attempt: 1,
            }
        });
        Self {
            revision,
            shares: shares.collect(),
        }
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
        Some(Self { revision, shares })
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

    /// `c1:2,c2:1`.
    #[must_use]
    pub fn summary(&self) -> String {
        let parts = self
            .by_cluster()
            .into_iter()
            .map(|(cluster, count)| format!("{cluster}:{count}"));
        parts.collect::<Vec<_>>().join(",")
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

    #[test]
    fn ranks_run_through_the_shares() {
        let placement = Placement::of_all(3, &[("b".into(), 2), ("a".into(), 1)]);
        let text: Vec<String> = placement
            .shares
            .iter()
            .map(|s| format!("{} {} {}", s.id, s.cluster, s.ranks))
            .collect();
        assert_eq!(text, ["3-0 b 0-1", "3-1 a 2"]);
        assert_eq!(placement.summary(), "a:1,b:2");
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
