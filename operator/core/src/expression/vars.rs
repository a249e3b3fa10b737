//! What an expression is evaluated on: plain values of one cluster and one workload, filled by `plugins/expression.rs`.

use crate::cluster::Taint;
use crate::labels::Labels;

/// A cluster, as an expression sees it.
#[derive(Clone, Debug)]
pub struct ClusterVars<'a> {
    /// SkyCluster name.
    pub name: &'a str,
    /// `kubernetes` or `slurm`.
    pub manager: &'a str,
    /// Its labels, with the two that every cluster counts as carrying.
    pub labels: &'a Labels,
    /// Its taints.
    pub taints: &'a [Taint],
    /// Cordoned.
    pub unschedulable: bool,
    /// Number of its nodes; 0 before it has reported them.
    pub nodes: i64,
    /// What nobody asked for yet, over all nodes.
    pub free: Room,
    /// What its nodes give to workloads.
    pub allocatable: Room,
    /// Accelerator models, each once, by name.
    pub models: Vec<&'a str>,
}

/// Amounts over all nodes of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Millicores; an expression sees cores.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Pieces of every kind of accelerator.
    pub accelerators: i64,
}

/// A workload, as an expression sees it.
#[derive(Clone, Debug)]
pub struct WorkloadVars<'a> {
    /// `SkyJob` or `SkyDeployment`.
    pub kind: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a Labels,
    /// Higher goes first.
    pub priority: i64,
    /// Replicas to place.
    pub replicas: i64,
    /// All replicas at once or none.
    pub gang: bool,
    /// What one replica asks for.
    pub resources: RequestVars<'a>,
}

/// What one replica asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestVars<'a> {
    /// Millicores; an expression sees cores.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Pieces of every kind of accelerator.
    pub accelerators: i64,
    /// The accelerator model it asks for; empty when any will do.
    pub model: &'a str,
}
