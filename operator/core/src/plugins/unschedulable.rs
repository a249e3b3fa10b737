//! Refuses cordoned clusters.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin};

pub(super) struct Unschedulable;

impl SchedulerPlugin for Unschedulable {
    fn name(&self) -> &'static str {
        "Unschedulable"
    }

    fn filter(&self, _: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        if cluster.unschedulable {
            Err(Refusal::new("Cordoned", "cordoned"))
        } else {
            Ok(())
        }
    }
}
