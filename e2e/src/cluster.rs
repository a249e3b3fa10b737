//! One Kubernetes cluster of a lab, and everything a suite may do to it: ask it, hurt its daemons, cut its network,
//! read its audit log and metrics. Brought up by `lab` through the submodules, one per part.

pub mod audit;
mod control_plane;
mod kwok_node;
pub mod metrics;
mod node;
mod real_node;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::process::Command;
use tokio::time::timeout;

pub use audit::AuditEntry;
pub use metrics::Sample;

use crate::daemon::Daemon;
use crate::kubeconfig::{self, Access};
use crate::network::{self, Network};
use crate::pki::{Authority, Identity};
use crate::plan::{MemberSpec, NodeKind};
use crate::report::Reporter;
use crate::slot::{Port, Slot};
use crate::state::ClusterState;

/// The audit log's file name in the cluster's log folder.
const AUDIT_LOG: &str = "audit.json";

/// A cluster; the value is a name and a place, cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    lab: PathBuf,
    name: String,
    slot: Slot,
    node: Option<MemberSpec>,
    gateway: Option<String>,
}

impl Cluster {
    pub(crate) fn new(lab: &Path, state: &ClusterState) -> Self {
        Self {
            lab: lab.to_owned(),
            name: state.name.clone(),
            slot: state.slot,
            node: state.node.clone(),
            gateway: state.gateway.clone(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder: keys, logs, state of its programs.
    pub fn folder(&self) -> PathBuf {
        self.lab.join(&self.name)
    }

    /// Its nodes; none for a host without pods.
    pub fn node(&self) -> Option<&MemberSpec> {
        self.node.as_ref()
    }

    /// `NAME-node-N`.
    pub fn node_name(&self, index: u32) -> String {
        format!("{}-node-{index}", self.name)
    }

    pub fn port(&self, port: Port) -> u16 {
        self.slot.port(port)
    }

    /// The administrator's kubeconfig, straight to the API server (never through the proxy).
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder().join("admin.kubeconfig")
    }

    /// How pods of the host reach its API server: address and port of its proxy.
    pub fn from_pods(&self) -> Result<(&str, u16)> {
        let gateway = self.gateway.as_deref();
        let gateway = gateway.ok_or_else(|| anyhow!("the host of this lab runs no real pods"))?;
        Ok((gateway, self.port(Port::Network)))
    }

    /// Gives its real node an image, from a docker-archive.
    pub async fn import(&self, archive: &Path) -> Result<()> {
        real_node::import(self, archive).await
    }

    /// A client as the administrator, straight to the API server. Bound each call by a timeout of your own.
    pub async fn client(&self) -> Result<kube::Client> {
        client(&self.kubeconfig()).await
    }

    /// Runs the lab's kubectl as the administrator and returns its stdout; an error has its stderr.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&self.lab, &self.kubeconfig(), arguments, None).await
    }

    /// `kubectl apply -f -` of these documents.
    pub async fn apply(&self, documents: &str) -> Result<String> {
        kubectl(
            &self.lab,
            &self.kubeconfig(),
            &["apply", "-f", "-"],
            Some(documents),
        )
        .await
    }

    /// One of its daemons: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, containerd,
    /// kubelet, kwok, network; on the host also sky-operator.
    pub fn daemon(&self, program: &str) -> Result<Daemon> {
        Daemon::existing(&self.lab, &self.name, program)
    }

    /// All of its daemons that were ever started.
    pub fn daemons(&self) -> Vec<Daemon> {
        Daemon::all(&self.lab, &self.name)
    }

    /// Sets the network between the operator and this member; returns when it is in force.
    pub async fn network(&self, network: Network) -> Result<()> {
        network::set(&self.folder(), network)
            .await
            .with_context(|| format!("network of {}", self.name))
    }

    /// Every write that the API server finished so far, oldest first.
    pub fn audit_entries(&self) -> Result<Vec<AuditEntry>> {
        audit::read(&self.folder().join("log").join(AUDIT_LOG))
    }

    /// The samples of one metric of the API server.
    pub async fn metric(&self, name: &str) -> Result<Vec<Sample>> {
        let request = http_get("/metrics")?;
        let client = self.client().await?;
        let text = timeout(Duration::from_secs(30), client.request_text(request)).await??;
        Ok(metrics::samples(&text, name))
    }

    /// Waits until the API server says it is ready.
    pub async fn api_ready(&self, bound: Duration) -> Result<()> {
        control_plane::api_ready(self, bound).await
    }

    /// Brings it up from nothing; returns when its nodes are Ready and default service accounts exist.
    pub(crate) async fn up(&self, image: &Path, reporter: &Reporter) -> Result<()> {
        let step = reporter.step(format!("bringing up {}, {}", self.name, self.about()));
        control_plane::prepare(self)?;
        match self.node.as_ref().map(|node| (node, node.kind)) {
            None => control_plane::start(self).await?,
            Some((node, NodeKind::Kwok)) => {
                control_plane::start(self).await?;
                kwok_node::start(self, node).await?;
            }
            Some((_, NodeKind::Slurm)) => bail!("{} is no Kubernetes cluster", self.name),
            Some((node, NodeKind::Real)) => {
                tokio::try_join!(control_plane::start(self), real_node::start_runtime(self, image))?;
                real_node::start(self, node).await?;
            }
        }
        self.start_network().await?;
        control_plane::accounts_ready(self).await?;
        step.done();
        Ok(())
    }

    /// How the kubeconfig of the host reaches it: a member through its proxy.
    pub(crate) fn access<'a>(&'a self, authority: &'a str, identity: &'a Identity) -> Access<'a> {
        let port = if self.is_host() {
            Port::ApiServer
        } else {
            Port::Network
        };
        Access {
            name: &self.name,
            port: self.port(port),
            authority,
            identity,
        }
    }

    /// Its authority's certificate and its administrator.
    pub(crate) fn administrator(&self) -> Result<(String, Identity)> {
        let folder = self.folder().join("pki");
        Ok((
            Authority::open(&folder, "ca")?.certificate,
            Identity::open(&folder, "admin")?,
        ))
    }

    /// Writes a kubeconfig, straight to the API server, for a new user who is in no group.
    pub(crate) fn write_user(&self, path: &Path, user: &str) -> Result<()> {
        let authority = Authority::open(&self.folder().join("pki"), "ca")?;
        let identity = authority.sign(user, None, &[])?;
        let access = Access {
            name: &self.name,
            port: self.port(Port::ApiServer),
            authority: &authority.certificate,
            identity: &identity,
        };
        kubeconfig::write(path, &[access])
    }

    fn is_host(&self) -> bool {
        self.name == crate::plan::HOST
    }

    fn about(&self) -> String {
        match &self.node {
            None => "no nodes".to_owned(),
            Some(node) => format!("{} {} node(s) of {} cpu", node.nodes, node.kind, node.cpu),
        }
    }

    async fn start_network(&self) -> Result<()> {
        if self.is_host() && self.gateway.is_none() {
            return Ok(());
        }
        let daemon = Daemon::new(&self.lab, &self.name, "network");
        let ports = (self.port(Port::Network), self.port(Port::ApiServer));
        let program = self.lab.join("bin/sky-e2e");
        daemon.start(
            &network::proxy_command(&program, &self.folder(), ports, self.gateway.is_some()),
            &BTreeMap::new(),
        )?;
        daemon
            .ready(Duration::from_secs(10), async || {
                self.network(Network::Pass).await
            })
            .await
    }

    /// A program of the lab by its link, so that its command line tells whose it is.
    fn program(&self, name: &str) -> String {
        self.lab.join("bin").join(name).display().to_string()
    }
}

