//! What a lab shall be made of: the host, its members, the operator. Written by the command line and by
//! suites; read by `lab`, which turns it into clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// The host's name as a cluster and as a kubeconfig context.
pub const HOST: &str = "host";

/// What runs a cluster's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// kubelet, containerd and runc: real containers.
    Real,
    /// kwok: pods that only seem to run.
    Kwok,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Real => "real",
            Self::Kwok => "kwok",
        })
    }
}

impl FromStr for NodeKind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "real" => Ok(Self::Real),
            "kwok" => Ok(Self::Kwok),
            other => bail!("{other:?} is no kind of node: real or kwok"),
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
    /// Memory of each kwok node, as a Kubernetes quantity; a real node shows the machine's.
    pub memory: String,
    /// Pods that each node takes.
    pub pods: u32,
    /// Labels of each node.
    pub labels: BTreeMap<String, String>,
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
        }
    }

    pub fn real(name: &str) -> Self {
        Self::new(name, NodeKind::Real)
    }

    pub fn kwok(name: &str) -> Self {
        Self::new(name, NodeKind::Kwok)
    }

    /// `count` nodes of `cpu` cores and `memory` each.
    #[must_use]
    pub fn sized(mut self, count: u32, cpu: u32, memory: &str) -> Self {
        (self.nodes, self.cpu, self.memory) = (count, cpu, memory.to_owned());
        self
    }
}

/// `NAME` or `NAME:real` or `NAME:kwok`; without a kind, kwok.
impl FromStr for MemberSpec {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, kind) = text.split_once(':').unwrap_or((text, "kwok"));
        Ok(Self::new(name, kind.parse()?))
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

    /// Every real node becomes a kwok node: for machines that cannot run containers.
    pub fn without_real(&mut self) {
        self.host_node = self.host_node.map(|_| NodeKind::Kwok);
        for member in &mut self.members {
            member.kind = NodeKind::Kwok;
        }
    }

    /// Refuses what could not be brought up under `dir`, in words.
    pub fn check(&self, dir: &Path) -> Result<()> {
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
            (&["a:real", "b", "c-2:kwok"], "fine"),
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
}
