//! What a member says: its nodes, its shares, its namespaces that are marked as ours, and what changed. The words between sky-member and everybody else.

use crate::Seconds;
use crate::cluster::Node;
use crate::namespace::SeenNamespace;
use crate::ranks::Ranks;
use crate::share::{ShareKey, Stamp};

/// What a member says about one share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Its object.
    pub key: ShareKey,
    /// What is stamped on it.
    pub stamp: Stamp,
    /// Identity of this very object: another one of the same name has another.
    pub instance: String,
    /// Replicas it is to run.
    pub replicas: i64,
    /// What they are doing.
    pub counts: Counts,
    /// Replicas that are on a node or have ended: the rest still needs its reservation.
    pub settled: i64,
    /// Whether any container of it has ever started.
    pub started: Started,
    /// Indexes of the share's replicas that have succeeded.
    pub done: Ranks,
    /// Replicas (pods) that still take room on a node or may still run something, those on their way out included. A
    /// share that is held back and has none runs nothing any more.
    pub active: i64,
    /// Held back.
    pub suspended: bool,
    /// Held back by its member until its instance is recorded on the host, and not to be released before this time: until
    /// then the member may forget it. `None`: it needs no confirmation, or was released.
    pub confirm: Option<Seconds>,
    /// Since when it is a tombstone: inert for good, it only keeps its name taken.
    pub tombstone: Option<Seconds>,
    /// On its way out.
    pub deleting: bool,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// What keeps its replicas from running, or made them fail.
    pub trouble: Option<Trouble>,
    /// Of a SkyDeployment: how far its object has got with what it was last told.
    pub rollout: Option<Rollout>,
}

/// How far the object of a SkyDeployment's share has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Counts the changes of its spec, whoever made them.
    pub generation: i64,
    /// Whether its controller has taken the last one in.
    pub current: bool,
    /// Replicas that exist, of any template.
    pub existing: i64,
    /// Those of the present template.
    pub updated: i64,
    /// Those that are ready to serve.
    pub ready: i64,
    /// Those that have been ready for long enough.
    pub available: i64,
    /// Why it makes no progress, when it has not for longer than it may.
    pub stuck: Option<Trouble>,
}

/// Whether a replica has ever started. What is known lasts, also when the replica itself is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Started {
    /// None has, for certain.
    #[default]
    No,
    /// One has.
    Yes,
    /// Replicas went unseen: it cannot be known any more.
    Unknown,
}

impl Started {
    /// What is known from both: one that has started outweighs everything, one that went unseen outweighs No.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::No, Self::No) => Self::No,
        }
    }
}

/// Replicas by what they are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Not started yet.
    pub pending: i64,
    /// Started and not ended.
    pub running: i64,
    /// Ended with success.
    pub succeeded: i64,
    /// Ended without success and not tried again.
    pub failed: i64,
}

/// How a share ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every replica succeeded.
    Complete,
    /// A replica failed for good.
    Failed(Trouble),
}

/// A reason code and the member's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// CamelCase code, such as `ImagePullBackOff`.
    pub reason: String,
    /// The member's words.
    pub message: String,
}

/// Something a member has.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "lists of items are short-lived, and mostly of shares"
)]
pub enum Item {
    /// A node.
    Node(Node),
    /// A share of our origin.
    Share(Observation),
    /// A namespace that carries our origin: created or adopted by us.
    Namespace(SeenNamespace),
}

/// What is no longer there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKey {
    /// A node, by name.
    Node(String),
    /// A share.
    Share(ShareKey),
    /// A namespace, by name: it is gone, or carries our origin no more.
    Namespace(String),
}

/// A change on a member. A watch and a poll look the same.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberEvent {
    /// Everything there is; what is not listed is gone.
    Reset(Vec<Item>),
    /// These are new or changed, and those are gone, at one moment.
    Changed {
        /// New or changed.
        upserts: Vec<Item>,
        /// Gone.
        gone: Vec<ItemKey>,
    },
    /// The member does not answer, or not to us; what was said before may be stale. Reason `Unreachable` or
    /// `Unauthorized`.
    Lost(Trouble),
}
