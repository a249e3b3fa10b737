//! A whole lab: brings up the host, the members and the operator, opens one that is up, takes it down.
//! Fed by the command line and by suites; what it is made of is a `Plan`, what it became a `State`.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use futures::future::try_join_all;
use tokio::process::Command;

use crate::cluster::{self, Cluster};
use crate::image;
use crate::kubeconfig;
use crate::machine;
use crate::operator;
use crate::packages;
use crate::plan::{HOST, MemberSpec, Plan};
use crate::programs;
use crate::report::Reporter;
use crate::slot::{self, Slot};
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
        settle(&mut plan, reporter);
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

    /// All members, in the plan's order.
    pub fn members(&self) -> Vec<Cluster> {
        self.clusters()
            .into_iter()
            .filter(|cluster| cluster.name() != HOST)
            .collect()
    }

    /// The host and all members.
    pub fn clusters(&self) -> Vec<Cluster> {
        self.state
            .clusters
            .iter()
            .map(|state| Cluster::new(&self.dir, state))
            .collect()
    }

    /// The host or a member.
    pub fn cluster(&self, name: &str) -> Result<Cluster> {
        self.clusters()
            .into_iter()
            .find(|cluster| cluster.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = self
                    .state
                    .clusters
                    .iter()
                    .map(|state| state.name.as_str())
                    .collect();
                anyhow!("no cluster {name} in this lab; there are {}", names.join(", "))
            })
    }

    /// The user's kubeconfig: the host is its current context, each member a context by its name. The way
    /// to a member goes through its proxy, so that what is joined from here can be cut.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("host.kubeconfig")
    }

    /// The environment in which a user works with this lab.
    pub fn exec_env(&self) -> Vec<(&'static str, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut env = self.variables();
        env.push(("PATH", format!("{}:{path}", self.dir.join("bin").display())));
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

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("KUBECONFIG", self.kubeconfig().display().to_string()),
            (
                "KUBECACHEDIR",
                cluster::discovery_cache(&self.dir).display().to_string(),
            ),
            ("SKY_LAB_DIR", self.dir.display().to_string()),
        ]
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
        for cluster in self.clusters() {
            for daemon in cluster.daemons() {
                let operator = daemon.name() == operator::NAME;
                let state = if daemon.running() { "" } else { " (not running)" };
                let tail = daemon.log_tail(if operator { 30 } else { 3 });
                text.push_str(&format!(
                    "--- {} {}{state}\n{tail}\n",
                    cluster.name(),
                    daemon.name()
                ));
            }
        }
        text
    }

    fn whole(dir: &Path, plan: &Plan) -> Option<Self> {
        let lab = Self::open(dir).ok().filter(|lab| lab.state.plan == *plan)?;
        let mut daemons = lab.clusters().into_iter().flat_map(|cluster| cluster.daemons());
        daemons
            .all(|daemon| daemon.running() || daemon.name() == operator::NAME)
            .then_some(lab)
    }

    async fn build(dir: &Path, plan: Plan, reporter: &Reporter) -> Result<Self> {
        if plan.wants_real() {
            packages::ensure(reporter).await?;
        }
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

/// Turns real nodes into kwok nodes where real ones cannot run, and says so.
fn settle(plan: &mut Plan, reporter: &Reporter) {
    if plan.wants_real()
        && let Some(reason) = machine::no_real_nodes()
    {
        reporter.note(format!(
            "no real nodes here ({reason}): every node is simulated by kwok"
        ));
        plan.without_real();
    }
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
    std::iter::once((HOST, host))
        .chain(members)
        .map(|(name, node)| {
            Ok(ClusterState {
                name: name.to_owned(),
                slot: slot::claim(dir, &[])?,
                node,
            })
        })
        .collect()
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
        let cluster = Cluster::new(dir, &state.borrow().clusters[index]);
        let Err(error) = cluster.up(image, reporter).await else {
            return Ok(());
        };
        let taken = cluster
            .daemons()
            .iter()
            .any(|d| d.log_tail(50).contains("address already in use"));
        if !taken || shunned.len() + 1 >= PORT_TRIES {
            return Err(error).with_context(|| format!("bring up {}", cluster.name()));
        }
        reporter.note(format!(
            "{}: a port was taken meanwhile, trying others",
            cluster.name()
        ));
        sweep::kill_cluster(dir, cluster.name()).await?;
        fs::remove_dir_all(cluster.folder())?;
        shunned.push(state.borrow().clusters[index].slot);
        let slot = slot::claim(dir, &shunned)?;
        state.borrow_mut().clusters[index].slot = slot;
        state.borrow().write(dir)?;
    }
}
