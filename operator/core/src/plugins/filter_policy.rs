//! Refuses clusters that a FilterPolicy of the workload's namespace does not allow. Every policy that governs the
//! workload must allow a cluster.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin};
use crate::workload::PolicyRule;

pub(super) struct FilterPolicy;

impl SchedulerPlugin for FilterPolicy {
    fn name(&self) -> &'static str {
        "FilterPolicy"
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let policies = context
            .snapshot
            .policies
            .iter()
            .filter(|policy| policy.governs(context.workload));
        for policy in policies {
            if !policy.allows(&cluster.name, &cluster.labels) {
                let verb = match &policy.rule {
                    PolicyRule::Clusters { .. } => "excluded by FilterPolicy",
                    PolicyRule::Unreadable(_) => "refused by unreadable FilterPolicy",
                };
                return Err(Refusal::new("FilterPolicy", format!("{verb} {}", policy.name)));
            }
        }
        Ok(())
    }
}
