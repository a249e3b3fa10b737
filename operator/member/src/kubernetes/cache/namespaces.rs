//! Namespaces that carry our origin, as the watch has told of them. Part of `cache`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace as ApiNamespace;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use sky_core::marks;
use sky_core::namespace::SeenNamespace;
use sky_core::observation::{Item, ItemKey};

use super::Kind;
use crate::kubernetes::namespace::read;

#[derive(Default)]
pub(super) struct Namespaces {
    kind: Kind<SeenNamespace>,
    touched: BTreeSet<String>,
}

impl Namespaces {
    /// Takes in an event; answers whether a list is done.
    pub(super) fn hear(&mut self, event: Event<ApiNamespace>) -> bool {
        match event {
            Event::Apply(object) => {
                self.touched.insert(object.name_any());
                match seen(&object) {
                    Some(seen) => self.kind.present.insert(object.name_any(), seen),
                    None => self.kind.present.remove(&object.name_any()),
                };
            }
            Event::Delete(object) => {
                self.touched.insert(object.name_any());
                self.kind.present.remove(&object.name_any());
            }
            Event::Init => self.kind.listing = Some(Default::default()),
            Event::InitApply(object) => {
                if let Some(seen) = seen(&object) {
                    self.kind.list(object.name_any(), seen);
                }
            }
            Event::InitDone => return self.kind.replace(),
        }
        false
    }

    pub(super) fn await_list(&mut self) {
        self.kind.await_list();
        self.touched.clear();
    }

    pub(super) fn is_synced(&self) -> bool {
        self.kind.synced
    }

    /// All of them.
    pub(super) fn items(&self) -> impl Iterator<Item = Item> {
        self.kind.present.values().cloned().map(Item::Namespace)
    }

    /// What changed since the last call: what is there, and what is not.
    pub(super) fn drain(&mut self) -> (Vec<Item>, Vec<ItemKey>) {
        let (mut upserts, mut gone) = (Vec::new(), Vec::new());
        for name in std::mem::take(&mut self.touched) {
            match self.kind.present.get(&name) {
                Some(seen) => upserts.push(Item::Namespace(seen.clone())),
                None => gone.push(ItemKey::Namespace(name)),
            }
        }
        (upserts, gone)
    }
}

/// The watch is of our origin: what it tells of is marked so.
fn seen(object: &ApiNamespace) -> Option<SeenNamespace> {
    read(object, object.labels().get(marks::ORIGIN)?)
}
