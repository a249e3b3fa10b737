//! Namespaces that we made on a cluster that is to go: they go before it, when nothing is in them. `leave` waits for that.

use std::collections::BTreeSet;

use kube::Resource;
use sky_core::namespace::{LEAST_GRACE, Namespace, SeenNamespace, leave};
use sky_crds::SkyCluster;
use sky_member::{Class, Desired};

use super::{Context, Memory};
use crate::clock;
use crate::event;
use crate::fleet::View;

/// One step towards having none left on the cluster `name`; answers which are still to go. Those that hold something of
/// somebody's, or that we may not remove, stay and are not waited for.
pub(super) async fn depart(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    memory: &mut Memory,
) -> BTreeSet<String> {
    let created = |view: &View| {
        let all = view.namespaces().filter(|seen| seen.created);
        all.cloned().collect::<Vec<SeenNamespace>>()
    };
    let found = context.fleet.read(name, created).unwrap_or_default();
    let mut waiting = BTreeSet::new();
    for seen in found {
        if memory.kept.contains(&seen.name) {
            continue;
        }
        waiting.insert(seen.name.clone());
        // Nothing will be run there again that could need it: only calls that are under way are waited for.
        let wanted = leave(&seen, clock::now().as_second(), LEAST_GRACE);
        let (Ok(wanted), Some(member)) = (wanted, context.fleet.member(name)) else {
            continue;
        };
        let namespace = Namespace {
            name: seen.name.clone(),
            origin: context.origin.clone(),
            wanted,
        };
        let Err(error) = member.ensure(Desired::Namespace(Box::new(namespace))).await else {
            continue;
        };
        if !matches!(error.class, Class::Unreachable | Class::Throttled) {
            tracing::warn!(cluster = name, namespace = seen.name, class = error.class.as_str(), message = %error.message, "a namespace that was made there stays");
            let words = format!("namespace {} stays on {name}: {}", seen.name, error.message);
            let told = vec![("NamespaceKept".to_owned(), words)];
            let events = event::recorder(context.client.clone());
            event::tell(&events, &cluster.object_ref(&()), &[], told).await;
            waiting.remove(&seen.name);
            memory.kept.insert(seen.name);
        }
    }
    waiting
}
