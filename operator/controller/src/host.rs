//! Reads and writes the host: a client with a name, and writes that carry the version they were decided on.

use std::time::Duration;

use http::HeaderValue;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sky_member::gate::client::Writes;
use sky_member::gate::{self, Gate};
use thiserror::Error;

use crate::settings::Settings;

/// How the operator names itself to the host and to members; which of its replicas it is follows.
const AGENT: &str = concat!("sky-operator/", env!("CARGO_PKG_VERSION"));

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
    /// The name of this replica cannot be sent.
    #[error("use the name of this replica in --pod-name or POD_NAME: {0}")]
    Name(#[from] http::header::InvalidHeaderValue),
}

/// How this operator calls: its client of the host, its name, and the gate that its writes pass, there and on members.
#[derive(Clone)]
pub struct Caller {
    /// The host.
    pub client: Client,
    /// User agent of every call.
    pub agent: HeaderValue,
    /// Open while it leads.
    pub gate: Gate,
}

/// What this replica is called among its like: never as another one, nor as it was before a restart.
#[must_use]
pub fn identity(settings: &Settings) -> String {
    let host_name = || nix::unistd::gethostname().ok()?.into_string().ok();
    let name = settings.pod_name.clone().or_else(host_name).unwrap_or_default();
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{name}_{}", &random[..8])
}

/// Ways to the host, by flag, environment or service account: one whose writes pass `gate`, and one that also writes
/// before it is open, for the lease.
///
/// # Errors
/// When there is no usable configuration.
pub async fn connect(
    settings: &Settings,
    identity: &str,
    gate: &Gate,
) -> Result<(Caller, Client), HostError> {
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
    let agent = HeaderValue::from_str(&format!("{AGENT} ({identity})"))?;
    config.headers.push((http::header::USER_AGENT, agent.clone()));
    let lease = gate::client::client(config.clone(), gate, Writes::UntilRunOut)?;
    let caller = Caller {
        client: gate::client::client(config, gate, Writes::WhileOpen)?,
        agent,
        gate: gate.clone(),
    };
    Ok((caller, lease))
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
