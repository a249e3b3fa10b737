//! Metrics in Prometheus' text format: counted where things happen, once `install` was called; what can be read off the
//! board and the fleet is read when `health` is asked (`scrape`). `table` names them all.
//!
//! Labels are bounded: clusters, reasons, controllers; never workloads. No lock is held over an await.

pub mod scrape;
pub mod table;

use std::sync::OnceLock;
use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use sky_core::decision::Outcome;
use sky_core::eviction::Eviction;

use table::Definition;

static METRICS: OnceLock<Metrics> = OnceLock::new();

/// From a cache hit to a member that does not answer.
const CALL_BUCKETS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0,
];
/// From a decision over few clusters to one over thousands.
const DECISION_BUCKETS: &[f64] = &[
    0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0,
];

/// What is counted as it happens.
pub struct Metrics {
    registry: Registry,
    attempts: IntCounterVec,
    attempt_seconds: HistogramVec,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    reconciles: IntCounterVec,
    reconcile_seconds: HistogramVec,
    evictions: IntCounterVec,
}

fn counter(registry: &Registry, of: &Definition) -> Result<IntCounterVec, Error> {
    let made = IntCounterVec::new(Opts::new(of.name, of.meaning), of.labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn histogram(registry: &Registry, of: &Definition, buckets: &[f64]) -> Result<HistogramVec, Error> {
    let options = HistogramOpts::new(of.name, of.meaning).buckets(buckets.to_vec());
    let made = HistogramVec::new(options, of.labels)?;
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// When two have one name, or a name is none.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let build = IntGaugeVec::new(
            Opts::new(table::BUILD.name, table::BUILD.meaning),
            table::BUILD.labels,
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        registry.register(Box::new(build))?;
        Ok(Self {
            attempts: counter(&registry, &table::ATTEMPTS)?,
            attempt_seconds: histogram(&registry, &table::ATTEMPT_SECONDS, DECISION_BUCKETS)?,
            requests: counter(&registry, &table::REQUESTS)?,
            request_seconds: histogram(&registry, &table::REQUEST_SECONDS, CALL_BUCKETS)?,
            reconciles: counter(&registry, &table::RECONCILES)?,
            reconcile_seconds: histogram(&registry, &table::RECONCILE_SECONDS, CALL_BUCKETS)?,
            evictions: counter(&registry, &table::EVICTIONS)?,
            registry,
        })
    }

    /// Everything counted so far.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    fn attempted(&self, outcome: &Outcome, took: Duration) {
        let result = [match outcome {
            Outcome::Placed(_) => "scheduled",
            Outcome::Queued(_) => "unschedulable",
            Outcome::TooLarge(_) => "too_large",
        }];
        self.attempts.with_label_values(&result).inc();
        self.attempt_seconds
            .with_label_values(&result)
            .observe(took.as_secs_f64());
    }

    fn requested(&self, cluster: &str, request: &str, result: &str, took: Duration) {
        self.requests.with_label_values(&[cluster, request, result]).inc();
        self.request_seconds
            .with_label_values(&[cluster, request])
            .observe(took.as_secs_f64());
    }

    fn reconciled(&self, controller: &str, succeeded: bool, took: Duration) {
        let result = if succeeded { "success" } else { "error" };
        self.reconciles.with_label_values(&[controller, result]).inc();
        self.reconcile_seconds
            .with_label_values(&[controller])
            .observe(took.as_secs_f64());
    }

    fn evicted(&self, reason: &str) {
        self.evictions.with_label_values(&[reason]).inc();
    }
}

/// Begins to count, once in a process.
///
/// # Errors
/// See [`Metrics::new`].
pub fn install() -> Result<(), Error> {
    let fresh = Metrics::new()?;
    METRICS.get_or_init(|| fresh);
    Ok(())
}

/// What is counted, if it is.
#[must_use]
pub fn installed() -> Option<&'static Metrics> {
    METRICS.get()
}

/// A workload was decided.
pub(crate) fn attempted(outcome: &Outcome, took: Duration) {
    if let Some(metrics) = installed() {
        metrics.attempted(outcome, took);
    }
}

/// A member was called; `result` is `ok` or the class of the error.
pub(crate) fn requested(cluster: &str, request: &str, result: &str, took: Duration) {
    if let Some(metrics) = installed() {
        metrics.requested(cluster, request, result, took);
    }
}

/// Those of `wanted` that `stored` does not have were evicted, which has just been written down.
pub(crate) fn evicted(stored: &[Eviction], wanted: &[Eviction]) {
    let Some(metrics) = installed() else { return };
    for eviction in wanted.iter().filter(|eviction| !stored.contains(eviction)) {
        metrics.evicted(&eviction.reason);
    }
}

/// Runs one reconcile of this controller and counts it.
pub(crate) async fn reconciled<T, E>(
    controller: &str,
    reconcile: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let begun = std::time::Instant::now();
    let outcome = reconcile.await;
    if let Some(metrics) = installed() {
        metrics.reconciled(controller, outcome.is_ok(), begun.elapsed());
    }
    outcome
}

#[cfg(test)]
mod tests;
