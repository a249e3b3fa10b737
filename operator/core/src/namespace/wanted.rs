//! One namespace: how it is to be, and what is seen of it. Made by `plan`, carried out and observed by sky-member.

use crate::Seconds;
use crate::labels::Labels;
use crate::{marks, naming};

/// Labels that say what pods of a namespace may do. Those of a namespace that somebody else made are not ours to change.
const POD_SECURITY: &str = "pod-security.kubernetes.io/";

/// A namespace as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: String,
    /// Identity of the host that wants it so.
    pub origin: String,
    /// How it is to be.
    pub wanted: Wanted,
}

/// How a namespace is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// There, with these labels and annotations besides what others put onto it. One that is there is adopted.
    Held {
        /// Labels.
        labels: Labels,
        /// Annotations.
        annotations: Labels,
    },
    /// There, for a share. Somebody else's is left as it is.
    Needed,
    /// One that we created: marked that nothing of ours needs it.
    Idle {
        /// Since when.
        since: Seconds,
    },
    /// One that was adopted: what we put onto it is taken off.
    Released,
    /// One that we created, marked idle: gone, if it is still as it was seen and holds nothing of anybody's.
    Gone {
        /// The very object that was seen.
        instance: String,
        /// Its version then.
        version: String,
    },
}

impl Namespace {
    /// The labels and annotations that it is to have, of these; `created`: by us.
    #[must_use]
    pub fn permitted(labels: &Labels, annotations: &Labels, created: bool) -> (Labels, Labels) {
        let ours = |key: &str| key.starts_with("skymanager.io/") || key == "kubernetes.io/metadata.name";
        let kept = |all: &Labels, allowed: &dyn Fn(&str) -> bool| {
            let each = all.iter().filter(|(key, _)| !ours(key) && allowed(key));
            each.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let guarded = |key: &str| created || !key.starts_with(POD_SECURITY);
        (kept(labels, &guarded), kept(annotations, &|_| true))
    }

    /// Hash of labels and annotations, by which it shows what was put onto a namespace last.
    #[must_use]
    pub fn fingerprint(labels: &Labels, annotations: &Labels) -> String {
        let pairs = |all: &Labels| -> Vec<String> {
            let each = all.iter().map(|(key, value)| format!("{key}={value}"));
            each.collect()
        };
        let parts = [pairs(labels), vec!["annotations".to_owned()], pairs(annotations)].concat();
        naming::hash(&parts.iter().map(String::as_str).collect::<Vec<_>>(), 16)
    }
}

/// What a member shows of a namespace that carries our origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenNamespace {
    /// Its name.
    pub name: String,
    /// Identity of this very object.
    pub instance: String,
    /// Its version, of which a deletion depends.
    pub version: String,
    /// Whether we created it; else it was there before us, and was adopted.
    pub created: bool,
    /// All its labels.
    pub labels: Labels,
    /// All its annotations.
    pub annotations: Labels,
    /// Since when it is marked as needed by nothing of ours.
    pub idle_since: Option<Seconds>,
    /// On its way out.
    pub deleting: bool,
}

impl SeenNamespace {
    /// Whether it carries these labels and annotations, and none that we put onto it before and that are not wanted now.
    #[must_use]
    pub fn carries(&self, labels: &Labels, annotations: &Labels) -> bool {
        let (labels, annotations) = Namespace::permitted(labels, annotations, self.created);
        let has =
            |all: &Labels, wanted: &Labels| wanted.iter().all(|(key, value)| all.get(key) == Some(value));
        let applied = Namespace::fingerprint(&labels, &annotations);
        self.annotations.get(marks::APPLIED) == Some(&applied)
            && has(&self.labels, &labels)
            && has(&self.annotations, &annotations)
    }
}
