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
}
