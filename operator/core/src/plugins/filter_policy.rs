//! Refuses clusters that a FilterPolicy of the workload's namespace does not allow. Every policy that governs the
//! workload must allow a cluster.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};
use crate::workload::PolicyRule;

pub(super) struct FilterPolicy;

impl SchedulerPlugin for FilterPolicy {
    fn name(&self) -> &str {
        "FilterPolicy"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::FILTER.when(!context.policies.is_empty())
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let mut policies = context.policies.iter();
        match policies.find(|policy| !policy.allows(&cluster.name, &cluster.labels)) {
            None => Ok(()),
            Some(policy) => {
                let verb = match &policy.rule {
                    PolicyRule::Clusters { .. } => "excluded by FilterPolicy",
                    PolicyRule::Unreadable(_) => "refused by unreadable FilterPolicy",
                };
                Err(Refusal::new("FilterPolicy", format!("{verb} {}", policy.name)))
            }
        }
    }

    /// A policy that cannot be read lets nothing in, but drives nothing out: what runs was allowed by one that could.
    fn retain(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        let mut readable = context
            .policies
            .iter()
            .filter(|policy| matches!(policy.rule, PolicyRule::Clusters { .. }));
        match readable.find(|policy| !policy.allows(&cluster.name, &cluster.labels)) {
            None => Ok(()),
            Some(policy) => Err(Refusal::new(
                "FilterPolicy",
                format!("excluded by FilterPolicy {}", policy.name),
            )),
        }
    }
}
