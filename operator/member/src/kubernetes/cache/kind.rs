//! Objects of one kind as a watch tells of them: present ones, and a list that replaces them as a whole when it is done.

use std::collections::HashMap;

/// Objects of one kind, and the list that is under way.
pub(super) struct Kind<V> {
    pub(super) present: HashMap<String, V>,
    pub(super) listing: Option<HashMap<String, V>>,
    pub(super) synced: bool,
}

impl<V> Default for Kind<V> {
    fn default() -> Self {
        Self {
            present: HashMap::new(),
            listing: None,
            synced: false,
        }
    }
}

impl<V> Kind<V> {
    pub(super) fn list(&mut self, id: String, value: V) {
        self.listing.get_or_insert_default().insert(id, value);
    }

    pub(super) fn await_list(&mut self) {
        self.listing = None;
        self.synced = false;
    }

    pub(super) fn replace(&mut self) -> bool {
        self.present = self.listing.take().unwrap_or_default();
        self.synced = true;
        true
    }
}
