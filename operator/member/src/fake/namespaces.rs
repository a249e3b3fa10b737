//! Namespaces of a fake member: as a Kubernetes member keeps them, with what others put into them. Part of `state`.

use std::collections::{BTreeMap, BTreeSet};

use sky_core::Seconds;
use sky_core::labels::Labels;
use sky_core::marks;
use sky_core::namespace::{Namespace, SeenNamespace, Wanted};

use crate::{Class, Ensured, MemberError};

/// One namespace.
#[derive(Clone, Debug, Default)]
struct Kept {
    seen: SeenNamespace,
    /// What we put onto it besides marks.
    applied: (Labels, Labels),
    /// What others put into it.
    contents: BTreeSet<String>,
}

/// All of them, by name.
#[derive(Debug, Default)]
pub(super) struct Namespaces {
    all: BTreeMap<String, Kept>,
    versions: u64,
    /// They stay, on their way out, until let go.
    pub(super) lingering: bool,
}

impl Namespaces {
    pub(super) fn has(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    pub(super) fn get(&self, name: &str) -> Option<&SeenNamespace> {
        self.all.get(name).map(|kept| &kept.seen)
    }

    /// Those that carry the mark of `origin`.
    pub(super) fn of<'n>(&'n self, origin: &'n str) -> impl Iterator<Item = &'n SeenNamespace> {
        let all = self.all.values().map(|kept| &kept.seen);
        all.filter(move |seen| is_of(seen, origin))
    }

    /// The namespace of this name, when it carries the mark of `origin`.
    pub(super) fn seen(&self, name: &str, origin: &str) -> Option<SeenNamespace> {
        self.get(name).filter(|seen| is_of(seen, origin)).cloned()
    }

    /// Changes a namespace, as somebody else would; makes it when it is not there.
    pub(super) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Labels, &mut BTreeSet<String>)) {
        let kept = self.touch(name);
        change(&mut kept.seen.labels, &mut kept.contents);
    }

    pub(super) fn mark_idle(&mut self, name: &str, since: Seconds) {
        self.touch(name).seen.idle_since = Some(since);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.all.remove(name);
    }

    /// The namespace at a new version; a new one when it is not there.
    fn touch(&mut self, name: &str) -> &mut Kept {
        self.versions += 1;
        let version = self.versions.to_string();
        let kept = self.all.entry(name.to_owned()).or_default();
        if kept.seen.name.is_empty() {
            kept.seen.name = name.to_owned();
            kept.seen.instance = format!("namespace-{version}");
        }
        kept.seen.version = version;
        kept
    }

    fn create(&mut self, name: &str, origin: &str) {
        let kept = self.touch(name);
        kept.seen.created = true;
        mark(&mut kept.seen, origin);
        let seen = &mut kept.seen;
        seen.annotations
            .insert(marks::CREATED_BY.into(), origin.to_owned());
    }

    /// Has it there for what is to be created in it; answers whether it was made for it.
    pub(super) fn need(&mut self, name: &str, origin: &str) -> Result<Ensured, MemberError> {
        let Some(kept) = self.all.get(name) else {
            self.create(name, origin);
            return Ok(Ensured::Created);
        };
        if kept.seen.deleting {
            return Err(throttled("is being terminated"));
        }
        if is_created_by(&kept.seen, origin) && kept.seen.idle_since.is_some() {
            self.touch(name).seen.idle_since = None;
            return Ok(Ensured::Updated);
        }
        Ok(Ensured::Present)
    }

    /// Makes it as it is wanted; `held`: whether there are shares in it.
    pub(super) fn ensure(&mut self, namespace: &Namespace, held: bool) -> Result<Ensured, MemberError> {
        let (name, origin) = (&namespace.name, &namespace.origin);
        let going = |namespaces: &Self| namespaces.get(name).is_none_or(|seen| seen.deleting);
        match &namespace.wanted {
            Wanted::Needed => self.need(name, origin),
            Wanted::Held { labels, annotations } => self.hold(name, origin, labels, annotations),
            _ if going(self) => Ok(Ensured::Present),
            Wanted::Released => self.release(name, origin),
            Wanted::Idle { since } => {
                let seen = self.created(name, origin)?;
                if seen.idle_since.is_some() {
                    return Ok(Ensured::Present);
                }
                self.mark_idle(name, *since);
                Ok(Ensured::Updated)
            }
            Wanted::Gone { instance, version } => {
                let seen = self.created(name, origin)?;
                if (&seen.instance, &seen.version) != (instance, version) || seen.idle_since.is_none() {
                    return Err(throttled("was changed or deleted meanwhile"));
                }
                let contents = self.all.get(name).map(|kept| &kept.contents);
                let first = contents.and_then(|contents| contents.first().cloned());
                if let Some(what) = first.or(held.then(|| "jobs.batch".to_owned())) {
                    return Err(MemberError::new(Class::Conflict, format!("holds {what}")));
                }
                self.touch(name).seen.deleting = true;
                if !self.lingering {
                    self.remove(name);
                }
                Ok(Ensured::Updated)
            }
        }
    }

    fn created(&self, name: &str, origin: &str) -> Result<SeenNamespace, MemberError> {
        let found = self.get(name).filter(|seen| is_created_by(seen, origin)).cloned();
        found.ok_or_else(|| MemberError::new(Class::Conflict, "it was not created by this host"))
    }

    fn hold(
        &mut self,
        name: &str,
        origin: &str,
        labels: &Labels,
        annotations: &Labels,
    ) -> Result<Ensured, MemberError> {
        let owner = self.get(name).and_then(|seen| seen.labels.get(marks::ORIGIN));
        if owner.is_some_and(|owner| owner != origin) {
            return Err(MemberError::new(Class::Conflict, "it belongs to another host"));
        }
        let needed = self.need(name, origin)?;
        let Some(before) = self.get(name) else {
            return Ok(needed);
        };
        if is_of(before, origin) && before.carries(labels, annotations) {
            return Ok(needed);
        }
        let (labels, annotations) = Namespace::permitted(labels, annotations, before.created);
        let kept = self.touch(name);
        take_off(kept);
        let seen = &mut kept.seen;
        mark(seen, origin);
        let applied = Namespace::fingerprint(&labels, &annotations);
        seen.annotations.insert(marks::APPLIED.into(), applied);
        seen.labels.extend(labels.clone());
        seen.annotations.extend(annotations.clone());
        kept.applied = (labels, annotations);
        Ok(if needed == Ensured::Created {
            needed
        } else {
            Ensured::Updated
        })
    }

    fn release(&mut self, name: &str, origin: &str) -> Result<Ensured, MemberError> {
        if !self.get(name).is_some_and(|seen| is_of(seen, origin)) {
            return Ok(Ensured::Present);
        }
        let kept = self.touch(name);
        if kept.seen.created {
            return Err(MemberError::new(Class::Conflict, "it was created by this host"));
        }
        take_off(kept);
        kept.seen.labels.remove(marks::ORIGIN);
        kept.seen.annotations.remove(marks::APPLIED);
        Ok(Ensured::Updated)
    }
}

fn throttled(words: &str) -> MemberError {
    MemberError::new(Class::Throttled, format!("the namespace {words}"))
}

fn mark(seen: &mut SeenNamespace, origin: &str) {
    seen.labels.insert(marks::ORIGIN.into(), origin.to_owned());
}

fn is_of(seen: &SeenNamespace, origin: &str) -> bool {
    seen.labels.get(marks::ORIGIN).map(String::as_str) == Some(origin)
}

fn is_created_by(seen: &SeenNamespace, origin: &str) -> bool {
    seen.created && seen.annotations.get(marks::CREATED_BY).map(String::as_str) == Some(origin)
}

/// Takes off what we put onto it.
fn take_off(kept: &mut Kept) {
    let (labels, annotations) = std::mem::take(&mut kept.applied);
    kept.seen
        .labels
        .retain(|key, value| labels.get(key) != Some(value));
    kept.seen
        .annotations
        .retain(|key, value| annotations.get(key) != Some(value));
}
