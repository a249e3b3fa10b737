//! Members: the trait that every manager implements, and the managers. The only code that talks to members.
//!
//! The operator's fleet calls in; core gives the words (shares, observations, events). No Kubernetes type crosses
//! this interface.

#[cfg(feature = "fake")]
pub mod conformance;
pub mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod gate;
pub mod kubernetes;
pub mod slurm;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use sky_core::Seconds;
use sky_core::config::Config;
use sky_core::namespace::Namespace;
use sky_core::observation::MemberEvent;
use sky_core::share::{Share, ShareKey, Stamp};

pub use error::{Class, MemberError};

/// A registered cluster, whatever runs it.
///
/// # Guarantees
/// Every call ends within [`CALL_DEADLINE`], with an error if need be. `ensure` and `withdraw` may be repeated: a
/// second call finds what the first one did. An object that is not ours is never touched.
#[async_trait]
pub trait Member: Send + Sync + fmt::Debug {
    /// SkyCluster name.
    fn name(&self) -> &str;

    /// Asks who is there.
    ///
    /// # Errors
    /// Any class; `Unauthorized` when the credential is refused.
    async fn probe(&self) -> Result<Probe, MemberError>;

    /// Makes it so: created when absent, left alone when it is as wanted, updated otherwise.
    ///
    /// # Errors
    /// `Conflict` when something foreign has the name, or a tombstone, which is never changed; `Throttled` when it was
    /// changed or deleted meanwhile; `Rejected` when the member refuses it as it is.
    async fn ensure(&self, desired: Desired) -> Result<Ensured, MemberError>;

    /// Begins to take a share away, as `how` says. What has become of it is said by events: gone, or held back with
    /// nothing active any more, and then whether a replica has started before it could be stopped.
    ///
    /// # Errors
    /// `Conflict` when the object is not ours, and for a tombstone when it is of another share; `Throttled` when it is
    /// still on its way out.
    async fn withdraw(&self, key: &ShareKey, how: Withdraw) -> Result<Withdrawn, MemberError>;

    /// What happens there, from now on: first a Reset, or Lost when there is no answer. Never ends.
    fn events(&self) -> BoxStream<'static, MemberEvent>;

    /// Output of one replica.
    ///
    /// # Errors
    /// `Rejected` when the replica has no output, not yet or not any more.
    async fn logs(
        &self,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError>;
}

/// The longest that a call to a member may take.
pub const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// Who answered a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Version of what runs the member.
    pub version: String,
    /// What tells this cluster from any other, whatever its address; `None` when it does not say.
    pub identity: Option<String>,
    /// What else is found there, in words for who joins it.
    pub about: Option<String>,
    /// Why nothing runs there as it is set up, and what to change; `None`: something can.
    pub unusable: Option<String>,
}

/// What is to be on a member.
#[derive(Clone, Debug)]
pub enum Desired {
    /// A share, running or suspended.
    Share(Box<Share>),
    /// Only the number of replicas of a SkyDeployment's share that is there; the rest is left as it is.
    Replicas(Box<Scale>),
    /// A namespace; that it is gone is one of the ways in which it may be wanted.
    ///
    /// `Conflict` when it is another host's or not ours to change, or holds something of anybody's and was to go;
    /// `Throttled` when it is being terminated, was changed meanwhile, or is still being looked through.
    Namespace(Box<Namespace>),
    /// A ConfigMap or Secret that shares use. Managers without them say Present.
    ///
    /// `Conflict` when something of the name is there that is not ours; `Throttled` when it was changed meanwhile;
    /// `Unauthorized` when the member does not let us.
    Config(Box<Config>),
}

/// A number of replicas.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The share's object.
    pub key: ShareKey,
    /// What is stamped on it.
    pub stamp: Stamp,
    /// Replicas.
    pub replicas: i64,
    /// The share as its replicas still are, where that is known: for managers that keep no template of their own.
    pub template: Option<Box<Share>>,
}

/// What `ensure` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was not there.
    Created,
    /// It was as wanted.
    Present,
    /// It was changed, or begins to go.
    Updated,
    /// It is not there, and was only asked for.
    Absent,
    /// A SkyDeployment's share is as wanted, whatever was there; the generation of its object now.
    AsWanted(i64),
}

/// How a share is taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Withdraw {
    /// Delete the object, a tombstone too.
    Remove,
    /// Hold it back unless a replica has started; then nothing is changed. What runs nothing yet is suspended.
    IfNotStarted,
    /// Make it inert for good and keep its name taken: nothing of it runs any more, and a create that is still on its way
    /// finds the name taken. Created when absent.
    Always(Tombstone),
}

/// What a tombstone says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The share that it stands for.
    pub stamp: Stamp,
    /// Since when it is one. What the first said stays.
    pub since: Seconds,
}

/// What `withdraw` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withdrawn {
    /// Nothing is there.
    Gone,
    /// It is on its way out, held back, or a tombstone.
    Going,
    /// A replica has started: nothing was changed.
    Started,
}

/// Which output is asked for.
#[derive(Clone, Debug)]
pub struct LogQuery {
    /// The share.
    pub key: ShareKey,
    /// Index of the replica within the share.
    pub index: i64,
    /// Go on as output comes.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<i64>,
}
