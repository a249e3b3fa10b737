//! Prefers clusters that would have most left: over cpu, memory and what the workload asks for besides.

use crate::cluster::Cluster;
use crate::plugin::{Context, SchedulerPlugin, Score, Steps};

pub(super) struct FreeCapacity;

impl SchedulerPlugin for FreeCapacity {
    fn name(&self) -> &str {
        "FreeCapacity"
    }

    fn steps(&self, _: Context<'_>) -> Steps {
        Steps::SCORE
    }

    /// The mean, over the resources, of the share in hundredths that is left after one replica.
    fn score(&self, context: Context<'_>, cluster: &Cluster) -> Option<Score> {
        let room = cluster.room.as_ref()?;
        let needs = context.workload.needs_on(cluster);
        let (free, all) = (room.free(), room.allocatable());
        let mut sum = left(free.cpu, needs.resources.cpu, all.cpu)
            + left(free.memory, needs.resources.memory, all.memory);
        let mut count = 2;
        let of = |amounts: &crate::resources::Resources, name: &str| {
            amounts.extended.get(name).copied().unwrap_or(0)
        };
        for (name, need) in &needs.resources.extended {
            sum += left(of(free, name), *need, of(all, name));
            count += 1;
        }
        if let Some(need) = &needs.accelerator
            && let Some(pieces) = room.pieces(&needs)
        {
            sum += left(pieces.free, need.count, pieces.allocatable);
            count += 1;
        }
        Some((sum / count).into())
    }
}

fn left(free: i64, need: i64, all: i64) -> i64 {
    if all <= 0 {
        return 0;
    }
    let left = free.saturating_sub(need).max(0);
    // Amounts too large to be multiplied are so large that hundredths of them are exact enough.
    let hundredths = left
        .checked_mul(100)
        .map_or_else(|| left / (all / 100).max(1), |left| left / all);
    hundredths.min(100)
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
