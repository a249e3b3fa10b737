//! Answers /livez and /readyz. Ready once the host's objects are known; a dead member changes nothing here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio_util::sync::CancellationToken;

/// Whether the caches of the host are synced.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on, ready.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Serves until `stop`.
///
/// # Errors
/// When `address` cannot be bound.
pub async fn serve(address: SocketAddr, ready: Readiness, stop: CancellationToken) -> std::io::Result<()> {
    let readyz = move || async move {
        if ready.0.load(Ordering::Acquire) {
            (StatusCode::OK, "ok")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the host's objects are not all known yet",
            )
        }
    };
    let routes = Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, routes)
        .with_graceful_shutdown(async move { stop.cancelled().await })
        .await
}
