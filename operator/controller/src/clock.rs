//! The time of day, for reconcilers. Core gets it as an argument.

use jiff::Timestamp;

/// Now.
#[cfg(not(test))]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, as far ahead as the virtual time of the test is.
#[cfg(test)]
pub(crate) fn now() -> Timestamp {
    let ahead = tokio::time::Instant::now()
        .into_std()
        .saturating_duration_since(std::time::Instant::now());
    let ahead = jiff::SignedDuration::try_from(ahead).unwrap_or_default();
    Timestamp::now().saturating_add(ahead).unwrap_or(Timestamp::MAX)
}
