//! When a reconciler looks at its object again.

use std::time::Duration;

use jiff::Timestamp;

/// Every object is looked at again after about this long, whatever happens: watches miss things.
pub const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// From `now` until `at`, a second at least.
#[must_use]
pub fn seconds_until(at: i64, now: Timestamp) -> Duration {
    Duration::from_secs(
        u64::try_from(at.saturating_sub(now.as_second()))
            .unwrap_or(0)
            .max(1),
    )
}

/// `base` up to a fifth longer, by a hash of `uid`, so that objects are not all looked at in one moment.
#[must_use]
pub fn jittered(base: Duration, uid: &str) -> Duration {
    let spread = uid.bytes().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    base + base / 5 * (spread % 100) / 100
}
