//! ConfigMaps and Secrets follow workloads: copied to a member before a share that names them is created there, kept in
//! step while it is there, and released when it names them no more. Called by the reconcilers of both kinds of workload.
//!
//! `source` reads the host, `ledger` remembers what was done. Who uses a copy is said on the copy itself: the member
//! removes it with the last share that does.

mod keep;
mod ledger;
mod source;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use sky_core::config::{Config, ConfigName, Need, User, Wanted, of_share, reason};
use sky_core::job::SentBack;
use sky_core::observation::Trouble;
use sky_core::share::{Share, ShareKey};
use sky_member::{Class, Desired, Ensured, Member, MemberError};
use tokio::time::Instant;

use crate::fleet::Fleet;
pub use keep::{Kept, Look, Use};
use ledger::Entry;
pub use ledger::Ledger;
use source::{Source, Version};

/// What a share waits for is looked for again after this long.
pub const BLOCKED: Duration = Duration::from_secs(30);

/// What could not be removed before a workload is let go is tried again after this long.
pub const RELEASE_AGAIN: Duration = Duration::from_secs(5);

/// Why a share cannot be sent to its member.
#[derive(Clone, Debug)]
pub enum Setback {
    /// What the member answered.
    Member(MemberError),
    /// A ConfigMap or Secret that it names cannot be had.
    Config(Trouble),
}

impl Setback {
    /// The class of what a member answered.
    #[must_use]
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Member(error) => Some(error.class),
            Self::Config(_) => None,
        }
    }

    /// Whether it may have happened all the same.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.class() == Some(Class::Unreachable)
    }

    /// As it is planned with.
    #[must_use]
    pub fn sent_back(self) -> SentBack {
        match self {
            Self::Config(trouble) => SentBack {
                for_good: false,
                trouble,
            },
            Self::Member(error) => {
                let for_good = error.class == Class::Rejected;
                let reason = if for_good {
                    "InvalidTemplate"
                } else {
                    error.class.as_str()
                };
                SentBack {
                    for_good,
                    trouble: Trouble {
                        reason: reason.into(),
                        message: error.message,
                    },
                }
            }
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(error) => write!(out, "{}: {}", error.class.as_str(), error.message),
            Self::Config(why) => write!(out, "{}: {}", why.reason, why.message),
        }
    }
}

impl From<MemberError> for Setback {
    fn from(error: MemberError) -> Self {
        Self::Member(error)
    }
}

/// What reads the host and writes copies.
pub struct Follow {
    source: Source,
    fleet: Arc<Fleet>,
    origin: String,
}

impl Follow {
    /// For the host of this origin, whose operator lives in `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: String, origin: String, fleet: Arc<Fleet>) -> Self {
        Self {
            source: Source::new(client, namespace),
            fleet,
            origin,
        }
    }

    /// Has everything on `member` that the pods of `share` name, before it is sent there. `instance` is its object's,
    /// if it is there.
    ///
    /// # Errors
    /// When pods could not start without what is lacking, or the member refuses.
    pub async fn supply(
        &self,
        member: &dyn Member,
        share: &Share,
        instance: Option<&str>,
        ledger: &Ledger,
    ) -> Result<(), Setback> {
        let place = (share.cluster.clone(), share.key.clone());
        for (name, need) in of_share(share) {
            let user = User {
                key: share.key.clone(),
                instance: instance.map(str::to_owned),
            };
            let (version, note) = self.put(member, &name, need, user).await?;
            let entry = Entry {
                version: Some(version),
                instance: instance.map(str::to_owned),
                at: Instant::now(),
                note,
            };
            ledger.enter(&place, &name, entry);
        }
        Ok(())
    }

    /// Has one of them there for a share: our copy of it, or what others have put there when the host has none for us.
    /// Answers what the host has, and what is to be said of it.
    async fn put(
        &self,
        member: &dyn Member,
        name: &ConfigName,
        need: Need,
        user: User,
    ) -> Result<(Version, Option<Trouble>), Setback> {
        let namespace = user.key.namespace.clone();
        let found = self.source.read(&namespace, name).await?;
        let why = match found.content {
            Ok(content) => {
                let held = Wanted::Held { content, user };
                return match self.ensure(member, &namespace, name, held).await {
                    Ok(_) => Ok((found.version, None)),
                    Err(error) if error.class == Class::Rejected => Err(Setback::Config(Trouble {
                        reason: reason::REJECTED.into(),
                        message: format!("the member refuses the copy of {name}: {}", error.message),
                    })),
                    Err(error) => Err(error.into()),
                };
            }
            Err(why) => why,
        };
        let there = self.ensure(member, &namespace, name, Wanted::There).await?;
        if there == Ensured::Absent && need == Need::Required {
            return Err(Setback::Config(why));
        }
        // What nobody has is no trouble, when it may be lacking.
        let note = Some(why).filter(|why| why.reason != reason::MISSING);
        Ok((found.version, note))
    }

    async fn ensure(
        &self,
        member: &dyn Member,
        namespace: &str,
        name: &ConfigName,
        wanted: Wanted,
    ) -> Result<Ensured, MemberError> {
        let config = Config {
            origin: self.origin.clone(),
            namespace: namespace.to_owned(),
            name: name.clone(),
            wanted,
        };
        member.ensure(Desired::Config(Box::new(config))).await
    }

    /// The share does not use it any more; `None`: it is removed unless anybody uses it. Answers whether that is done, or
    /// need not be tried again.
    async fn release(
        &self,
        cluster: &str,
        namespace: &str,
        name: &ConfigName,
        user: Option<ShareKey>,
    ) -> bool {
        let Some(member) = self.fleet.member(cluster) else {
            return false;
        };
        let answer = self
            .ensure(&*member, namespace, name, Wanted::Released(user))
            .await;
        let Err(error) = answer else { return true };
        tracing::info!(cluster, namespace, %name, class = error.class.as_str(), message = %error.message, "failed to release a copy");
        !matches!(error.class, Class::Unreachable | Class::Throttled)
    }
}

#[cfg(test)]
mod tests;
