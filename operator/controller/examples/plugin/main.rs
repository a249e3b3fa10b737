//! An operator with a plugin of its own: depend on sky-operator, add to the plugins of ours, run. In the configuration file
//! the plugin is ordered, weighted and disabled by its name like any other.

use std::sync::Arc;

use clap::Parser;
use sky_core::cluster::Cluster;
use sky_core::plugin::{Context, Enabled, Refusal, SchedulerPlugin, Score};
use sky_operator::settings::Settings;

/// What a cluster costs an hour, in cents, as its owner labels it.
const PRICE: &str = "example.com/cents-per-hour";
/// Clusters that cost more are not used at all.
const MOST: i64 = 1000;

/// Prefers cheap clusters, refuses dear ones, and has no opinion on those without a price.
struct Price;

fn price(cluster: &Cluster) -> Option<i64> {
    cluster.labels.get(PRICE)?.parse().ok()
}

impl SchedulerPlugin for Price {
    fn name(&self) -> &str {
        "Price"
    }

    fn filter(&self, _: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match price(cluster) {
            Some(cents) if cents > MOST => Err(Refusal::new("TooDear", "too dear")),
            _ => Ok(()),
        }
    }

    fn score(&self, _: Context<'_>, cluster: &Cluster) -> Option<Score> {
        price(cluster).map(|cents| Score::from(100 - (cents.clamp(0, MOST) * 100 / MOST)))
    }
}

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    tracing_subscriber::fmt().init();
    let price = Enabled {
        plugin: Arc::new(Price),
        weight: 5,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(sky_operator::run::run_with(settings, vec![price]))
}
