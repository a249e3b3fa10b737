//! Answers /livez, /readyz and /metrics. Ready once the host's objects are known; a dead member, or that another operator
//! leads, changes nothing here. Alive while the event loop turns.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::scrape::Scrape;

/// Between two beats of the pulse.
const BEAT: Duration = Duration::from_secs(1);
/// An event loop that has not turned for so long is stuck.
const STUCK: Duration = Duration::from_secs(20);

/// Whether the caches of the host are synced.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on, ready.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// When the event loop last turned.
#[derive(Clone, Debug)]
pub struct Pulse {
    begun: Instant,
    /// Milliseconds after `begun`.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// One that has just been felt.
    #[must_use]
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Beats until `stop`.
    pub async fn beat(self, stop: CancellationToken) {
        loop {
            let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last.store(millis, Ordering::Release);
            tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn is_felt(&self) -> bool {
        let last = Duration::from_millis(self.last.load(Ordering::Acquire));
        self.begun.elapsed().saturating_sub(last) < STUCK
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

/// Serves until `stop`.
///
/// # Errors
/// When `address` cannot be bound.
pub async fn serve(
    address: SocketAddr,
    ready: Readiness,
    pulse: Pulse,
    scrape: Scrape,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let gate = scrape.gate.clone();
    let livez = move || async move {
        if gate.wire().is_err() {
            return verdict(false, "the lease was lost: this operator is about to end");
        }
        verdict(pulse.is_felt(), "the event loop has not turned for 20 s")
    };
    let readyz = move || async move { verdict(ready.is_set(), "the host's objects are not all known yet") };
    let routes = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(move || async move { metrics(&scrape) }));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}

fn verdict(holds: bool, else_says: &'static str) -> (StatusCode, &'static str) {
    if holds {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, else_says)
    }
}

fn metrics(scrape: &Scrape) -> Response {
    match scrape.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_has_no_pulse() {
        let (pulse, stop) = (Pulse::new(), CancellationToken::new());
        let beating = tokio::spawn(pulse.clone().beat(stop.clone()));
        tokio::time::sleep(Duration::from_secs(300)).await;
        assert!(pulse.is_felt());
        stop.cancel();
        beating.await.expect("no panic");
        tokio::time::sleep(STUCK + BEAT).await;
        assert!(!pulse.is_felt());
    }
}
