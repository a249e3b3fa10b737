//! Refuses clusters that the SkyNamespace of the workload's namespace does not select. A namespace without a
//! SkyNamespace restricts nothing.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin, Steps};
use crate::workload::{NamespaceRule, PolicyRule};

pub(super) struct NamespaceSelection;

impl SchedulerPlugin for NamespaceSelection {
    fn name(&self) -> &str {
        "NamespaceSelection"
    }

    fn steps(&self, context: Context<'_>) -> Steps {
        Steps::FILTER.when(context.namespace.is_some())
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match context.namespace {
            Some(namespace) if namespace.deleting => Err(Refusal::new(
                "NamespaceDeleting",
                "closed: the SkyNamespace is being deleted",
            )),
            Some(NamespaceRule {
                rule: PolicyRule::Unreadable(_),
                ..
            }) => Err(Refusal::new(
                "NamespaceSelection",
                "refused by the unreadable SkyNamespace",
            )),
            Some(namespace) if !namespace.rule.allows(&cluster.name, &cluster.labels) => Err(Refusal::new(
                "NamespaceSelection",
                "not selected by the SkyNamespace",
            )),
            _ => Ok(()),
        }
    }

    /// What is there when a SkyNamespace is deleted runs to its end. One that cannot be read lets nothing in, but
    /// drives nothing out.
    fn retain(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match context.namespace {
            Some(NamespaceRule {
                rule: PolicyRule::Clusters { .. },
                deleting: false,
            }) => self.filter(context, cluster),
            _ => Ok(()),
        }
    }
}
