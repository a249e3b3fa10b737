//! Flags of the operator. Read by `run`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use sky_core::Seconds;
use sky_core::namespace::{GRACE, LEAST_GRACE};

use crate::probe::Probe;

/// Schedules jobs over member clusters and runs them there.
#[derive(Clone, Debug, Parser)]
#[command(name = "sky-operator", version)]
pub struct Settings {
    /// Kubeconfig of the host. Without it: the one of the environment, or the pod's own service account.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Context of that kubeconfig.
    #[arg(long, requires = "kubeconfig")]
    pub context: Option<String>,
    /// The operator's own namespace: member Secrets and the host's identity are read and kept there.
    #[arg(long, env = "SKY_NAMESPACE", default_value = "sky-system")]
    pub namespace: String,
    /// Image of a workload that names none.
    #[arg(long, env = "SKY_DEFAULT_IMAGE", default_value = "ubuntu:latest")]
    pub default_image: String,
    /// File of plugins, expressions and defaults; read again when it changes.
    #[arg(long, env = "SKY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address that answers /livez, /readyz and /metrics.
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub health_addr: SocketAddr,
    /// Seconds that a namespace made on a member for a share stays after nothing needs it.
    #[arg(long, env = "SKY_NAMESPACE_GRACE_SECONDS", default_value_t = GRACE, value_name = "SECONDS",
        value_parser = clap::value_parser!(i64).range(LEAST_GRACE..=86_400))]
    pub namespace_grace_seconds: Seconds,
    /// Lead only while holding the Lease `sky-operator` of the operator's namespace: for more than one replica.
    #[arg(long, env = "SKY_LEADER_ELECT")]
    pub leader_elect: bool,
    /// Another replica takes over when the lease was not renewed for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub lease_duration_seconds: u64,
    /// The leader ends when it could not renew the lease for so long. Less than the lease's duration.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub renew_deadline_seconds: u64,
    /// Between two tries to get or renew the lease.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub retry_period_seconds: u64,
    /// What this replica is called among its like: the pod's name. The host name when it is not given.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,
    /// Log as JSON lines.
    #[arg(long)]
    pub log_json: bool,
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the binary does besides running.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Ask the operators of a release whether they are ready.
    Probe(Probe),
}
