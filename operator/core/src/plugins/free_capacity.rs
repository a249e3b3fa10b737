//! Prefers clusters that would have most left: over cpu, memory and what the workload asks for besides.

use crate::cluster::Cluster;
use crate::plugin::{Context, SchedulerPlugin};

pub(super) struct FreeCapacity;

impl SchedulerPlugin for FreeCapacity {
    fn name(&self) -> &'static str {
        "FreeCapacity"
    }

    /// The mean, over the resources, of the share in hundredths that is left after one replica.
    fn score(&self, context: Context<'_>, cluster: &Cluster) -> Option<i64> {
        let need = &context.workload.needs.resources;
        let free = cluster.sum(|node| &node.free);
        let all = cluster.sum(|node| &node.allocatable);
        let mut parts = vec![
            left(free.cpu, need.cpu, all.cpu),
            left(free.memory, need.memory, all.memory),
        ];
        for (name, need) in &need.extended {
            let of = |amounts: &crate::resources::Resources| amounts.extended.get(name).copied().unwrap_or(0);
            parts.push(left(of(&free), *need, of(&all)));
        }
        let count = i64::try_from(parts.len()).unwrap_or(i64::MAX);
        Some(parts.iter().sum::<i64>() / count)
    }
}

fn left(free: i64, need: i64, all: i64) -> i64 {
    if all <= 0 {
        return 0;
    }
    let hundredths = i128::from(free.saturating_sub(need).max(0)) * 100 / i128::from(all);
    i64::try_from(hundredths.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::left;

    #[test]
    fn what_is_left_is_counted_in_hundredths() {
        assert_eq!(left(2000, 1000, 2000), 50);
        assert_eq!(left(500, 1000, 2000), 0);
        assert_eq!(left(0, 0, 0), 0);
        assert_eq!(left(i64::MAX, 0, i64::MAX), 100);
    }
}
