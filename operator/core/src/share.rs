//! A share: some replicas of one workload on one member, with everything the member needs to create it. Made by
//! sky-convert from a placement, dispatched by sky-member.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::labels::Labels;
pub use crate::patch::Patch;
use crate::ranks::Ranks;
use crate::resources::Resources;
use crate::workload::{Kind, WorkloadRef};

/// What is stamped on every object we create on a member, so that it is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Identity of the host.
    pub origin: String,
    /// Kind of the workload.
    pub kind: Kind,
    /// Namespace of the workload, and of the object.
    pub namespace: String,
    /// Name of the workload.
    pub name: String,
    /// Uid of the workload on the host.
    pub uid: String,
    /// Run id; empty for the first run without one.
    pub run: String,
    /// Share id, unique within the workload.
    pub share: String,
    /// 1 at the first placing of these ranks within the run.
    pub attempt: i64,
    /// Hash of the spec it was made from.
    pub spec_hash: String,
}

impl Stamp {
    /// The workload that the share is of, by name: it may have been created anew since.
    #[must_use]
    pub fn workload(&self) -> WorkloadRef {
        WorkloadRef {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }

    /// Whether both are of one share: what it was made from may have changed since.
    #[must_use]
    pub fn is_of_same_share(&self, other: &Self) -> bool {
        (&self.origin, &self.uid, &self.run, &self.share)
            == (&other.origin, &other.uid, &other.run, &other.share)
    }
}

/// Names one share's object on its member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShareKey {
    /// Kind of its workload: objects of different kinds may have one name.
    pub kind: Kind,
    /// Namespace on the member.
    pub namespace: String,
    /// Object name on the member.
    pub object: String,
}

/// A share as a member is to create it.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its object's place on the member.
    pub key: ShareKey,
    /// What is stamped on it.
    pub stamp: Stamp,
    /// The member it goes to.
    pub cluster: String,
    /// Replicas here.
    pub replicas: i64,
    /// Replicas of the whole workload.
    pub total_replicas: i64,
    /// Ranks of the replicas here, by index.
    pub ranks: Ranks,
    /// Held back: it exists, but no replica runs.
    pub suspended: bool,
    /// It was seen on its member: it may be changed there, but never be created anew.
    pub known: bool,
    /// Identity of the very object that may run: it is recorded on the host. `None`: none is, what a member confirms stays
    /// held back.
    pub instance: Option<String>,
    /// The user's labels, copied.
    pub labels: Labels,
    /// The user's annotations, copied.
    pub annotations: Labels,
    /// What a replica runs.
    pub program: Program,
    /// Changes of its pod template on this cluster, in order; a later one wins.
    pub patches: Vec<Patch>,
    /// What a replica asks for before these changes.
    pub requests: Resources,
    /// Accelerators that it asks for besides, as its member names them.
    pub accelerator: Option<Accelerator>,
    /// What happens when a replica of a SkyJob fails.
    pub retry: Retry,
    /// Seconds without progress after which a rollout of a SkyDeployment counts as stuck; `None`: the member's default.
    pub progress_deadline: Option<i64>,
}

/// Accelerators that a replica asks for, as its member names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    /// Name of the resource there, such as `nvidia.com/gpu`.
    pub resource: String,
    /// Pieces.
    pub count: i64,
    /// Models, as nodes' labels spell them, of which the node must have one; empty: any.
    pub models: Vec<String>,
}

/// What a replica runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    /// One container.
    Container(Container),
    /// A pod template, as the user wrote it.
    Template(Value),
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// Its image.
    pub image: String,
    /// Always, IfNotPresent or Never; `None`: the member's own default.
    pub pull_policy: Option<String>,
    /// Names of Secrets with registry credentials.
    pub pull_secrets: Vec<String>,
    /// Service account.
    pub service_account: Option<String>,
    /// What it executes.
    pub entry: Entry,
    /// Its environment, in order.
    pub env: Vec<(String, EnvValue)>,
    /// Ports it opens, as a Pod writes them.
    pub ports: Vec<Value>,
    /// Its user names no image.
    pub no_image: bool,
    /// Options for Slurm members; present: it may run there on the cluster's own system.
    pub slurm: Option<Box<SlurmOptions>>,
}

/// How a replica runs on a Slurm member; what is absent is the cluster's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlurmOptions {
    /// Partition.
    pub partition: Option<String>,
    /// Account.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Minutes.
    pub time_limit: Option<i64>,
    /// Working directory.
    pub work_dir: Option<String>,
    /// Further submit options by name.
    pub directives: BTreeMap<String, String>,
}

/// What a container executes.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A script for the image's /bin/sh.
    Script(String),
    /// A command and arguments; both empty: the image's own.
    Command {
        /// Entry point.
        command: Vec<String>,
        /// Arguments.
        args: Vec<String>,
    },
}

impl Default for Entry {
    fn default() -> Self {
        Self::Command {
            command: vec![],
            args: vec![],
        }
    }
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq)]
pub enum EnvValue {
    /// The text itself.
    Literal(String),
    /// A source, as a Pod's `valueFrom` writes it.
    From(Value),
}

/// What happens when a replica fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The replica is started anew as a whole, at most this often.
    Replace(i64),
    /// The container is restarted in place; the share fails after this many failures in all.
    Restart(i64),
}

impl Retry {
    /// The same with `used` tries less.
    #[must_use]
    pub fn less(self, used: i64) -> Self {
        let left = |limit: i64| limit.saturating_sub(used).max(0);
        match self {
            Self::Replace(limit) => Self::Replace(left(limit)),
            Self::Restart(limit) => Self::Restart(left(limit)),
        }
    }
}
