//! Sets of ranks, written `0-3,7`. A SkyJob's replicas are numbered 0..N-1 over all members.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Ranks in ascending order, as inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranks(Vec<(u32, u32)>);

/// Why a text is not a set of ranks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("read ranks {0:?}: want ascending numbers and ranges, such as 0-3,7")]
pub struct BadRanks(String);

impl Ranks {
    /// `from`, `from` + 1, …, `count` of them.
    #[must_use]
    pub fn consecutive(from: u32, count: u32) -> Self {
        match count.checked_sub(1) {
            Some(more) => Self(vec![(from, from.saturating_add(more))]),
            None => Self::default(),
        }
    }

    /// Those that are not in `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        if others.0.is_empty() {
            return self.clone();
        }
        let gone: BTreeSet<u32> = others.iter().collect();
        self.iter().filter(|rank| !gone.contains(rank)).collect()
    }

    /// The ranks at these indexes: index 0 is the lowest.
    #[must_use]
    pub fn at(&self, indexes: &Self) -> Self {
        let wanted: BTreeSet<u32> = indexes.iter().collect();
        let each = self.iter().zip(0_u32..);
        each.filter(|(_, index)| wanted.contains(index))
            .map(|(rank, _)| rank)
            .collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|&(first, last)| first..=last)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> i64 {
        self.0
            .iter()
            .map(|&(first, last)| i64::from(last) - i64::from(first) + 1)
            .sum()
    }
}

impl FromIterator<u32> for Ranks {
    /// In any order, repeated or not.
    fn from_iter<I: IntoIterator<Item = u32>>(ranks: I) -> Self {
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for rank in ranks.into_iter().collect::<BTreeSet<u32>>() {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(rank) => *last = rank,
                _ => ranges.push((rank, rank)),
            }
        }
        Self(ranges)
    }
}

impl fmt::Display for Ranks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            if first == last {
                write!(out, "{comma}{first}")?
            } else {
                write!(out, "{comma}{first}-{last}")?
            }
        }
        Ok(())
    }
}

impl FromStr for Ranks {
    type Err = BadRanks;

    fn from_str(text: &str) -> Result<Self, BadRanks> {
        let bad = || BadRanks(text.to_owned());
        let mut ranges: Vec<(u32, u32)> = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (
                first.parse().map_err(|_| bad())?,
                last.parse().map_err(|_| bad())?,
            );
            if first > last || ranges.last().is_some_and(|&(_, before)| first <= before) {
                return Err(bad());
            }
            ranges.push((first, last));
        }
        Ok(Self(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for text in ["", "0", "0-3", "0-3,7", "1,3,5-6"] {
            assert_eq!(
                text.parse::<Ranks>().map(|ranks| ranks.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!(
            "0-3,7".parse::<Ranks>().map(|ranks| ranks.iter().collect()),
            Ok(vec![0, 1, 2, 3, 7])
        );
        assert_eq!(Ranks::consecutive(4, 3).to_string(), "4-6");
        assert_eq!(Ranks::consecutive(4, 0).count(), 0);
    }

    #[test]
    fn ranks_in_any_order_are_the_same_set() {
        assert_eq!(
            [7, 2, 0, 1, 2].into_iter().collect::<Ranks>().to_string(),
            "0-2,7"
        );
        assert_eq!([].into_iter().collect::<Ranks>(), Ranks::default());
    }

    #[test]
    fn what_is_no_ascending_list_is_refused() {
        for text in ["3-1", "1,1", "2-4,3", "a", "1-", "-1"] {
            assert!(text.parse::<Ranks>().is_err(), "{text}");
        }
    }
}
