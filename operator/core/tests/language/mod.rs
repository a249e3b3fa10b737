//! The language of scenarios: text in, a snapshot, workloads and questions out. `scenarios/README.md` describes it.

pub mod difference;
mod fleet;
pub mod report;
mod rules;
mod words;
mod workload;

use sky_core::plugin::Enabled;
use sky_core::plugins;
use sky_core::schedule::Scheduler;
use sky_core::snapshot::Snapshot;
use sky_core::workload::{Kind, Workload};

use words::Words;

/// Labels that every cluster counts as carrying.
const NAME: &str = "skymanager.io/cluster-name";
const MANAGER: &str = "skymanager.io/manager";

/// What a scenario sets up and asks.
pub struct Scenario {
    /// Clusters and rules, reservations taken.
    pub snapshot: Snapshot,
    /// The plugins in use.
    pub scheduler: Scheduler,
    /// What is to be decided.
    pub workloads: Vec<Workload>,
    /// Workloads, and the clusters on which they hope to stay.
    pub stays: Vec<(Workload, String)>,
    /// Clusters whose room is to be shown in the end.
    pub left: Vec<String>,
}

/// Reads the lines above `---`. A line that is indented goes on with the line before it.
pub fn parse(text: &str) -> Result<Scenario, String> {
    let mut scenario = Scenario {
        snapshot: Snapshot::default(),
        scheduler: Scheduler::default(),
        workloads: Vec::new(),
        stays: Vec::new(),
        left: Vec::new(),
    };
    for (number, line) in lines(text) {
        read(&line, &mut scenario).map_err(|error| format!("line {number}: {error}\n  {line}"))?;
    }
    for policies in scenario.snapshot.policies.values_mut() {
        policies.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Ok(scenario)
}

/// Lines with their numbers, without comments and blank ones, continuations joined.
fn lines(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match all.last_mut() {
            Some((_, before)) if line.starts_with(' ') => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => all.push((index + 1, line.trim_end().to_owned())),
        }
    }
    all
}

fn read(line: &str, scenario: &mut Scenario) -> Result<(), String> {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match first {
        "cluster" => {
            let cluster = fleet::cluster(&mut Words::new(rest, &[]))?;
            scenario.snapshot.clusters.insert(cluster.name.clone(), cluster);
        }
        "policy" => {
            let policy = rules::policy(&mut Words::new(rest, rules::KEYWORDS))?;
            let namespace = policy.namespace.clone();
            scenario
                .snapshot
                .policies
                .entry(namespace)
                .or_default()
                .push(policy);
        }
        "namespace" => {
            let (name, rule) = rules::namespace(&mut Words::new(rest, rules::KEYWORDS))?;
            scenario.snapshot.namespaces.insert(name, rule);
        }
        "job" => scenario.workloads.push(read_workload(Kind::SkyJob, rest)?),
        "deployment" => scenario.workloads.push(read_workload(Kind::SkyDeployment, rest)?),
        "reserved" => reserve(rest, scenario)?,
        "plugins" => scenario.scheduler = Scheduler::new(chosen(rest)?),
        "stays" => scenario.stays.push(question(rest, &scenario.workloads)?),
        "left" => scenario
            .left
            .push(rest.trim_start_matches("on ").trim_end_matches('?').to_owned()),
        other => return Err(format!("{other:?} begins no line of a scenario")),
    }
    Ok(())
}

fn read_workload(kind: Kind, rest: &str) -> Result<Workload, String> {
    workload::workload(kind, &mut Words::new(rest, workload::KEYWORDS))
}

/// `reserved 2 on dev-1 cpu 1 memory 1Gi`: room promised to replicas that no node shows yet.
fn reserve(rest: &str, scenario: &mut Scenario) -> Result<(), String> {
    let mut words = Words::new(rest, workload::KEYWORDS);
    let count = words.number("replicas")?;
    if !words.is("on") {
        return Err("want reserved NUMBER on CLUSTER".into());
    }
    let cluster = words.want("a cluster")?;
    let mut needs = workload::default_needs(1000);
    while let Some(word) = words.take() {
        if !workload::need(&word, &mut words, &mut needs)? {
            return Err(format!("{word:?} says nothing about what a replica needs"));
        }
    }
    scenario.snapshot.reserve(&cluster, &needs, count);
    Ok(())
}

/// `ClusterReady, NodeFit, FreeCapacity x3`: only these, in this order and with these weights.
fn chosen(rest: &str) -> Result<Vec<Enabled>, String> {
    let builtin = plugins::builtin();
    let each = rest.split(',').map(|one| {
        let (name, times) = one.trim().split_once(" x").unwrap_or((one.trim(), ""));
        let known = builtin.iter().find(|enabled| enabled.plugin.name() == name);
        let mut enabled = known
            .cloned()
            .ok_or_else(|| format!("there is no plugin {name:?}"))?;
        if !times.is_empty() {
            enabled.weight = times.parse().map_err(|_| format!("{times:?} is no weight"))?;
        }
        Ok(enabled)
    });
    each.collect()
}

/// `WORKLOAD on CLUSTER?`
fn question(rest: &str, workloads: &[Workload]) -> Result<(Workload, String), String> {
    let (name, cluster) = rest
        .trim_end_matches('?')
        .split_once(" on ")
        .ok_or("want stays WORKLOAD on CLUSTER?")?;
    let known = workloads.iter().find(|workload| workload.name == name);
    let workload = known
        .cloned()
        .ok_or_else(|| format!("there is no workload {name:?} above"))?;
    Ok((workload, cluster.to_owned()))
}
