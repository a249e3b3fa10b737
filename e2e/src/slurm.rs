//! One Slurm cluster of a lab, and everything a suite may do to it: ask it by REST and by its own tools, hurt
//! its daemons, cut its network, drain its nodes; `jobs` runs jobs. Brought up by `lab` through the other submodules.

mod accounting;
mod config;
mod container;
mod jobs;
mod launch;
pub mod rest;
mod tls;
pub mod token;
mod version;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use nix::unistd::User;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

pub use rest::Answer;

use crate::cluster;
use crate::daemon::Daemon;
use crate::machine;
use crate::network::{self, Network};
use crate::plan::MemberSpec;
use crate::procfs::Running;
use crate::report::Reporter;
use crate::slot::{Port, Slot};
use crate::state::{self, ClusterState};
use crate::sweep::outside::{slurm_cgroup, slurm_home};
use version::Version;

/// The account that submits jobs and that they run as: unprivileged, and on every Debian. Slurm 26.05 refuses `nobody`.
pub const JOB_USER: &str = "games";
/// The account that runs slurmrestd, which refuses root.
const REST_USER: &str = "daemon";
/// The default partition, of all nodes.
pub const PARTITION: &str = "main";
/// A partition of the first node, where a job may take a minute.
pub const SHORT_PARTITION: &str = "short";

/// How long the token in the token file is good for at first.
const TOKEN_LIFE: Duration = Duration::from_hours(24);
/// The longest that one of Slurm's tools may take; slurmctld's absence costs them some seconds.
const TOOL: Duration = Duration::from_secs(30);

/// A Slurm cluster; the value is a name and a place, cheap to clone.
#[derive(Clone, Debug)]
pub struct SlurmCluster {
    lab: PathBuf,
    name: String,
    slot: Slot,
    spec: MemberSpec,
}

impl SlurmCluster {
    pub(crate) fn new(lab: &Path, state: &ClusterState, spec: &MemberSpec) -> Self {
        Self {
            lab: lab.to_owned(),
            name: state.name.clone(),
            slot: state.slot,
            spec: spec.clone(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn spec(&self) -> &MemberSpec {
        &self.spec
    }

    /// Its folder in the lab: keys, the token, logs, state of its daemons. For the lab's owner alone.
    pub fn folder(&self) -> PathBuf {
        self.lab.join(&self.name)
    }

    /// What slurmrestd and jobs must reach too, and therefore outside the lab, which may be in a closed home.
    pub fn home(&self) -> PathBuf {
        slurm_home(&self.lab, &self.name)
    }

    /// slurm.conf: `SLURM_CONF` for its tools.
    pub fn conf(&self) -> PathBuf {
        self.home().join("slurm.conf")
    }

    /// Where every user's jobs may write.
    pub fn work_dir(&self) -> PathBuf {
        self.home().join("jobs")
    }

    /// The OCI bundle of busybox, when the cluster was asked to run containers.
    pub fn bundle(&self) -> Option<PathBuf> {
        self.spec.slurm.containers.then(|| self.home().join("bundle"))
    }

    /// `NAME-node-N`.
    pub fn node_name(&self, index: u32) -> String {
        format!("{}-node-{index}", self.name)
    }

    pub fn port(&self, port: Port) -> u16 {
        self.slot.port(port)
    }

    /// slurmrestd as the operator sees it: through the proxy, by https if the cluster was asked for it.
    pub fn url(&self) -> String {
        let scheme = if self.spec.slurm.https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port(Port::Network))
    }

    /// The certificate of the authority that signed the server's, when [`Self::url`] is https.
    pub fn authority(&self) -> Option<PathBuf> {
        let file = self.folder().join("keys/ca.crt");
        self.spec.slurm.https.then_some(file)
    }

    /// slurmrestd itself, by http, whatever the network does.
    pub fn direct_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port(Port::Slurmrestd))
    }

    /// slurmrestd's unix socket, which jobs' users and the operator reach.
    pub fn rest_socket(&self) -> PathBuf {
        self.home().join("rest/socket")
    }

    /// The newest version of the REST API that it serves, such as `v0.0.38`.
    pub fn api(&self) -> Result<String> {
        Ok(Version::installed()?.api())
    }

    /// Holds a token of [`JOB_USER`]; its owner alone reads it.
    pub fn token_file(&self) -> PathBuf {
        self.folder().join("token")
    }

    /// A new token of any user, good for `life` from now on.
    pub fn mint(&self, user: &str, life: Duration) -> Result<String> {
        self.mint_at(user, SystemTime::now(), life)
    }

    /// Like [`Self::mint`], as if it were made at `time`.
    pub fn mint_at(&self, user: &str, time: SystemTime, life: Duration) -> Result<String> {
        token::mint(&self.key("jwt")?, user, time, life)
    }

    /// Puts a new token of [`JOB_USER`] into the token file.
    pub fn renew_token(&self, life: Duration) -> Result<()> {
        let token = self.mint(JOB_USER, life)?;
        state::write_atomically(&self.token_file(), format!("{token}\n").as_bytes())
    }

