//! Reads what is so, from the API servers and not from what the demonstration printed: a job's end and
//! placement, free capacity, the Jobs that members were ever told to create. Asked by the parts for their claims.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::lab::Lab;
use crate::machine;
use crate::plan::NodeKind;

/// A SkyJob as the host has it.
pub struct Job(Value);

/// Cores in thousandths, by cluster.
pub type Millicores = BTreeMap<String, u64>;

impl Job {
    pub async fn read(lab: &Lab, name: &str) -> Result<Self> {
        let text = lab.kubectl(&["get", "skyj", name, "-o", "json"]).await?;
        Ok(Self(serde_json::from_str(&text)?))
    }

    /// Replicas by cluster.
    pub fn placement(&self) -> BTreeMap<String, u64> {
        let clusters = self.0["status"]["placement"]["clusters"].as_array();
        let clusters = clusters.into_iter().flatten();
        clusters
            .filter_map(|entry| Some((entry["cluster"].as_str()?.to_owned(), entry["replicas"].as_u64()?)))
            .collect()
    }

    /// `mluo-cloud:2,mluo-onprem:2`.
    pub fn summary(&self) -> &str {
        self.0["status"]["summary"].as_str().unwrap_or("no cluster")
    }

    pub fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// Complete, with all of its replicas.
    pub fn is_complete(&self) -> Result<()> {
        let status = &self.0["status"];
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let complete = conditions
            .filter(|condition| condition["type"] == "Complete" && condition["status"] == "True")
            .count();
        let (wanted, succeeded) = (&self.0["spec"]["replicas"], &status["totals"]["succeeded"]);
        ensure!(
            complete == 1 && wanted == succeeded,
            "{succeeded} of {wanted} replicas succeeded: {}",
            status["conditions"]
        );
        Ok(())
    }
}

/// What is free on each member, by the host.
pub async fn free(lab: &Lab) -> Result<Millicores> {
    cpu(lab, "free").await
}

/// What the nodes of each member give to workloads, by the host.
pub async fn allocatable(lab: &Lab) -> Result<Millicores> {
    cpu(lab, "allocatable").await
}

async fn cpu(lab: &Lab, field: &str) -> Result<Millicores> {
    let text = lab.kubectl(&["get", "skyc", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&text)?;
    let mut found = Millicores::new();
    for cluster in list["items"].as_array().into_iter().flatten() {
        let name = cluster["metadata"]["name"].as_str().unwrap_or_default();
        let amount = cluster["status"][field]["cpu"]
            .as_str()
            .ok_or_else(|| anyhow!("{name} has no {field} cpu"))?;
        found.insert(name.to_owned(), millicores(amount)?);
    }
    Ok(found)
}

fn millicores(amount: &str) -> Result<u64> {
    let (number, factor) = match amount.strip_suffix('m') {
        Some(number) => (number, 1),
        None => (amount, 1000),
    };
    let number: u64 = number.parse().with_context(|| format!("cpu {amount:?}"))?;
    Ok(number * factor)
}

/// How many Jobs each member was ever told to create for `job`, by the audit logs of the members.
pub fn jobs_created(lab: &Lab, job: &str) -> Result<BTreeMap<String, usize>> {
    let prefix = format!("{job}-");
    let count = |member: crate::cluster::Cluster| {
        let entries = member.audit_entries()?;
        let creates = entries.iter().filter(|entry| {
            entry.verb == "create" && entry.resource == "jobs" && entry.name.starts_with(&prefix)
        });
        Ok((member.name().to_owned(), creates.count()))
    };
    lab.members().into_iter().map(count).collect()
}

/// How many pods of `job` each member has, by the members.
pub async fn pods(lab: &Lab, job: &Job) -> Result<BTreeMap<String, u64>> {
    let selector = format!("skymanager.io/uid={}", job.uid());
    let mut found = BTreeMap::new();
    for member in lab.members() {
        let pods = member
            .kubectl(&["get", "pods", "-A", "-l", &selector, "-o", "name"])
            .await?;
        found.insert(member.name().to_owned(), pods.lines().count() as u64);
    }
    Ok(found)
}

/// Whether containers really run, and therefore print, on every cluster of this placement.
pub fn really_prints(lab: &Lab, job: &Job) -> Result<(), String> {
    if let Some(reason) = machine::no_real_nodes() {
        return Err(format!("no real nodes here ({reason}), kwok pods print nothing"));
    }
    for name in job.placement().keys() {
        let node = lab.member(name).ok().and_then(|member| member.node().cloned());
        if node.is_some_and(|node| node.kind == NodeKind::Kwok) {
            return Err(format!("it was placed on {name}, whose kwok pods print nothing"));
        }
    }
    Ok(())
}

/// How a command says how long a replica runs: kwok pods cannot read it from the script.
pub fn run_for(seconds: u32) -> String {
    match machine::no_real_nodes() {
        None => String::new(),
        Some(_) => format!(" --env LAB_RUN_FOR={seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_counted_in_thousandths() {
        assert_eq!(millicores("2").unwrap(), 2000);
        assert_eq!(millicores("1500m").unwrap(), 1500);
        assert!(millicores("many").is_err());
    }
}
