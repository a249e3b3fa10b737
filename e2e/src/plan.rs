//! What a lab shall be made of: the host, its members, the operator. Written by the command line and by
//! suites; read by `lab`, which turns it into clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::slot;

/// The host's name as a cluster and as a kubeconfig context.
pub const HOST: &str = "host";

/// What runs a cluster's pods, or a Slurm cluster's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// kubelet, containerd and runc: real containers.
    Real,
    /// kwok: pods that only seem to run.
    Kwok,
    /// slurmd: real jobs, no pods and no Kubernetes.
    Slurm,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Kwok => "kwok",
            Self::Slurm => "slurm",
        })
    }
}

impl FromStr for NodeKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "real" => Ok(Self::Real),
            "kwok" => Ok(Self::Kwok),
            "slurm" => Ok(Self::Slurm),
            other => bail!("{other:?} is no kind of node: real, kwok or slurm"),
        }
    }
}

/// One member and its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberSpec {
    pub name: String,
    pub kind: NodeKind,
    /// Nodes; a real member has one.
    pub nodes: u32,
    /// Allocatable cores of each node (real: at most the machine's).
    pub cpu: u32,
    /// Memory of each kwok or slurm node, as a Kubernetes quantity; a real node shows the machine's.
    pub memory: String,
    /// Pods that each node takes.
    pub pods: u32,
    /// Labels of each node.
    pub labels: BTreeMap<String, String>,
    /// What only a Slurm member has.
    #[serde(default)]
    pub slurm: SlurmSpec,
}

/// What a Slurm member has beside nodes, cores and memory, none of which the machine need really have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlurmSpec {
    /// GPUs of each node; each is a clone of /dev/null.
    pub gpus: u32,
    /// Their GRES type.
    pub gpu_model: String,
    /// Seconds that slurmctld remembers a job after its end.
    pub min_job_age: u32,
    /// An OCI runtime and a bundle of busybox.
    pub containers: bool,
    /// TLS before slurmrestd, which speaks none itself.
    pub https: bool,
    /// slurmdbd with a database, which remember what slurmctld forgets.
    #[serde(default)]
    pub accounting: bool,
    /// Lines for slurm.conf, such as one more partition; a key that the lab has set too is theirs.
    pub extra: Vec<String>,
}

impl Default for SlurmSpec {
    /// No GPUs, no containers, no TLS, no accounting, jobs remembered for 5 minutes.
    fn default() -> Self {
        Self {
            gpus: 0,
            gpu_model: "a100".to_owned(),
            min_job_age: 300,
            containers: false,
            https: false,
            accounting: false,
            extra: Vec::new(),
        }
    }
}

impl MemberSpec {
    /// One node of 2 cores, 2Gi and 110 pods.
    pub fn new(name: &str, kind: NodeKind) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            nodes: 1,
            cpu: 2,
            memory: "2Gi".to_owned(),
            pods: 110,
            labels: BTreeMap::new(),
            slurm: SlurmSpec::default(),
        }
    }

    pub fn real(name: &str) -> Self {
        Self::new(name, NodeKind::Real)
    }

    pub fn kwok(name: &str) -> Self {
        Self::new(name, NodeKind::Kwok)
    }

    /// A Slurm cluster of two nodes of 4 cores and 4Gi.
    pub fn slurm(name: &str) -> Self {
        Self::new(name, NodeKind::Slurm).sized(2, 4, "4Gi")
    }

    /// `count` nodes of `cpu` cores and `memory` each.
    #[must_use]
    pub fn sized(mut self, count: u32, cpu: u32, memory: &str) -> Self {
        (self.nodes, self.cpu, self.memory) = (count, cpu, memory.to_owned());
        self
    }

    /// `count` GPUs of `model` on each node of a Slurm member.
    #[must_use]
    pub fn with_gpus(mut self, model: &str, count: u32) -> Self {
        (self.slurm.gpu_model, self.slurm.gpus) = (model.to_owned(), count);
        self
    }

    /// Its memory in MiB, the unit of slurm.conf.
    pub(crate) fn mebibytes(&self) -> Result<u64> {
        let parse = |digits: &str, factor: u64| digits.parse::<u64>().ok()?.checked_mul(factor);
        let units = [("Gi", 1024), ("Mi", 1)];
        let found = units
            .into_iter()
            .find_map(|(unit, factor)| parse(self.memory.strip_suffix(unit)?, factor));
        match found {
            Some(memory) if memory > 0 => Ok(memory),
            _ => bail!("{}: memory {:?} is no number of Mi or Gi", self.name, self.memory),
        }
    }

    fn check_slurm(&self) -> Result<()> {
        let most = u32::from(slot::SLURM_NODES);
        if self.nodes > most {
            bail!(
                "{}: a Slurm member has at most {most} nodes, not {}",
                self.name,
                self.nodes
            );
        }
        self.mebibytes()?;
        let model = &self.slurm.gpu_model;
        if model.is_empty() || model.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            bail!("{}: GPU model {model:?}: letters, digits and _", self.name);
        }
        Ok(())
    }
}

/// `NAME` or `NAME:real`, `NAME:kwok`, `NAME:slurm`; without a kind, kwok.
impl FromStr for MemberSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, kind) = text.split_once(':').unwrap_or((text, "kwok"));
        Ok(match kind.parse()? {
            NodeKind::Slurm => Self::slurm(name),
            kind => Self::new(name, kind),
        })
    }
}

/// A whole lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub members: Vec<MemberSpec>,
    /// A node (and a scheduler) for the host, which else runs no pods.
    pub host_node: Option<NodeKind>,
    /// Build and start the operator.
    pub operator: bool,
}

