//! What real nodes and Slurm clusters leave outside the lab's directory: cgroups, bridges, network namespaces, the
//! traces of containerd, runc and the network plugins, and what jobs' users must reach. Named by
//! `cluster::real_node` and `slurm`; taken away by `sweep`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::machine;
use crate::procfs::Running;
use crate::state;

/// Where network plugins note what they gave to a container.
const PLUGIN_NOTES: &str = "/var/lib/cni/results";
/// Where every user may go, whatever the lab's directory is in.
const HOMES: &str = "/tmp";

/// Bridges of the lab at `dir` are called this and a number; 15 bytes is all that a device's name may have.
pub(crate) fn bridge_prefix(dir: &Path) -> String {
    format!("sky{}-", state::tag(dir))
}

/// Cgroups and pod networks of the lab at `dir` are called this and the cluster's name.
pub(crate) fn outside_prefix(dir: &Path) -> String {
    format!("sky-lab-{}-", state::tag(dir))
}

/// Where the Slurm cluster `cluster` of the lab at `dir` keeps what other users of this machine must reach.
pub(crate) fn slurm_home(dir: &Path, cluster: &str) -> PathBuf {
    Path::new(HOMES).join(format!("{}{cluster}", outside_prefix(dir)))
}

/// The cgroup of a Slurm cluster: its jobs and the programs that watch over them carry no mark.
pub(crate) fn slurm_cgroup(dir: &Path, cluster: &str) -> PathBuf {
    machine::plain_cgroup_hierarchy().join(format!("{}{cluster}", outside_prefix(dir)))
}

/// Everything of the lab at `dir` that can be told by its name.
pub(super) fn paths(dir: &Path) -> Vec<PathBuf> {
    let mut found = cgroups(dir);
    found.extend(named("/sys/class/net".as_ref(), &bridge_prefix(dir)));
    for folder in [PLUGIN_NOTES, HOMES] {
        found.extend(named(folder.as_ref(), &outside_prefix(dir)));
    }
    found
}

/// What only the containers' own state tells: it has to be read before that state is gone.
#[derive(Default)]
pub(super) struct Containers {
    /// Network namespaces, as mounts.
    namespaces: Vec<PathBuf>,
    /// Sockets of shims, folders of runc, notes of the loopback plugin.
    traces: Vec<PathBuf>,
}

/// The containers of every containerd of the lab at `dir`.
pub(super) fn containers(dir: &Path) -> Containers {
    let mut found = Containers::default();
    for cluster in named(dir, "") {
        let bundles = cluster.join("containerd/state/io.containerd.runtime.v2.task/k8s.io");
        for bundle in named(&bundles, "") {
            found.namespaces.extend(network_namespace(&bundle));
            let address = fs::read_to_string(bundle.join("address")).unwrap_or_default();
            found
                .traces
                .extend(address.strip_prefix("unix://").map(PathBuf::from));
            let Some(id) = bundle.file_name().map(|id| id.to_string_lossy().into_owned()) else {
                continue;
            };
            found
                .traces
                .push(Path::new("/run/containerd/runc/k8s.io").join(&id));
            found
                .traces
                .push(Path::new(PLUGIN_NOTES).join(format!("cni-loopback-{id}-lo")));
        }
    }
    found
}

impl Containers {
    pub(super) fn into_paths(self) -> Vec<PathBuf> {
        self.namespaces.into_iter().chain(self.traces).collect()
    }

    /// Removes what is left; what went by itself is no error.
    pub(super) fn remove(&self) {
        for path in &self.namespaces {
            let _ = umount2(path, MntFlags::MNT_DETACH);
            let _ = fs::remove_file(path);
        }
        for path in &self.traces {
            let _ = if path.is_dir() {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            };
        }
    }
}

/// Kills what runs in the lab's containers and Slurm jobs: their programs carry no mark, but they are in our cgroups.
pub(super) fn kill_contained(dir: &Path, bound: Duration) -> Result<()> {
    let begin = Instant::now();
    loop {
        let found: Vec<Running> = cgroups(dir).iter().flat_map(|path| contained(path)).collect();
        if found.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > bound {
            bail!("containers still run after SIGKILL: {found:?}");
        }
        for running in found {
            running.signal(Signal::SIGKILL)?;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Removes bridges, cgroups, the network plugins' notes and the homes of Slurm clusters.
pub(super) fn remove(dir: &Path, bound: Duration) -> Result<()> {
    for bridge in named("/sys/class/net".as_ref(), &bridge_prefix(dir)) {
        let ip = machine::find("ip").unwrap_or_else(|| "ip".into());
        Command::new(ip)
            .args(["link", "delete"])
            .arg(bridge.file_name().unwrap_or_default())
            .status()?;
    }
    for note in named(PLUGIN_NOTES.as_ref(), &outside_prefix(dir)) {
        fs::remove_file(note)?;
    }
    for home in named(HOMES.as_ref(), &outside_prefix(dir)) {
        fs::remove_dir_all(home)?;
    }
    let begin = Instant::now();
    loop {
        // A cgroup stays busy for a moment after its last program ended.
        cgroups(dir).iter().for_each(|path| remove_tree(path));
        let left = cgroups(dir);
        if left.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > bound {
            bail!("cgroups cannot be removed: {left:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn cgroups(dir: &Path) -> Vec<PathBuf> {
    let prefix = outside_prefix(dir);
    machine::cgroup_hierarchies()
        .iter()
        .flat_map(|hierarchy| named(hierarchy, &prefix))
        .collect()
}

/// Children of `folder` whose names begin with `prefix`.
fn named(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}

fn contained(cgroup: &Path) -> Vec<Running> {
    let freezer = cgroup.join("freezer.state");
    if freezer.exists() {
        let _ = fs::write(freezer, "THAWED");
    }
    let pids = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<Running> = pids
        .lines()
        .filter_map(|line| Running::of(line.parse().ok()?))
        .collect();
    found.extend(children(cgroup).iter().flat_map(|path| contained(path)));
    found
}

/// Only rmdir works in a cgroup: its files are not ours.
fn remove_tree(cgroup: &Path) {
    children(cgroup).iter().for_each(|path| remove_tree(path));
    let _ = fs::remove_dir(cgroup);
}

fn children(cgroup: &Path) -> Vec<PathBuf> {
    named(cgroup, "")
        .into_iter()
        .filter(|path| path.is_dir())
        .collect()
}

fn network_namespace(bundle: &Path) -> Option<PathBuf> {
    let config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).ok()?).ok()?;
    let namespaces = config.pointer("/linux/namespaces")?.as_array()?;
    let network = namespaces
        .iter()
        .find(|namespace| namespace["type"] == "network")?;
    // Only those that a network plugin made: never a namespace of the machine.
    let path = PathBuf::from(network["path"].as_str()?);
    path.file_name()?.to_str()?.starts_with("cni-").then_some(path)
}
