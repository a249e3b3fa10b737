//! When a namespace that nothing of ours needs any more may go from a member. Asked by `plan`, and by the operator for
//! namespaces that have no SkyNamespace.
//!
//! A share may be on its way there at any moment, sent by us before we knew, or by an operator that was killed. So it is
//! first marked idle, and deleted later, in that very version: whoever sends a share to a marked namespace takes the mark
//! off first, and what was sent before the mark has arrived, and is found, when the grace is over.

use super::wanted::{SeenNamespace, Wanted};
use crate::Seconds;

/// Seconds between the mark and the deletion where the operator is not told another: long enough that a job that is run
/// again finds its namespace.
pub const GRACE: Seconds = 60;
/// The least that it may be told: longer than any call to a member lasts.
pub const LEAST_GRACE: Seconds = 20;

/// What is to be done about a namespace that is needed: a mark that was written before that was known is old by the
/// time when it is needed no more, and would leave no grace.
#[must_use]
pub fn stay(seen: &SeenNamespace) -> Option<Wanted> {
    let marked = seen.created && !seen.deleting && seen.idle_since.is_some();
    marked.then_some(Wanted::Needed)
}

/// What is to be done about a namespace that nothing of ours needs at `now`; else when there will be something. `grace` is
/// in seconds, as is `now`.
///
/// # Errors
/// Not yet: the time to ask again, `None` when only the member has something to do.
pub fn leave(seen: &SeenNamespace, now: Seconds, grace: Seconds) -> Result<Wanted, Option<Seconds>> {
    if seen.deleting {
        return Err(None);
    }
    if !seen.created {
        return Ok(Wanted::Released);
    }
    match seen.idle_since {
        None => Ok(Wanted::Idle { since: now }),
        // A mark of the future is a clock that was wrong: its time is over when it should have been.
        Some(since) if now >= since.saturating_add(grace) => Ok(Wanted::Gone {
            instance: seen.instance.clone(),
            version: seen.version.clone(),
        }),
        Some(since) => Err(Some(since.saturating_add(grace))),
    }
}
