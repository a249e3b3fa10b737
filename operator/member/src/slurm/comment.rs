//! What is written into an array's comment, by which it is known again: the share's stamp, and what is meant to become of
//! the array. slurmctld keeps it with the job; it may have 1024 bytes.

use serde::{Deserialize, Serialize};
use sky_core::Seconds;
use sky_core::share::{ShareKey, Stamp};
use sky_core::workload::Kind;

use crate::{Class, MemberError};

/// Longest comment that Slurm takes.
const LONGEST: usize = 1024;

/// The comment of an array of ours. Names are short, for the room is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comment {
    #[serde(rename = "sky")]
    origin: String,
    #[serde(rename = "k")]
    kind: Kind,
    #[serde(rename = "ns")]
    namespace: String,
    #[serde(rename = "n")]
    name: String,
    #[serde(rename = "u")]
    uid: String,
    #[serde(rename = "r", default, skip_serializing_if = "String::is_empty")]
    run: String,
    #[serde(rename = "s")]
    share: String,
    #[serde(rename = "a")]
    attempt: i64,
    #[serde(rename = "h")]
    spec_hash: String,
    /// Replicas: records of tasks go, one by one, when they have been over for a while.
    #[serde(rename = "c")]
    pub(super) replicas: i64,
    /// Differs for each submit: an id alone may be given to another job when slurmctld loses its last seconds.
    #[serde(rename = "i")]
    pub(super) nonce: String,
    /// Held back by its user, or until it is known whether it may go.
    #[serde(rename = "hold", default, skip_serializing_if = "is_false")]
    pub(super) suspended: bool,
    /// Cancelled for good: what is left of it is not shown.
    #[serde(rename = "gone", default, skip_serializing_if = "is_false")]
    pub(super) removed: bool,
    /// Of a SkyDeployment: which of its share's replicas it is.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(super) slot: Option<u32>,
    /// Since when it is a tombstone.
    #[serde(rename = "tomb", default, skip_serializing_if = "Option::is_none")]
    pub(super) tombstone: Option<Seconds>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Comment {
    pub(super) fn new(stamp: &Stamp, replicas: i64, nonce: String) -> Self {
        Self {
            origin: stamp.origin.clone(),
            kind: stamp.kind,
            namespace: stamp.namespace.clone(),
            name: stamp.name.clone(),
            uid: stamp.uid.clone(),
            run: stamp.run.clone(),
            share: stamp.share.clone(),
            attempt: stamp.attempt,
            spec_hash: stamp.spec_hash.clone(),
            replicas,
            nonce,
            suspended: false,
            removed: false,
            slot: None,
            tombstone: None,
        }
    }

    /// The same, changed.
    pub(super) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    /// The comment that `text` is; `None`: it is not one of ours.
    pub(super) fn read(text: &str) -> Option<Self> {
        text.starts_with('{')
            .then(|| serde_json::from_str(text).ok())
            .flatten()
    }

    /// # Errors
    /// `Rejected` when the names in it leave no room.
    pub(super) fn write(&self) -> Result<String, MemberError> {
        let text = serde_json::to_string(self)
            .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))?;
        if text.len() > LONGEST {
            let words = format!(
                "the names of the workload and its run take {} bytes of a job's comment, which has {LONGEST}; shorten them",
                text.len()
            );
            return Err(MemberError::new(Class::Rejected, words));
        }
        Ok(text)
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            origin: self.origin.clone(),
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            run: self.run.clone(),
            share: self.share.clone(),
            attempt: self.attempt,
            spec_hash: self.spec_hash.clone(),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Hash of what the array was made from.
    pub(super) fn spec_hash(&self) -> &str {
        &self.spec_hash
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// The key of an array of this name and comment.
    pub(super) fn key(&self, job_name: &str) -> ShareKey {
        ShareKey {
            kind: self.kind,
            namespace: self.namespace.clone(),
            object: job_name.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(name: usize) -> Stamp {
        Stamp {
            origin: "0".repeat(36),
            kind: Kind::SkyJob,
            namespace: "n".repeat(63),
            name: "j".repeat(name),
            uid: "u".repeat(36),
            run: "r".repeat(128),
            share: "2048-2047".into(),
            attempt: 9999,
            spec_hash: "5".repeat(16),
        }
    }

    #[test]
    fn the_longest_names_of_the_api_have_room() {
        let mut comment = Comment::new(&stamp(253), 100_000, "0".repeat(12));
        comment.suspended = true;
        comment.removed = true;
        comment.slot = Some(99_999);
        comment.tombstone = Some(9_999_999_999);
        let text = comment.write().expect("room");
        assert_eq!(Comment::read(&text), Some(comment.clone()));
        assert_eq!(comment.stamp(), stamp(253));
    }

    #[test]
    fn names_beyond_it_are_refused_and_not_cut() {
        let error = Comment::new(&stamp(800), 1, "0".into())
            .write()
            .expect_err("too long");
        assert_eq!(error.class, Class::Rejected);
    }

    #[test]
    fn what_others_write_is_not_ours() {
        for text in ["", "a note", "{}", "{\"sky\":1}", "[]"] {
            assert_eq!(Comment::read(text), None, "{text}");
        }
    }
}
