//! Refuses clusters that the SkyNamespace of the workload's namespace does not select. A namespace without a
//! SkyNamespace restricts nothing.

use crate::cluster::Cluster;
use crate::plugin::{Context, Refusal, SchedulerPlugin};

pub(super) struct NamespaceSelection;

impl SchedulerPlugin for NamespaceSelection {
    fn name(&self) -> &str {
        "NamespaceSelection"
    }

    fn filter(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match context.namespace {
            Some(namespace) if namespace.deleting => {
                Err(Refusal::new("NamespaceDeleting", "closed: the SkyNamespace is being deleted"))
            }
            Some(namespace) if !namespace.rule.allows(&cluster.name, &cluster.labels) => {
                Err(Refusal::new("NamespaceSelection", "not selected by the SkyNamespace"))
            }
            _ => Ok(()),
        }
    }

    fn retain(&self, context: Context<'_>, cluster: &Cluster) -> Result<(), Refusal> {
        match context.namespace {
            // What is there when a SkyNamespace is deleted runs to its end.
            Some(namespace) if !namespace.deleting => self.filter(context, cluster),
            _ => Ok(()),
        }
    }
}