/// A client for the current context of a kubeconfig.
pub(crate) async fn client(path: &Path) -> Result<kube::Client> {
    let config = Kubeconfig::read_from(path)?;
    let mut config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    config.connect_timeout = Some(Duration::from_secs(5));
    Ok(kube::Client::try_from(config)?)
}

fn http_get(path: &str) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::get(path).body(Vec::new())?)
}

/// Where kubectl keeps what it discovers, which it finds again by address alone: another lab on the same ports
/// must not see it. No cluster has such a name.
pub(crate) fn discovery_cache(lab: &Path) -> PathBuf {
    lab.join(".kube-cache")
}

/// Runs the kubectl of `lab` with the kubeconfig `config`.
pub(crate) async fn kubectl(
    lab: &Path,
    config: &Path,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String> {
    let mut command = Command::new(lab.join("bin/kubectl"));
    command
        .arg("--kubeconfig")
        .arg(config)
        .args(arguments)
        .env("KUBECONFIG", config)
        .env("KUBECACHEDIR", discovery_cache(lab));
    run(command, &format!("kubectl {}", arguments.join(" ")), input).await
}

/// Runs a command to its end and returns its stdout; an error has its stderr.
pub(crate) async fn run(mut command: Command, what: &str, input: Option<&str>) -> Result<String> {
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("start {what}"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        use tokio::io::AsyncWriteExt;
        // A command that refuses early closes its stdin; its stderr tells why.
        let _ = stdin.write_all(text.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    bail!(
        "{what}: {}: {}{text}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )
}
