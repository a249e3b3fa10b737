//! A whole lab: brings up the host, the members and the operator, opens one that is up, takes it down.
//! Fed by the command line and by suites; what it is made of is a `Plan`, what it became a `State`.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use futures::future::try_join_all;
use tokio::process::Command;

use crate::cluster::{self, Cluster};
use crate::daemon::Daemon;
use crate::image;
use crate::kubeconfig;
use crate::machine;
use crate::network::{self, Network};
use crate::operator;
use crate::packages;
use crate::plan::{HOST, MemberSpec, NodeKind, Plan};
use crate::programs;
use crate::report::Reporter;
use crate::slot::{self, Slot};
use crate::slurm::SlurmCluster;
use crate::state::{self, ClusterState, State};
use crate::sweep;

/// How often a cluster is tried on other ports when somebody took one of its own.
const PORT_TRIES: usize = 3;

/// A lab that was brought up. Dropping it leaves it running.
#[derive(Clone, Debug)]
pub struct Lab {
    dir: PathBuf,
    state: State,
}

impl Lab {
    /// Brings up `plan` in `dir` and returns when everything is ready.
    ///
    /// What an earlier lab there left behind is taken away first, however it ended; one that is whole and
    /// has the same plan is kept. When it fails, nothing keeps running and the logs stay.
    pub async fn up(dir: &Path, mut plan: Plan, reporter: &Reporter) -> Result<Self> {
        let dir = state::adopt(dir)?;
        let _lock = state::lock(&dir)?;
        settle(&mut plan, reporter)?;
        plan.check(&dir)?;
        if let Some(lab) = Self::whole(&dir, &plan) {
            reporter.note(format!("already up at {}", dir.display()));
            if plan.operator {
                operator::start(&lab, reporter).await?;
            }
            return Ok(lab);
        }
        sweep::sweep(&dir)
            .await
            .context("take away what an earlier lab left")?;
        empty(&dir)?;
        reporter.note(format!("lab at {}", dir.display()));
        let result = Self::build(&dir, plan, reporter).await;
        if result.is_err() {
            sweep::sweep(&dir).await?;
        }
        result
    }

