//! Passes on what the fleet stirs: to workloads, namespaces, clusters and the scheduler. Run by `run` once the operator
//! leads.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::core::DeserializeGuard;
use kube::runtime::reflector::ObjectRef;
use sky_crds::SkyCluster;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::calls::Calls;
use crate::fleet::Stir;
use crate::namespace;
use crate::scheduler::Board;

/// Changes of a member's nodes are gathered for this long before its SkyCluster is looked at.
const GATHER: Duration = Duration::from_millis(500);

/// What members and the host stir.
pub struct Stirs {
    /// Of members.
    pub members: UnboundedReceiver<Stir>,
    /// Of the host.
    pub host: UnboundedReceiver<Stir>,
}

impl Stirs {
    /// Drops what is stirred: nobody acts on it yet, and whoever will, begins by looking at everything. Never ends.
    pub async fn drain(&mut self) {
        loop {
            let stir = tokio::select! {
                stir = self.members.recv() => stir,
                stir = self.host.recv() => stir,
            };
            if stir.is_none() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Passes on what members say: to workloads at once, to clusters gathered, and to the scheduler. Until `stop`.
pub async fn forward(
    mut stirs: UnboundedReceiver<Stir>,
    workloads: Calls,
    clusters: UnboundedSender<ObjectRef<DeserializeGuard<SkyCluster>>>,
    namespaces: namespace::Calls,
    board: std::sync::Arc<Board>,
    stop: CancellationToken,
) {
    let mut gathered: BTreeSet<String> = BTreeSet::new();
    let mut flush = tokio::time::interval(GATHER);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            stir = stirs.recv() => match stir {
                Some(Stir::Workload(workload)) => workloads.call(&workload),
                Some(Stir::Cluster(name)) => {
                    board.wake();
                    gathered.insert(name);
                }
                Some(Stir::Namespace(name)) => namespaces.look_at(&name),
                Some(Stir::Namespaces) => namespaces.look_at_all(),
                None => return,
            },
            () = stop.cancelled() => return,
            _ = flush.tick(), if !gathered.is_empty() => {
                for name in std::mem::take(&mut gathered) {
                    // The receiver only goes when the operator ends.
                    let _ = clusters.send(ObjectRef::new(&name));
                }
            }
        }
    }
}

/// Passes on what changes of namespaces on the host, until `stop`.
pub async fn forward_host(
    mut stirs: UnboundedReceiver<Stir>,
    namespaces: namespace::Calls,
    stop: CancellationToken,
) {
    loop {
        let stir = tokio::select! {
            stir = stirs.recv() => stir,
            () = stop.cancelled() => None,
        };
        match stir {
            Some(Stir::Namespace(name)) => namespaces.look_at(&name),
            Some(Stir::Namespaces) => namespaces.look_at_all(),
            Some(Stir::Workload(_) | Stir::Cluster(_)) => {}
            None => return,
        }
    }
}
