//! Amounts of resources as integers: cpu in millicores, memory in bytes, everything else in pieces. Read by fit.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Name under which cpu is listed.
pub const CPU: &str = "cpu";
/// Name under which memory is listed.
pub const MEMORY: &str = "memory";

/// What one container asks for, and whether it is a sidecar: an init container that keeps running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerRequest {
    /// What it asks for.
    pub resources: Resources,
    /// Whether it is an init container with restartPolicy Always.
    pub sidecar: bool,
}

/// What a pod asks of its node, as kube-scheduler counts it: the larger of what its containers and sidecars ask for
/// together and what any init container asks for beside the sidecars started before it; and the overhead.
#[must_use]
pub fn of_pod(containers: &[ContainerRequest], init: &[ContainerRequest], overhead: &Resources) -> Resources {
    let mut together = Resources::default();
    for container in containers {
        together.add(&container.resources);
    }
    let mut sidecars = Resources::default();
    let mut most = Resources::default();
    for container in init {
        let mut beside = sidecars.clone();
        beside.add(&container.resources);
        if container.sidecar {
            sidecars = beside.clone();
        }
        most = most.maximum(&beside);
    }
    together.add(&sidecars);
    let mut total = together.maximum(&most);
    total.add(overhead);
    total
}

/// What a replica needs or a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Millicores.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Extended resources by name, in pieces.
    pub extended: BTreeMap<String, i64>,
}

impl Resources {
    /// The same in whole cpus and whole MiB, which is what Slurm gives; `None`: it is in these already.
    #[must_use]
    pub fn whole(&self) -> Option<Self> {
        const CPU_UNIT: i64 = 1000;
        const MEMORY_UNIT: i64 = 1 << 20;
        let up = |amount: i64, unit: i64| match amount.rem_euclid(unit) {
            0 => amount,
            over => amount.saturating_add(unit - over),
        };
        let (cpu, memory) = (up(self.cpu, CPU_UNIT), up(self.memory, MEMORY_UNIT));
        ((cpu, memory) != (self.cpu, self.memory)).then(|| Self {
            cpu,
            memory,
            extended: self.extended.clone(),
        })
    }

    /// `cpu` in millicores, `memory` in bytes, nothing else.
    #[must_use]
    pub fn new(cpu: i64, memory: i64) -> Self {
        Self {
            cpu,
            memory,
            extended: BTreeMap::new(),
        }
    }

    /// Adds `other`, piece by piece; saturates.
    pub fn add(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.memory = self.memory.saturating_add(other.memory);
        for (name, amount) in &other.extended {
            let entry = self.extended.entry(name.clone()).or_default();
            *entry = entry.saturating_add(*amount);
        }
    }

    /// Takes `other` away; may go below zero, which means over-committed.
    pub fn subtract(&mut self, other: &Self) {
        self.cpu = self.cpu.saturating_sub(other.cpu);
        self.memory = self.memory.saturating_sub(other.memory);
        for (name, amount) in &other.extended {
            let entry = self.extended.entry(name.clone()).or_default();
            *entry = entry.saturating_sub(*amount);
        }
    }

    /// The larger of both, piece by piece.
    #[must_use]
    pub fn maximum(&self, other: &Self) -> Self {
        let mut most = self.clone();
        most.cpu = most.cpu.max(other.cpu);
        most.memory = most.memory.max(other.memory);
        for (name, amount) in &other.extended {
            let entry = most.extended.entry(name.clone()).or_default();
            *entry = (*entry).max(*amount);
        }
        most
    }

    /// How many times `self` goes into `free`; `i64::MAX` when `self` asks for nothing.
    #[must_use]
    pub fn times_in(&self, free: &Self) -> i64 {
        let extended = self
            .extended
            .iter()
            .map(|(name, need)| (*need, free.extended.get(name).copied().unwrap_or(0)));
        [(self.cpu, free.cpu), (self.memory, free.memory)]
            .into_iter()
            .chain(extended)
            .filter(|(need, _)| *need > 0)
            .map(|(need, have)| have.max(0) / need)
            .min()
            .unwrap_or(i64::MAX)
    }

    /// Names of what `free` is short of for one `self`, in the order cpu, memory, extended by name.
    pub fn short_of<'a>(&'a self, free: &Self) -> impl Iterator<Item = &'a str> {
        let extended = self.extended.iter().map(|(name, need)| {
            let have = free.extended.get(name).copied().unwrap_or(0);
            (name.as_str(), *need, have)
        });
        [(CPU, self.cpu, free.cpu), (MEMORY, self.memory, free.memory)]
            .into_iter()
            .chain(extended)
            .filter(|(_, need, have)| *need > 0 && have < need)
            .map(|(name, ..)| name)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cpu {}m, memory {} bytes", self.cpu, self.memory)?;
        self.extended
            .iter()
            .try_for_each(|(name, amount)| write!(out, ", {name} {amount}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_tenths_hold_three_times_a_tenth() {
        assert_eq!(Resources::new(100, 0).times_in(&Resources::new(300, 0)), 3);
    }

    #[test]
    fn what_asks_for_nothing_fits_without_end() {
        assert_eq!(Resources::default().times_in(&Resources::default()), i64::MAX);
    }

    #[test]
    fn over_committed_holds_nothing() {
        assert_eq!(Resources::new(1, 0).times_in(&Resources::new(-5, 0)), 0);
    }

    #[test]
    fn an_absent_extended_resource_is_named() {
        let mut need = Resources::new(1, 1);
        need.extended.insert("nvidia.com/gpu".into(), 1);
        let free = Resources::new(0, 5);
        assert_eq!(
            need.short_of(&free).collect::<Vec<_>>(),
            ["cpu", "nvidia.com/gpu"]
        );
    }
}