    /// The lab that is up in `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let state = State::read(dir)?;
        if !state.ready {
            bail!(
                "the lab at {} did not come up: try `cargo e2e up` again",
                dir.display()
            );
        }
        Ok(Self {
            dir: dir.to_owned(),
            state,
        })
    }

    /// Takes it down and deletes its directory.
    pub async fn down(&self) -> Result<()> {
        down(&self.dir).await
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn plan(&self) -> &Plan {
        &self.state.plan
    }

    pub fn host(&self) -> Result<Cluster> {
        self.cluster(HOST)
    }

    /// The member called `name`.
    pub fn member(&self, name: &str) -> Result<Cluster> {
        self.cluster(name)
    }

    /// The Slurm member called `name`.
    pub fn slurm(&self, name: &str) -> Result<SlurmCluster> {
        let mut all = self.slurms().into_iter();
        all.find(|cluster| cluster.name() == name)
            .ok_or_else(|| anyhow!("no Slurm cluster {name} in this lab"))
    }

    /// All Slurm members, in the plan's order.
    pub fn slurms(&self) -> Vec<SlurmCluster> {
        let clusters = self.state.clusters.iter();
        clusters.filter_map(|state| slurm(&self.dir, state)).collect()
    }

    /// All Kubernetes members, in the plan's order.
    pub fn members(&self) -> Vec<Cluster> {
        self.clusters()
            .into_iter()
            .filter(|cluster| cluster.name() != HOST)
            .collect()
    }

    /// The host and all Kubernetes members.
    pub fn clusters(&self) -> Vec<Cluster> {
        let clusters = self.state.clusters.iter();
        clusters
            .filter(|state| slurm(&self.dir, state).is_none())
            .map(|state| Cluster::new(&self.dir, state))
            .collect()
    }

    /// The host or a Kubernetes member.
    pub fn cluster(&self, name: &str) -> Result<Cluster> {
        let found = self.clusters().into_iter().find(|cluster| cluster.name() == name);
        found.ok_or_else(|| match self.slurm(name) {
            Ok(_) => anyhow!("{name} is a Slurm cluster"),
            Err(_) => self.unknown(name),
        })
    }

    /// One program of any cluster, whatever manages it.
    pub fn daemon(&self, cluster: &str, program: &str) -> Result<Daemon> {
        self.known(cluster)?;
        Daemon::existing(&self.dir, cluster, program)
    }

    /// Sets the network between the operator and any member.
    pub async fn network(&self, member: &str, network: Network) -> Result<()> {
        self.known(member)?;
        network::set(&self.dir.join(member), network)
            .await
            .with_context(|| format!("network of {member}"))
    }

    fn known(&self, name: &str) -> Result<()> {
        let known = self.state.clusters.iter().any(|state| state.name == name);
        if known { Ok(()) } else { Err(self.unknown(name)) }
    }

    fn unknown(&self, name: &str) -> anyhow::Error {
        let names = self.state.clusters.iter().map(|state| state.name.as_str());
        let names: Vec<_> = names.collect();
        anyhow!("no cluster {name} in this lab; there are {}", names.join(", "))
    }

    /// Every program that was ever started, of all clusters.
    fn daemons(&self) -> Vec<(&str, Daemon)> {
        let clusters = self.state.clusters.iter().map(|state| state.name.as_str());
        clusters
            .flat_map(|name| {
                Daemon::all(&self.dir, name)
                    .into_iter()
                    .map(move |daemon| (name, daemon))
            })
            .collect()
    }

    /// The user's kubeconfig: the host is its current context, each member a context by its name. The way
    /// to a member goes through its proxy, so that what is joined from here can be cut.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("host.kubeconfig")
    }

    /// Writes the user's kubeconfig as pods of the host can use it: every member by an address that they reach too.
    pub fn kubeconfig_for_pods(&self) -> Result<PathBuf> {
        let text = fs::read_to_string(self.kubeconfig())?;
        let mut wide = text.clone();
        for member in self.members() {
            let (address, port) = member.from_pods()?;
            let (loopback, reached) = (format!("127.0.0.1:{port}"), format!("{address}:{port}"));
            wide = wide.replace(&loopback, &reached);
        }
        let path = self.dir.join("pods.kubeconfig");
        fs::write(&path, wide)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    /// The environment in which a user works with this lab.
    pub fn exec_env(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut env = self.variables();
        let bin = self.dir.join("bin");
        env.push(("PATH".to_owned(), format!("{}:{path}", bin.display())));
        env
    }

    /// The same as lines for a shell.
    pub fn exports(&self) -> String {
        let mut lines: Vec<_> = self
            .variables()
            .iter()
            .map(|(name, value)| format!("export {name}='{value}'"))
            .collect();
        lines.push(format!(
            "export PATH='{}':\"$PATH\"",
            self.dir.join("bin").display()
        ));
        lines.join("\n")
    }

    fn variables(&self) -> Vec<(String, String)> {
        let fixed = [
            ("KUBECONFIG", self.kubeconfig()),
            ("KUBECACHEDIR", cluster::discovery_cache(&self.dir)),
            ("SKY_LAB_DIR", self.dir.clone()),
        ];
        let fixed = fixed.map(|(name, path)| (name.to_owned(), path.display().to_string()));
        let slurms = self.slurms();
        let slurms = slurms.iter().flat_map(SlurmCluster::variables);
        fixed.into_iter().chain(slurms).collect()
    }

    /// Runs the lab's kubectl with the user's kubeconfig: the host, or with `--context` a member through its
    /// proxy. Returns its stdout; an error has its stderr.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        cluster::kubectl(&self.dir, &self.kubeconfig(), arguments, None).await
    }

    /// Runs `kubectl sky …` on the host and returns its stdout; an error has its stderr.
    pub async fn sky(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.dir.join("bin/kubectl-sky"));
        command.args(arguments).envs(self.exec_env());
        cluster::run(command, &format!("kubectl sky {}", arguments.join(" ")), None).await
    }

    /// The last lines of every log, for a failure: many of the operator's, few of the others'.
    pub fn log_tails(&self) -> String {
        let mut text = String::new();
        for (cluster, daemon) in self.daemons() {
            let operator = daemon.name() == operator::NAME;
            let state = if daemon.running() { "" } else { " (not running)" };
            let tail = daemon.log_tail(if operator { 30 } else { 3 });
            text.push_str(&format!("--- {cluster} {}{state}\n{tail}\n", daemon.name()));
        }
        text
    }

    fn whole(dir: &Path, plan: &Plan) -> Option<Self> {
        let lab = Self::open(dir).ok().filter(|lab| lab.state.plan == *plan)?;
        let whole = lab
            .daemons()
            .iter()
            .all(|(_, daemon)| daemon.running() || daemon.name() == operator::NAME);
        whole.then_some(lab)
    }

    async fn build(dir: &Path, plan: Plan, reporter: &Reporter) -> Result<Self> {
        packages::ensure(&plan, reporter).await?;
        let bin = dir.join("bin");
        let wanted = programs::wanted(plan.wants_real(), plan.wants_kwok());
        programs::link(&programs::ensure(&wanted, reporter).await?, &bin)?;
        // A copy of ourselves: cargo may replace the original while the proxies run.
        fs::copy("/proc/self/exe", bin.join("sky-e2e")).context("copy sky-e2e into the lab")?;
        let image = dir.join("busybox.tar");
        if plan.wants_real() {
            image::write(
                &packages::busybox().ok_or_else(|| anyhow!("no static busybox"))?,
                &image,
            )?;
        }
        let state = RefCell::new(State {
            clusters: claim(dir, &plan)?,
            plan,
            ready: false,
        });
        state.borrow().write(dir)?;
        let count = state.borrow().clusters.len();
        try_join_all((0..count).map(|index| bring_up(dir, &state, index, &image, reporter))).await?;
        let mut lab = Self {
            dir: dir.to_owned(),
            state: state.into_inner(),
        };
        lab.write_kubeconfig()?;
        if lab.state.plan.operator {
            operator::start(&lab, reporter).await?;
        }
        lab.state.ready = true;
        lab.state.write(dir)?;
        Ok(lab)
    }

    fn write_kubeconfig(&self) -> Result<()> {
        let clusters = self.clusters();
        let users = clusters
            .iter()
            .map(Cluster::administrator)
            .collect::<Result<Vec<_>>>()?;
        let contexts: Vec<_> = clusters
            .iter()
            .zip(&users)
            .map(|(cluster, (ca, admin))| cluster.access(ca, admin))
            .collect();
        kubeconfig::write(&self.kubeconfig(), &contexts)
    }
}

