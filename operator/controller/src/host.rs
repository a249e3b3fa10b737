//! Reads and writes the host: a client with a name, and writes that carry the version they were decided on.

use std::time::Duration;

use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use thiserror::Error;

use crate::settings::Settings;

/// How the operator names itself to the host and to members.
pub const AGENT: &str = concat!("sky-operator/", env!("CARGO_PKG_VERSION"));

/// The longest that a call to the host may take.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

/// Why the host cannot be reached.
#[derive(Debug, Error)]
pub enum HostError {
    /// The kubeconfig is not readable or has no such context.
    #[error("read the host's kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Neither a kubeconfig nor a service account was found.
    #[error("find a way to the host; give --kubeconfig, set KUBECONFIG, or run in a pod: {0}")]
    Nowhere(#[from] kube::config::InferConfigError),
    /// The client could not be built.
    #[error("build a client for the host: {0}")]
    Client(#[from] kube::Error),
}

/// A client for the host, by flag, environment or service account.
///
/// # Errors
/// When there is no usable configuration.
pub async fn client(settings: &Settings) -> Result<Client, HostError> {
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let options = KubeConfigOptions {
                context: settings.context.clone(),
                ..KubeConfigOptions::default()
            };
            Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
        }
        None => Config::infer().await?,
    };
    config.read_timeout = None;
    config
        .headers
        .push((http::header::USER_AGENT, http::HeaderValue::from_static(AGENT)));
    Ok(Client::try_from(config)?)
}

/// Replaces the status of `object`, fenced by the resourceVersion it carries.
///
/// # Errors
/// A 409 when the object has changed since.
pub async fn replace_status<K>(api: &Api<K>, object: &K) -> Result<K, kube::Error>
where
    K: Resource + Serialize + DeserializeOwned + Clone + std::fmt::Debug,
{
    let name = object.name_any();
    within(api.replace_status(&name, &PostParams::default(), object)).await
}

/// Writes `finalizers` onto the object of this name, fenced by `version`.
///
/// # Errors
/// A 409 when the object has changed since.
pub async fn set_finalizers<K>(
    api: &Api<K>,
    name: &str,
    version: Option<&str>,
    finalizers: &[String],
) -> Result<K, kube::Error>
where
    K: Resource + DeserializeOwned + Clone + std::fmt::Debug,
{
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": finalizers}});
    within(api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await
}

/// Bounds a call to the host: a connection may be dead without saying so.
///
/// # Errors
/// The call's own, or that there was no answer in time; then it may have happened all the same.
pub async fn within<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(CALL_DEADLINE, call).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(kube::Error::Service(elapsed.into())),
    }
}

/// Whether `error` says that the object has gone.
#[must_use]
pub fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether `error` says that the object has changed or gone since it was read.
#[must_use]
pub fn is_stale(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
}
