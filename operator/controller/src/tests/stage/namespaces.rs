//! What sees to namespaces on the stage: the operator's own reconciler and its look at idle ones, with the host as one
//! more fake member.

use std::sync::Arc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use kube::runtime::controller::Controller;
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher;
use sky_core::namespace::GRACE;
use sky_crds::SkyNamespace;

use crate::workloads::Workloads;
use sky_member::fake::Fake;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::host::Host;
use super::{Guarded, ORIGIN, Shown};
use crate::fleet::{Fleet, Stir};
use crate::namespace;
use crate::rules::Rules;

/// What it reads.
pub(super) struct Known {
    pub(super) fleet: Arc<Fleet>,
    pub(super) rules: Arc<Rules>,
    pub(super) workloads: Workloads,
    pub(super) namespaces: reflector::Store<Guarded<SkyNamespace>>,
}

/// What the reconciler is shown.
pub(super) struct SeenTo {
    shown: Shown<SkyNamespace>,
    trigger: UnboundedSender<Result<Guarded<SkyNamespace>, watcher::Error>>,
}

impl SeenTo {
    /// Starts it. Answers how it is called, what `own`, the host as a member, tells, and what runs.
    pub(super) fn start(
        host: &Host,
        own: &Fake,
        known: Known,
        stop: &CancellationToken,
    ) -> (
        Self,
        namespace::Calls,
        mpsc::UnboundedReceiver<Stir>,
        Vec<JoinHandle<()>>,
    ) {
        let (stir, told) = mpsc::unbounded_channel();
        let place = Fleet::new(stir, stop.clone());
        place.seat(Arc::new(own.clone()));
        let (calls, called) = mpsc::unbounded_channel();
        let looks = namespace::Calls::new(known.namespaces.clone(), calls);
        let idle = namespace::idle::Idle {
            fleets: [known.fleet.clone(), place.clone()],
            origin: ORIGIN.into(),
            namespaces: known.namespaces,
            workloads: known.workloads.clone(),
            grace: GRACE,
        };
        let context = namespace::Context::new(
            host.client(),
            ORIGIN.into(),
            known.fleet,
            place,
            known.rules,
            known.workloads,
            GRACE,
        );
        let (store, shown) = Shown::<SkyNamespace>::new();
        let (trigger, triggered) = unbounded();
        let parts = vec![
            tokio::spawn(idle.run(stop.clone())),
            tokio::spawn(control(triggered, store, called, context)),
        ];
        let mut seen_to = Self { shown, trigger };
        seen_to.look(host);
        (seen_to, looks, told, parts)
    }

    /// Shows the reconciler what is there now.
    pub(super) fn look(&mut self, host: &Host) {
        for namespace in self.shown.take_in(host.all("SkyNamespace")) {
            self.trigger.unbounded_send(Ok(namespace)).expect("a controller");
        }
    }
}

async fn control(
    triggered: impl futures::Stream<Item = Result<Guarded<SkyNamespace>, watcher::Error>> + Send + 'static,
    namespaces: reflector::Store<Guarded<SkyNamespace>>,
    mut called: mpsc::UnboundedReceiver<ObjectRef<Guarded<SkyNamespace>>>,
    context: namespace::Context,
) {
    let called = futures::stream::poll_fn(move |waker| called.poll_recv(waker));
    Controller::for_stream(triggered, namespaces)
        .reconcile_on(called)
        .run(namespace::reconcile, namespace::retry, Arc::new(context))
        .for_each(|_| std::future::ready(()))
        .await;
}
