//! The user's kubeconfig and the connections made from it. Read by every command.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

use crate::{errors, kubeconfig};

/// Field manager of everything the plugin applies.
pub const FIELD_MANAGER: &str = "kubectl-sky";
/// Seconds until a server that does not answer is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds of silence within one answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The flags that kubectl has for every command, with kubectl's meaning.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Kubeconfig file of the host [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig that is the host [default: its current context]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of the objects on the host [default: the context's own]
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
}

/// A client with the words that messages need.
#[derive(Clone)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// URL of the API server.
    pub server: String,
    /// Context it was made from.
    pub context: String,
}

/// The host as the user reaches it.
#[derive(Clone)]
pub struct Host {
    /// The connection.
    pub connection: Connection,
    /// Namespace of namespaced objects: the flag's, else the context's.
    pub namespace: String,
    /// Whether the flag named it.
    pub namespace_named: bool,
    /// Where its context came from.
    pub kubeconfig: Kubeconfig,
}

/// How long an answer may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Ordinary calls.
    Calls,
    /// Followed logs, which may say nothing for hours.
    Streams,
}

/// Reads the kubeconfig that the flags name.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn read_kubeconfig(file: Option<&PathBuf>) -> anyhow::Result<Kubeconfig> {
    match file {
        Some(file) => Kubeconfig::read_from(file),
        None => Kubeconfig::read(),
    }
    .map_err(|error| match error {
        KubeconfigError::ReadConfig(_, path) if file.is_none() => anyhow::anyhow!(
            "failed to read the kubeconfig {}; name one by --kubeconfig or KUBECONFIG",
            path.display()
        ),
        other => anyhow::anyhow!("{other}"),
    })
}

/// Connects to the host.
///
/// # Errors
/// When the kubeconfig or its context cannot be used. Nothing is sent yet.
pub async fn host(global: &Global, patience: Patience) -> anyhow::Result<Host> {
    let kubeconfig = read_kubeconfig(global.kubeconfig.as_ref())?;
    let context = match global
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone())
    {
        Some(context) if !context.is_empty() => context,
        _ => anyhow::bail!("the kubeconfig has no current context; name the host's by --context"),
    };
    let (connection, own) = connect(&kubeconfig, &context, patience).await?;
    Ok(Host {
        connection,
        namespace: global.namespace.clone().unwrap_or(own),
        namespace_named: global.namespace.is_some(),
        kubeconfig,
    })
}

/// Makes a connection from one context, and says the context's namespace.
///
/// # Errors
/// When the context is missing or cannot be used. Nothing is sent yet.
pub async fn connect(
    kubeconfig: &Kubeconfig,
    context: &str,
    patience: Patience,
) -> anyhow::Result<(Connection, String)> {
    let server = kubeconfig::server(kubeconfig, context)?;
    let options = KubeConfigOptions {
        context: Some(context.to_owned()),
        ..KubeConfigOptions::default()
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig.clone(), &options)
        .await
        .with_context(|| format!("failed to use context {context:?}"))?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = match patience {
        Patience::Calls => Some(READ_TIMEOUT),
        Patience::Streams => None,
    };
    let namespace = config.default_namespace.clone();
    let client = Client::try_from(config).map_err(|error| match error {
        kube::Error::Auth(_) => anyhow::anyhow!("{}", errors::no_credential(context)),
        other => anyhow::anyhow!("failed to use context {context:?}: {other}"),
    })?;
    let connection = Connection {
        client,
        server,
        context: context.to_owned(),
    };
    Ok((connection, namespace))
}

/// The other end of a mocked connection.
#[cfg(test)]
pub type MockServer =
    tower_test::mock::Handle<http::Request<kube::client::Body>, http::Response<kube::client::Body>>;

/// A connection whose requests a test answers.
#[cfg(test)]
#[must_use]
pub fn mock(name: &str) -> (Connection, MockServer) {
    let (service, server) = tower_test::mock::pair();
    let connection = Connection {
        client: Client::new(service, "default"),
        server: format!("https://{name}"),
        context: name.to_owned(),
    };
    (connection, server)
}