    /// One of its daemons: munged, slurmctld, slurmd-0 and so on, slurmrestd, network; with TLS also stunnel, with accounting
    /// also mariadbd and slurmdbd.
    pub fn daemon(&self, program: &str) -> Result<Daemon> {
        Daemon::existing(&self.lab, &self.name, program)
    }

    /// All of its daemons that were ever started.
    pub fn daemons(&self) -> Vec<Daemon> {
        Daemon::all(&self.lab, &self.name)
    }

    /// Every program of the cluster, jobs' own and those that watch over them too.
    pub fn programs(&self) -> Vec<Running> {
        let members = slurm_cgroup(&self.lab, &self.name).join("cgroup.procs");
        let text = std::fs::read_to_string(members).unwrap_or_default();
        let pids = text.lines().filter_map(|line| line.parse().ok());
        pids.filter_map(Running::of).collect()
    }

    /// Sets the network between the operator and slurmrestd; returns when it is in force.
    pub async fn network(&self, network: Network) -> Result<()> {
        network::set(&self.folder(), network)
            .await
            .with_context(|| format!("network of {}", self.name))
    }

    /// Runs one of Slurm's tools (scontrol, squeue, sinfo, scancel, sacct) as root on this cluster and returns
    /// its stdout; an error has its stderr.
    pub async fn tool(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let what = format!("{program} {}", arguments.join(" "));
        let path = machine::find(program).ok_or_else(|| anyhow!("no {program}"))?;
        let mut command = Command::new(path);
        command
            .args(arguments)
            .env("SLURM_CONF", self.conf())
            .env_remove("SLURM_JWT");
        let run = cluster::run(command, &what, None);
        timeout(TOOL, run)
            .await
            .with_context(|| format!("{what} on {} took longer than {TOOL:?}", self.name))?
    }

    /// No new jobs on this node.
    pub async fn drain(&self, node: &str, reason: &str) -> Result<()> {
        let (node, reason) = (format!("NodeName={node}"), format!("Reason={reason}"));
        self.tool("scontrol", &["update", &node, "State=DRAIN", &reason])
            .await?;
        Ok(())
    }

    /// Undoes [`Self::drain`].
    pub async fn resume(&self, node: &str) -> Result<()> {
        let node = format!("NodeName={node}");
        self.tool("scontrol", &["update", &node, "State=RESUME"]).await?;
        Ok(())
    }

    /// A request as [`JOB_USER`] with the token of the token file, straight to slurmrestd. `path` is what
    /// follows `/slurm/VERSION/`.
    pub async fn rest(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let token = std::fs::read_to_string(self.token_file()).context("read the token file")?;
        self.rest_as(JOB_USER, token.trim(), method, path, body).await
    }

    /// Like [`Self::rest`], as this user with this token.
    pub async fn rest_as(
        &self,
        user: &str,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let path = format!("/slurm/{}/{path}", self.api()?);
        let who = rest::Caller { user, token };
        rest::call(self.port(Port::Slurmrestd), &who, method, &path, body).await
    }

    /// Waits until slurmctld answers and slurmrestd answers what only slurmctld knows.
    pub async fn ready(&self, bound: Duration) -> Result<()> {
        launch::controller_ready(self, bound).await?;
        launch::rest_ready(self, bound).await
    }

    /// Waits until every node is idle.
    pub async fn nodes_idle(&self, bound: Duration) -> Result<()> {
        launch::nodes_idle(self, bound).await
    }

    /// Brings it up from nothing; returns when slurmrestd answers and its nodes are idle.
    pub(crate) async fn up(&self, reporter: &Reporter) -> Result<()> {
        let spec = &self.spec;
        let about = format!("{} {} node(s) of {} cpu", spec.nodes, spec.kind, spec.cpu);
        let step = reporter.step(format!("bringing up {}, {about}", self.name));
        config::prepare(self)?;
        container::prepare(self)?;
        accounting::prepare(self)?;
        tls::prepare(self)?;
        launch::start(self).await?;
        step.done();
        Ok(())
    }

    /// What to export for people and tests that work with it: `SKY_SLURM_HPC_1_URL` and so on for `hpc-1`.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let prefix = self.name.to_uppercase().replace('-', "_");
        let show = |path: PathBuf| path.display().to_string();
        let mut variables = vec![
            ("URL", self.url()),
            ("DIRECT_URL", self.direct_url()),
            ("USER", JOB_USER.to_owned()),
            ("TOKEN_FILE", show(self.token_file())),
            ("CONF", show(self.conf())),
            ("PARTITION", PARTITION.to_owned()),
            ("WORK_DIR", show(self.work_dir())),
        ];
        variables.extend(self.api().ok().map(|api| ("API", api)));
        variables.extend(self.authority().map(|file| ("CA_FILE", show(file))));
        variables.extend(self.bundle().map(|bundle| ("BUNDLE", show(bundle))));
        let named = |(name, value)| (format!("SKY_SLURM_{prefix}_{name}"), value);
        variables.into_iter().map(named).collect()
    }

    fn key(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.key_path(name);
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.folder().join("keys").join(format!("{name}.key"))
    }
}

/// An account of this machine.
fn account(name: &str) -> Result<User> {
    User::from_name(name)?.ok_or_else(|| anyhow!("this machine has no account {name}"))
}
