//! A Kubernetes member: a SkyJob share is one Indexed Job, a SkyDeployment share one Deployment, observed by watches.
//!
//! `kubeconfig` vets the credential, `object` writes the Job, `dispatch` sends it, `withdraw` takes it away, `deployment`
//! writes and sends Deployments, `watch` listens, `cache` keeps what it hears, `past` remembers what is gone, `observe`
//! reads a share out of it. `namespace` makes and removes namespaces, `contents` says whether one is empty. `config` copies
//! ConfigMaps and Secrets.

mod cache;
mod config;
mod contents;
mod deployment;
mod dispatch;
mod errors;
pub mod kubeconfig;
mod logs;
mod namespace;
mod node;
mod object;
mod observe;
mod past;
mod pod;
mod stamp;
pub mod token;
mod watch;
mod withdraw;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};
use sky_core::observation::MemberEvent;
use sky_core::share::ShareKey;
use sky_core::workload::Kind;
use tokio::sync::Semaphore;

use crate::{CALL_DEADLINE, Desired, Ensured, LogQuery, Member, MemberError, Probe, Withdraw, Withdrawn};

/// Calls to one member that may be under way at once.
const CALLS_AT_ONCE: usize = 32;

/// A member run by Kubernetes.
pub struct Kubernetes {
    name: String,
    origin: String,
    expected: Option<String>,
    client: Client,
    calls: Arc<Semaphore>,
    scope: watch::Scope,
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Kubernetes")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// The member `name`, reached by `client`; what it is given there is marked with `origin`. When it turns out not to
    /// be the cluster of the identity `expected`, it counts as silent: what is not there may be elsewhere.
    #[must_use]
    pub fn new(name: &str, origin: &str, expected: Option<String>, client: Client) -> Self {
        let calls = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        Self {
            name: name.to_owned(),
            origin: origin.to_owned(),
            expected,
            client,
            calls,
            scope: watch::Scope::All,
        }
    }

    /// The host itself, where namespaces are made as on members. Nothing else is listened to there.
    #[must_use]
    pub fn host(origin: &str, client: Client) -> Self {
        Self {
            scope: watch::Scope::Namespaces,
            ..Self::new("host", origin, None, client)
        }
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
            Err(_) => Err(errors::silence(CALL_DEADLINE)),
        }
    }
}

#[async_trait]
impl Member for Kubernetes {
    fn name(&self) -> &str {
        &self.name
    }

    async fn probe(&self) -> Result<Probe, MemberError> {
        self.call(watch::probe(&self.client)).await
    }

    async fn ensure(&self, desired: Desired) -> Result<Ensured, MemberError> {
        self.call(async {
            match desired {
                Desired::Share(share) => match share.key.kind {
                    Kind::SkyJob => dispatch::ensure_share(&self.client, &share).await,
                    Kind::SkyDeployment => deployment::ensure(&self.client, &share).await,
                },
                Desired::Replicas(scale) => deployment::scale(&self.client, &scale).await,
                Desired::Namespace(wanted) => namespace::ensure(&self.client, &wanted).await,
                Desired::Config(wanted) => config::ensure(&self.client, &wanted).await,
            }
        })
        .await
    }

    async fn withdraw(&self, key: &ShareKey, how: Withdraw) -> Result<Withdrawn, MemberError> {
        self.call(async {
            match key.kind {
                Kind::SkyJob => withdraw::withdraw(&self.client, &self.origin, key, how).await,
                Kind::SkyDeployment => {
                    let all: Api<Deployment> = Api::namespaced(self.client.clone(), &key.namespace);
                    withdraw::remove(&all, &self.origin, key).await
                }
            }
        })
        .await
    }

    fn events(&self) -> BoxStream<'static, MemberEvent> {
        let (client, origin) = (self.client.clone(), self.origin.clone());
        watch::events(client, origin, self.expected.clone(), self.scope)
    }

    async fn logs(
        &self,
        query: LogQuery,
    ) -> Result<BoxStream<'static, Result<Bytes, MemberError>>, MemberError> {
        self.call(logs::open(&self.client, query)).await
    }
}
