//! What the operator is shown of the host: caches that take in what is there when the stage has them look. Used by the stage
//! and by tests that need a cache alone.

use std::collections::BTreeMap;

use kube::core::DeserializeGuard;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host::Host;

pub(super) type Guarded<K> = DeserializeGuard<K>;

/// One reflector, and the version of each object that it shows.
pub(super) struct Shown<K: kube::Resource<DynamicType = ()> + Clone + 'static> {
    writer: reflector::store::Writer<Guarded<K>>,
    versions: BTreeMap<String, Value>,
}

impl<K> Shown<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    pub(super) fn new() -> (reflector::Store<Guarded<K>>, Self) {
        let (store, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Init);
        writer.apply_watcher_event(&Event::InitDone);
        let versions = BTreeMap::new();
        (store, Self { writer, versions })
    }

    /// One that shows what the host has of this kind.
    pub(super) fn of(host: &Host, kind: &str) -> (reflector::Store<Guarded<K>>, Self) {
        let (store, mut shown) = Self::new();
        shown.take_in(host.all(kind));
        (store, shown)
    }

    /// Takes in what is there now; answers what was new, changed or gone.
    pub(super) fn take_in(&mut self, objects: Vec<Value>) -> Vec<Guarded<K>> {
        let read = |object: &Value| serde_json::from_value::<Guarded<K>>(object.clone()).expect("an object");
        let mut touched = Vec::new();
        let mut present = BTreeMap::new();
        for object in objects {
            let key = format!(
                "{}/{}",
                object["metadata"]["namespace"], object["metadata"]["name"]
            );
            let version = object["metadata"]["resourceVersion"].clone();
            if self
                .versions
                .get(&key)
                .is_none_or(|known| known["metadata"]["resourceVersion"] != version)
            {
                self.writer.apply_watcher_event(&Event::Apply(read(&object)));
                touched.push(read(&object));
            }
            present.insert(key, object);
        }
        for (key, object) in &self.versions {
            if !present.contains_key(key) {
                self.writer.apply_watcher_event(&Event::Delete(read(object)));
                touched.push(read(object));
            }
        }
        self.versions = present;
        touched
    }
}

/// A cache of these objects, which does not change.
pub(crate) fn cache_of<K>(objects: Vec<Value>) -> reflector::Store<Guarded<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + 'static,
{
    let (store, mut shown) = Shown::new();
    shown.take_in(objects);
    store
}