impl Default for Plan {
    /// The members of the original demonstration, and the operator.
    fn default() -> Self {
        Self {
            members: vec![
                MemberSpec::real("mluo-onprem"),
                MemberSpec::real("mluo-cloud"),
                MemberSpec::kwok("cloud-2"),
            ],
            host_node: None,
            operator: true,
        }
    }
}

impl Plan {
    /// These members, no operator.
    pub fn bare(members: Vec<MemberSpec>) -> Self {
        Self {
            members,
            host_node: None,
            operator: false,
        }
    }

    pub fn wants_real(&self) -> bool {
        self.host_node == Some(NodeKind::Real) || self.members.iter().any(|m| m.kind == NodeKind::Real)
    }

    pub fn wants_kwok(&self) -> bool {
        self.host_node == Some(NodeKind::Kwok) || self.members.iter().any(|m| m.kind == NodeKind::Kwok)
    }

    pub fn wants_slurm(&self) -> bool {
        self.slurm().next().is_some()
    }

    /// What its Slurm members have.
    pub fn slurm(&self) -> impl Iterator<Item = &SlurmSpec> {
        let members = self.members.iter().filter(|m| m.kind == NodeKind::Slurm);
        members.map(|member| &member.slurm)
    }

    /// Every real node becomes a kwok node: for machines that cannot run containers.
    pub fn without_real(&mut self) {
        let kinds = self.members.iter_mut().map(|member| &mut member.kind);
        for kind in kinds
            .chain(&mut self.host_node)
            .filter(|kind| **kind == NodeKind::Real)
        {
            *kind = NodeKind::Kwok;
        }
    }

    /// Refuses what could not be brought up under `dir`, in words.
    pub fn check(&self, dir: &Path) -> Result<()> {
        if self.host_node == Some(NodeKind::Slurm) {
            bail!("the host runs pods or nothing: its node is real or kwok");
        }
        let mut seen = BTreeSet::from([HOST]);
        for member in &self.members {
            let name = member.name.as_str();
            let edges = name.starts_with('-') || name.ends_with('-');
            let odd = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if name.is_empty() || name.len() > 30 || edges || name.contains(odd) {
                bail!("member name {name:?}: 1 to 30 of a-z, 0-9 and -, no - at the ends");
            }
            if !seen.insert(name) {
                bail!("member name {name:?} is taken; {HOST} always is");
            }
            if member.kind == NodeKind::Real && member.nodes != 1 {
                bail!("{name}: a real member has one node, not {}", member.nodes);
            }
            if member.nodes == 0 || member.cpu == 0 {
                bail!("{name}: at least one node of at least one core");
            }
            if member.kind == NodeKind::Slurm {
                member.check_slurm()?;
            }
        }
        // A unix socket's path has 107 bytes; the kubelet's longest is the one below.
        let longest = seen.iter().map(|name| name.len()).max().unwrap_or(0);
        let room = 107 - "//kubelet/pod-resources/kubelet.sock".len() - longest;
        if self.wants_real() && dir.as_os_str().len() > room {
            bail!(
                "{} is too long for the kubelet's sockets: at most {room} bytes; use --dir",
                dir.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(members: &[&str], dir: &str) -> String {
        let members = members.iter().map(|text| text.parse().unwrap()).collect();
        Plan::bare(members)
            .check(Path::new(dir))
            .map_or_else(|e| e.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn plans_are_checked_before_anything_starts() {
        let table: [(&[&str], &str); 5] = [
            (&["a:real", "b", "c-2:kwok", "d:slurm"], "fine"),
            (&["a", "a"], "member name \"a\" is taken"),
            (&["host"], "member name \"host\" is taken"),
            (&["A"], "member name \"A\""),
            (&["-a"], "member name \"-a\""),
        ];
        for (members, expect) in table {
            assert!(
                refusal(members, "/lab").starts_with(expect),
                "{members:?}: {}",
                refusal(members, "/lab")
            );
        }
        let long = format!("/{}", "d".repeat(80));
        assert!(refusal(&["a:real"], &long).contains("too long"));
        assert_eq!(refusal(&["a:kwok"], &long), "fine");
        assert!("a:cloud".parse::<MemberSpec>().is_err());
    }

    #[test]
    fn slurm_members_are_bounded_and_stay_when_real_nodes_cannot_be() {
        let check = |member: MemberSpec| Plan::bare(vec![member]).check(Path::new("/lab"));
        let member = || MemberSpec::slurm("a");
        assert!(check(member().sized(slot::SLURM_NODES.into(), 1, "1Gi")).is_ok());
        assert!(check(member().sized(u32::from(slot::SLURM_NODES) + 1, 1, "1Gi")).is_err());
        assert!(check(member().sized(1, 1, "1GB")).is_err());
        let mut odd = member();
        odd.slurm.gpu_model = "a 100".to_owned();
        assert!(check(odd).is_err());
        let mut plan = Plan::bare(vec![member(), MemberSpec::real("b")]);
        plan.without_real();
        assert!(plan.wants_slurm() && plan.wants_kwok() && !plan.wants_real());
        plan.host_node = Some(NodeKind::Slurm);
        assert!(plan.check(Path::new("/lab")).is_err());
    }

    #[test]
    fn memory_is_counted_in_mebibytes() {
        for (text, expect) in [
            ("4Gi", Some(4096)),
            ("1500Mi", Some(1500)),
            ("4096", None),
            ("0Mi", None),
        ] {
            let mut member = MemberSpec::slurm("a");
            member.memory = text.to_owned();
            assert_eq!(member.mebibytes().ok(), expect, "{text}");
        }
    }
}
