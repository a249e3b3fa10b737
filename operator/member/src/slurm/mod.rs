//! A Slurm member, reached through slurmrestd: arrays of jobs, observed by looking at them again and again.
//!
//! `wire` connects, `http` sends, `client` speaks, `dialect` knows what versions differ in; `submission`, `comment`,
//! `dispatch` and `withdraw` make arrays of shares, and take them away; `look` lists, `array` and `observe` read what is
//! listed, `past` remembers, `accounting` asks for what was forgotten, `poll` tells. A SkyDeployment's share has an array for
//! each replica: `slots` says what is to become of them and `deployment` sees to it.

mod accounting;
mod array;
mod client;
mod comment;
mod deployment;
mod dialect;
mod dispatch;
mod errors;
mod http;
mod logs;
mod look;
mod node;
mod observe;
mod past;
mod poll;
mod slots;
mod submission;
mod wire;
mod withdraw;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use sky_core::observation::MemberEvent;
use sky_core::share::ShareKey;
use sky_core::workload::Kind;
use tokio::sync::Semaphore;

use crate::gate::Gate;
use crate::{
    CALL_DEADLINE, Class, Desired, Ensured, LogQuery, Member, MemberError, Probe, Withdraw, Withdrawn,
};
pub use accounting::{Record, Recorded};
use client::Client;
pub use http::AccessError;
use http::Http;
use look::Site;

/// Calls to one member that may be under way at once: slurmctld takes jobs one by one.
const CALLS_AT_ONCE: usize = 16;

/// What tells a cluster from others, as far as it says so.
type Identity = Option<String>;

/// How a Slurm cluster is reached, and what holds for every job there. Without the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// URL of slurmrestd, or `unix://` and the path of its socket.
    pub endpoint: String,
    /// User that jobs are submitted as.
    pub user: String,
    /// PEM certificates that sign the endpoint's; `None`: those of the machine.
    pub ca_bundle: Option<String>,
    /// Partition of jobs that name none; `None`: the cluster's default.
    pub partition: Option<String>,
    /// Account of jobs that name none.
    pub account: Option<String>,
    /// Quality of service of jobs that name none.
    pub qos: Option<String>,
    /// Working directory of jobs that name none.
    pub work_dir: Option<String>,
    /// Directory that replicas' output goes to; `None`: `work_dir`.
    pub logs: Option<String>,
    /// How images run there.
    pub runtime: Runtime,
    /// Image names to what the runtime takes.
    pub images: BTreeMap<String, String>,
    /// Tasks that an array may have.
    pub max_array_size: i64,
    /// Seconds that an array stays held after it was first listed.
    pub confirm_seconds: i64,
}

/// How images run on a Slurm cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Not at all.
    #[default]
    None,
    /// By the program apptainer on the nodes.
    Apptainer,
    /// By Slurm's own `--container`.
    Oci,
    /// By srun's `--container-image`.
    Pyxis,
}

/// A member run by Slurm.
pub struct Slurm {
    name: String,
    expected: Option<String>,
    site: Arc<Site>,
    calls: Semaphore,
}

impl fmt::Debug for Slurm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Slurm")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Slurm {
    /// The member `name`, reached as `access` says with `token`; what it is given there is marked with `origin`. When it
    /// turns out not to be the cluster of the identity `expected`, it counts as silent. It is written to while `gate` is
    /// open.
    ///
    /// # Errors
    /// When the endpoint, the certificates or the token cannot be used.
    pub fn new(
        name: &str,
        origin: &str,
        expected: Option<String>,
        access: Access,
        token: &str,
        gate: &Gate,
    ) -> Result<Self, AccessError> {
        let (endpoint, ca) = (&access.endpoint, access.ca_bundle.as_deref());
        let http = Http::new(endpoint, &access.user, token, ca, gate.clone())?;
        Ok(Self {
            name: name.to_owned(),
            expected,
            site: Arc::new(Site::new(Client::new(http), access, origin)),
            calls: Semaphore::new(CALLS_AT_ONCE),
        })
    }

    /// The same member, which asks `record` what the host knows to be there: how it ended is then asked of accounting, should
    /// slurmctld have forgotten it.
    #[must_use]
    pub fn recorded_by(self, record: Record) -> Self {
        // It is set once, before anybody looks.
        let _ = self.site.record.set(record);
        self
    }

    /// From now on calls carry `token`: those under way go on with the one before.
    ///
    /// # Errors
    /// When it is no token; the one before stays.
    pub fn set_token(&self, token: &str) -> Result<(), AccessError> {
        self.site.client.http().set_token(token)?;
        self.site.stir();
        Ok(())
    }

    /// Runs one call under the member's bound of concurrency and the call's deadline.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, MemberError>> + Send,
    ) -> Result<T, MemberError> {
        let bounded = async {
            let _permit = self.calls.acquire().await;
            call.await
        };
        match tokio::time::timeout(CALL_DEADLINE, bounded).await {
            Ok(answer) => answer,
            Err(_) => {
                let words = format!("no answer within {} s", CALL_DEADLINE.as_secs());
                Err(MemberError::new(Class::Unreachable, words))
            }
        }
    }
}

#[async_trait]
impl Member for Slurm {
    fn name(&self) -> &str {
        &self.name
    }

    async fn probe(&self) -> Result<Probe, MemberError> {
        self.call(async {
            // Only a list shows whether the token is valid.
            let listed = self.site.list().await?;
            let (version, identity) = self.site.identity(Some(&listed)).await?;
            let (about, unusable) = self.site.describe().await?;
            Ok(Probe {
                version,
                identity,
                about: Some(about),
                unusable,
            })
        })
        .await
    }

    async fn ensure(&self, desired: Desired) -> Result<Ensured, MemberError> {
        self.call(async {
            match desired {
                Desired::Share(share) if !share.patches.is_empty() => {
                    let words = "spec.overrides patch a pod template, and a Slurm cluster has none";
                    Err(MemberError::new(Class::Rejected, words))
                }
                Desired::Share(share) if share.key.kind == Kind::SkyJob => {
                    dispatch::ensure(&self.site, &share).await
                }
                Desired::Share(share) => deployment::ensure(&self.site, &share).await,
                Desired::Replicas(scale) => deployment::scale(&self.site, &scale).await,
                // Slurm has none, and needs none.
                Desired::Namespace(_) | Desired::Config(_) => Ok(Ensured::Present),
            }
        })
        .await
    }

    async fn withdraw(&self, key: &ShareKey, how: Withdraw) -> Result<Withdrawn, MemberError> {
        self.call(withdraw::withdraw(&self.site, key, how)).await
    }

    fn events(&self) -> BoxStream<'static, MemberEvent> {
        poll::events(self.site.clone(), self.expected.clone())
    }

    async fn logs(
        &self,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError> {
        self.call(logs::open(&self.site, &query)).await
    }
}
