//! Slots: sixteen TCP ports and a pod network each, one slot per cluster, never two labs on one slot.
//! Claimed by `lab` before anything starts; given back by `sweep`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::state;

const SLOTS: u16 = 200;
const PORTS: u16 = 16;
/// How many nodes of a Slurm cluster find a port in a slot.
pub const SLURM_NODES: u16 = PORTS - Port::FIRST_SLURMD;
/// Where the ports of slot 0 may be; the first that keeps clear of the ephemeral range is taken.
const BASES: [u16; 4] = [20_000, 10_000, 4_000, 61_000];

/// What each port of a slot is for. A cluster is Kubernetes or Slurm, so both count from the same number.
#[derive(Clone, Copy, Debug)]
pub enum Port {
    /// The member's network as the operator sees it: the proxy.
    Network,
    Etcd,
    EtcdPeer,
    ApiServer,
    ControllerManager,
    Scheduler,
    Kubelet,
    KubeletHealth,
    Kwok,
    /// The operator's health and metrics (host only).
    Operator,
    /// The same of a further operator (host only): the first or the second.
    Replica(Replica),
    /// Argo CD's redis (host only).
    Redis,
    /// Argo CD's repo server (host only).
    ArgoRepo,
    /// Argo CD's API (host only).
    ArgoServer,
    Slurmctld,
    Slurmrestd,
    /// What speaks TLS for slurmrestd.
    SlurmTls,
    /// Accounting of a Slurm cluster.
    Slurmdbd,
    /// slurmd of the node with this index, below [`SLURM_NODES`].
    Slurmd(u16),
}

/// One of two operators of a host that elect who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replica {
    First,
    Second,
}

impl Port {
    const FIRST_SLURMD: u16 = 5;

    /// Its place in the slot.
    fn offset(self) -> u16 {
        match self {
            Self::Network => 0,
            Self::Etcd | Self::Slurmctld => 1,
            Self::EtcdPeer | Self::Slurmrestd => 2,
            Self::ApiServer | Self::SlurmTls => 3,
            Self::ControllerManager | Self::Slurmdbd => 4,
            Self::Scheduler => 5,
            Self::Kubelet => 6,
            Self::KubeletHealth => 7,
            Self::Kwok => 8,
            Self::Operator => 9,
            Self::Replica(Replica::First) => 10,
            Self::Replica(Replica::Second) => 11,
            Self::Redis => 12,
            Self::ArgoRepo => 13,
            Self::ArgoServer => 14,
            Self::Slurmd(index) => Self::FIRST_SLURMD + index,
        }
    }
}

/// A claimed slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    index: u16,
    base: u16,
}

impl Slot {
    pub fn port(self, port: Port) -> u16 {
        self.base + port.offset()
    }

    /// The pods' network of a real node.
    pub fn subnet(self) -> String {
        format!("10.{}.0.0/24", 50 + self.index)
    }

    /// This machine, as those pods reach it.
    pub fn gateway(self) -> String {
        format!("10.{}.0.1", 50 + self.index)
    }
}

/// Claims a slot whose ports are all free for the lab at `dir`, passing over the indices in `shunned`
/// (slots on which a daemon failed to bind).
pub fn claim(dir: &Path, shunned: &[Slot]) -> Result<Slot> {
    let registry = registry()?;
    let _lock = lock(&registry)?;
    let base = base();
    for index in 0..SLOTS {
        let slot = Slot {
            index,
            base: base + index * PORTS,
        };
        let file = registry.join(index.to_string());
        let taken = fs::read_to_string(&file).is_ok_and(|owner| state::is_lab(Path::new(&owner)));
        if taken || shunned.contains(&slot) || network_in_use(slot) || !ports_free(slot) {
            continue;
        }
        fs::write(&file, dir.as_os_str().as_encoded_bytes()).context("write a slot's claim")?;
        return Ok(slot);
    }
    bail!("no free ports: all {SLOTS} slots from port {base} on are taken")
}

/// Gives back every slot of the lab at `dir`.
pub fn release(dir: &Path) -> Result<()> {
    let registry = registry()?;
    let _lock = lock(&registry)?;
    for entry in fs::read_dir(&registry)? {
        let path = entry?.path();
        if fs::read(&path).is_ok_and(|owner| owner == dir.as_os_str().as_encoded_bytes()) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// One directory for all labs of this user on this machine, wherever their state is.
pub(crate) fn registry() -> Result<PathBuf> {
    let user = nix::unistd::geteuid().as_raw();
    let path = std::env::temp_dir().join(format!("sky-lab-slots-{user}"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    let metadata = fs::symlink_metadata(&path)?;
    if metadata.uid() != user || !metadata.is_dir() {
        bail!("{} belongs to somebody else", path.display());
    }
    Ok(path)
}

fn lock(registry: &Path) -> Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(registry.join("lock"))?;
    file.lock()?;
    file.flush()?;
    Ok(file)
}

fn ports_free(slot: Slot) -> bool {
    (slot.base..slot.base + PORTS).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
}

/// Whether this machine routes to the slot's pod network already (a bridge left by another user's lab).
fn network_in_use(slot: Slot) -> bool {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let ours = u32::from_be_bytes([10, 50 + u8::try_from(slot.index).unwrap_or(0), 0, 0]);
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let mut address = |n| u32::from_str_radix(fields.nth(n)?, 16).ok().map(u32::swap_bytes);
        let (Some(destination), Some(mask)) = (address(0), address(5)) else {
            return false;
        };
        mask >= 0xffff_0000 && (destination & 0xffff_ff00) & mask == ours & mask
    })
}

/// Below (or above) the range from which the kernel picks ports for outgoing connections, which could
/// take a port of ours at any moment.
fn base() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut bounds = range
        .split_whitespace()
        .filter_map(|word| word.parse::<u16>().ok());
    let (low, high) = (bounds.next().unwrap_or(32_768), bounds.next().unwrap_or(60_999));
    let clear = |base: &u16| base + SLOTS * PORTS <= low || *base > high;
    BASES.into_iter().find(clear).unwrap_or(BASES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_neighbouring_slots_do_not_overlap() {
        let (first, second) = (
            Slot {
                index: 0,
                base: 20_000,
            },
            Slot {
                index: 1,
                base: 20_000 + PORTS,
            },
        );
        for last in [Port::ArgoServer, Port::Slurmd(SLURM_NODES - 1)] {
            assert!(first.port(last) < second.port(Port::Network), "{last:?}");
        }
        assert_eq!(second.subnet(), "10.51.0.0/24");
    }

    #[test]
    fn a_slot_with_one_port_in_use_is_not_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(!ports_free(Slot {
            index: 0,
            base: port.saturating_sub(PORTS / 2)
        }));
    }
}
