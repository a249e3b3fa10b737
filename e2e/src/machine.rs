//! What this machine can do: root, capabilities, cgroups, where Debian puts its programs.
//! Read by `lab` (real nodes or kwok nodes, Slurm or not) and by `doctor`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::daemon::search_path;

const CGROUPS: &str = "/sys/fs/cgroup";

/// Why real nodes and Slurm clusters cannot run here; None when they can.
pub fn no_real_nodes() -> Option<String> {
    if !is_root() {
        return Some("not root".to_owned());
    }
    // CAP_NET_ADMIN and CAP_SYS_ADMIN: bridges, mounts, namespaces.
    let wanted = 1u64 << 12 | 1 << 21;
    if capabilities().is_some_and(|caps| caps & wanted != wanted) {
        return Some("root without CAP_NET_ADMIN and CAP_SYS_ADMIN".to_owned());
    }
    let probe = cgroup_hierarchies()
        .first()?
        .join(format!("sky-lab-probe-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&probe) {
        return Some(format!("cgroups cannot be made in {CGROUPS}: {error}"));
    }
    let _ = fs::remove_dir(&probe);
    None
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Every mounted cgroup hierarchy: one per controller in version 1, the root itself in version 2.
pub fn cgroup_hierarchies() -> Vec<PathBuf> {
    if is_unified() {
        return vec![CGROUPS.into()];
    }
    let entries = fs::read_dir(CGROUPS).into_iter().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    if found.is_empty() {
        vec![CGROUPS.into()]
    } else {
        found
    }
}

/// A hierarchy in which a cgroup only counts who is in it: version 1 has some that must be told their limits first.
pub fn plain_cgroup_hierarchy() -> PathBuf {
    let pids = Path::new(CGROUPS).join("pids");
    if !is_unified() && pids.is_dir() {
        pids
    } else {
        CGROUPS.into()
    }
}

/// Cgroups version 2 alone.
pub fn is_unified() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// The machine's cores.
pub fn cores() -> u32 {
    std::thread::available_parallelism()
        .ok()
        .and_then(|n| u32::try_from(n.get()).ok())
        .unwrap_or(1)
}

/// Available memory in MiB, as /proc/meminfo has it.
pub fn memory_available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

/// The first `program` on PATH or where root's programs live.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = search_path();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Where the network plugins are: Debian's place or the upstream one.
pub fn network_plugins() -> Option<PathBuf> {
    ["/usr/lib/cni", "/opt/cni/bin"]
        .map(PathBuf::from)
        .into_iter()
        .find(|folder| {
            ["bridge", "host-local", "loopback"]
                .iter()
                .all(|name| folder.join(name).is_file())
        })
}

fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