/// Takes down whatever is at `dir`, whole or not, and deletes the directory.
pub async fn down(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    if !state::is_lab(dir) {
        bail!("{} is not a lab", dir.display());
    }
    let lock = state::lock(dir)?;
    sweep::sweep(dir).await?;
    empty(dir)?;
    fs::remove_dir_all(dir).with_context(|| format!("delete {}", dir.display()))?;
    lock.retire();
    Ok(())
}

/// Turns real nodes into kwok nodes where real ones cannot run, and says so. Nothing stands in for Slurm.
fn settle(plan: &mut Plan, reporter: &Reporter) -> Result<()> {
    let Some(reason) = machine::no_real_nodes() else {
        return Ok(());
    };
    if plan.wants_slurm() {
        bail!("no Slurm members here: {reason}");
    }
    if plan.wants_real() {
        reporter.note(format!(
            "no real nodes here ({reason}): every node is simulated by kwok"
        ));
        plan.without_real();
    }
    Ok(())
}

/// The Slurm cluster that this is, if it is one.
fn slurm(dir: &Path, state: &ClusterState) -> Option<SlurmCluster> {
    let spec = state.node.as_ref().filter(|spec| spec.kind == NodeKind::Slurm)?;
    Some(SlurmCluster::new(dir, state, spec))
}

/// Deletes everything in a lab's directory but what makes it one.
fn empty(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path).with_context(|| format!("delete {}", path.display()))?;
        } else if path.file_name().is_some_and(|name| name != state::MARKER) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn claim(dir: &Path, plan: &Plan) -> Result<Vec<ClusterState>> {
    let host = plan.host_node.map(|kind| MemberSpec::new(HOST, kind));
    let members = plan
        .members
        .iter()
        .map(|member| (member.name.as_str(), Some(member.clone())));
    let mut clusters = std::iter::once((HOST, host))
        .chain(members)
        .map(|(name, node)| {
            Ok(ClusterState {
                name: name.to_owned(),
                slot: slot::claim(dir, &[])?,
                node,
                gateway: None,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    if plan.host_node == Some(NodeKind::Real) {
        let gateway = clusters.first().map(|host| host.slot.gateway());
        for cluster in &mut clusters {
            cluster.gateway.clone_from(&gateway);
        }
    }
    Ok(clusters)
}

/// Brings up one cluster, on other ports if a daemon could not bind one.
async fn bring_up(
    dir: &Path,
    state: &RefCell<State>,
    index: usize,
    image: &Path,
    reporter: &Reporter,
) -> Result<()> {
    let mut shunned: Vec<Slot> = Vec::new();
    loop {
        let of = state.borrow().clusters[index].clone();
        let result = match slurm(dir, &of) {
            Some(cluster) => cluster.up(reporter).await,
            None => Cluster::new(dir, &of).up(image, reporter).await,
        };
        let (Err(error), name) = (result, &of.name) else {
            return Ok(());
        };
        let taken = Daemon::all(dir, name).iter().any(|daemon| {
            let log = daemon.log_tail(50).to_lowercase();
            log.contains("address already in use")
        });
        // The others know the host by its slot already, where its pods call them.
        let fixed = name == HOST && of.gateway.is_some();
        if !taken || fixed || shunned.len() + 1 >= PORT_TRIES {
            return Err(error).with_context(|| format!("bring up {name}"));
        }
        reporter.note(format!("{name}: a port was taken meanwhile, trying others"));
        sweep::kill_cluster(dir, name).await?;
        fs::remove_dir_all(dir.join(name))?;
        shunned.push(state.borrow().clusters[index].slot);
        let slot = slot::claim(dir, &shunned)?;
        state.borrow_mut().clusters[index].slot = slot;
        state.borrow().write(dir)?;
    }
}
