//! The gate that every write to the host and to members passes: open while this operator leads, shut for good when its
//! lease ran out. `client` builds the only clients there are, `wire` is the last look before bytes go out.
//!
//! The controller's leader opens it; what is asked here is asked at the write itself, by a clock that goes on while the
//! process is frozen: a timer may fire after a write that was ready to go.

pub mod client;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// Why nothing may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Shut {
    /// Another operator leads, or none yet.
    #[error("write: this operator does not lead")]
    NotLeading,
    /// This one led, and its lease was not renewed in time: another may lead by now.
    #[error("write: the lease of this operator ran out")]
    RanOut,
}

/// Reads a clock: time since some fixed moment.
pub type Clock = fn() -> Duration;

/// Whether writes may be made now. A clone is the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    /// Nanoseconds on the clock until which it is open.
    until: AtomicU64,
    ran_out: CancellationToken,
    clock: Clock,
}

const SHUT: u64 = 0;
const ALWAYS: u64 = u64::MAX;

impl Gate {
    /// A gate that is always open: for an operator that runs alone.
    #[must_use]
    pub fn always_open() -> Self {
        Self::new(ALWAYS, since_boot)
    }

    /// A gate that is shut until it is opened.
    #[must_use]
    pub fn shut() -> Self {
        Self::shut_by(since_boot)
    }

    /// The same with another clock: for tests.
    #[must_use]
    pub fn shut_by(clock: Clock) -> Self {
        Self::new(SHUT, clock)
    }

    fn new(until: u64, clock: Clock) -> Self {
        Self(Arc::new(State {
            until: AtomicU64::new(until),
            ran_out: CancellationToken::new(),
            clock,
        }))
    }

    /// The gate's clock now.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.0.clock)()
    }

    /// Opens it, or keeps it open, until the clock says `at`.
    ///
    /// # Errors
    /// When it has run out before: it stays shut.
    pub fn open_until(&self, at: Duration) -> Result<(), Shut> {
        self.wire()?;
        self.0.until.store(nanos(at), Ordering::Release);
        self.wire()
    }

    /// Shuts it in order: all that was begun is over, and nothing more is to be written.
    pub fn resign(&self) {
        self.0.until.store(SHUT, Ordering::Release);
    }

    /// Shuts it for good, at once: not even what has passed it and waits for its connection goes out.
    pub fn lose(&self) {
        self.0.ran_out.cancel();
    }

    /// Whether it is open now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let until = self.0.until.load(Ordering::Acquire);
        until != SHUT && !self.has_passed(until)
    }

    /// When it shuts unless it is kept open; `None` when it is shut, or never does.
    #[must_use]
    pub fn until(&self) -> Option<Duration> {
        let until = self.0.until.load(Ordering::Acquire);
        (until != SHUT && until != ALWAYS).then(|| Duration::from_nanos(until))
    }

    /// Asked right before a request is sent.
    ///
    /// # Errors
    /// When it is a write and the gate is shut. That it ran out is final from then on.
    pub fn check(&self, method: &Method) -> Result<(), Shut> {
        self.wire()?;
        let writes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if writes && self.0.until.load(Ordering::Acquire) == SHUT {
            return Err(Shut::NotLeading);
        }
        Ok(())
    }

    /// Asked right before bytes are sent, whatever they are: once it ran out, nothing is.
    ///
    /// # Errors
    /// When it ran out.
    pub fn wire(&self) -> Result<(), Shut> {
        let until = self.0.until.load(Ordering::Acquire);
        if self.has_passed(until) {
            self.0.ran_out.cancel();
            return Err(Shut::RanOut);
        }
        Ok(())
    }

    /// Waits until somebody found that it ran out.
    pub async fn ran_out(&self) {
        self.0.ran_out.cancelled().await;
    }

    /// Whether it was open and is not any more, though nobody shut it.
    fn has_passed(&self, until: u64) -> bool {
        let passed = !matches!(until, SHUT | ALWAYS) && nanos(self.now()) >= until;
        passed || self.0.ran_out.is_cancelled()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos())
        .unwrap_or(ALWAYS - 1)
        .clamp(1, ALWAYS - 1)
}

/// Time since boot, time asleep included: a machine that was suspended, or a process that was stopped, has no more of
/// its lease left than any other.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: nix::time::ClockId = nix::time::ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: nix::time::ClockId = nix::time::ClockId::CLOCK_MONOTONIC;
    // It only fails for a clock that the kernel does not have; then nothing is open any more.
    nix::time::clock_gettime(CLOCK).map_or(Duration::MAX, Duration::from)
}

#[cfg(test)]
mod tests;
