//! Passes on which SkyNamespaces are to be looked at, because something changed on a member. Fed by the fleet's stirs.

use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::{ObjectRef, Store};
use sky_crds::SkyNamespace;
use tokio::sync::mpsc::UnboundedSender;

type Guarded = DeserializeGuard<SkyNamespace>;

/// Calls the reconciler.
#[derive(Clone)]
pub struct Calls {
    known: Store<Guarded>,
    sender: UnboundedSender<ObjectRef<Guarded>>,
}

impl Calls {
    /// Calls go to `sender`, for SkyNamespaces that are `known`.
    #[must_use]
    pub fn new(known: Store<Guarded>, sender: UnboundedSender<ObjectRef<Guarded>>) -> Self {
        Self { known, sender }
    }

    /// Has the SkyNamespace of this name looked at, if there is one.
    pub fn look_at(&self, name: &str) {
        if let Some(guard) = self.known.get(&ObjectRef::new(name)) {
            // The receiver only goes when the operator ends.
            let _ = self.sender.send(ObjectRef::from_obj(&*guard));
        }
    }

    /// Has every SkyNamespace looked at.
    pub fn look_at_all(&self) {
        for guard in self.known.state() {
            let _ = self.sender.send(ObjectRef::new(&guard.name_any()));
        }
    }
}
