//! The end of join: waits until the operator has looked at the new members, and says what it found. Works without an
//! operator too: what join wrote stays until one comes.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Api;
use sky_crds::{SkyCluster, SkyClusterStatus};
use tokio::time::{Instant, sleep};

use crate::client::Connection;
use crate::errors::At;
use crate::{output, quantity};

const POLL: Duration = Duration::from_millis(300);

/// What a look at a cluster finds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Ready(String),
    NotReady(String),
    NotLooked,
}

/// Waits for all names together, and prints a line for each.
///
/// # Errors
/// When the operator says that one is not Ready, or the host cannot be asked.
pub(super) async fn tell(host: &Connection, names: &[&str], wait: Duration) -> anyhow::Result<()> {
    if wait.is_zero() {
        return Ok(());
    }
    let end = super::end_of(wait);
    let mut not_ready = Vec::new();
    for name in names {
        match look(host, name, end).await? {
            Found::Ready(summary) => output::line(&format!("{name}: Ready, {summary}"))?,
            Found::NotReady(reason) => {
                output::note(&format!("{name}: not Ready: {reason}"));
                not_ready.push(*name);
            }
            Found::NotLooked => output::note(&format!(
                "{name}: joined, but no operator has looked at it within {} s; is it running? It will become Ready by itself once one runs",
                wait.as_secs()
            )),
        }
    }
    anyhow::ensure!(
        not_ready.is_empty(),
        "joined, but not Ready: {}",
        not_ready.join(", ")
    );
    Ok(())
}

async fn look(host: &Connection, name: &str, end: Instant) -> anyhow::Result<Found> {
    let api: Api<SkyCluster> = Api::all(host.client.clone());
    loop {
        let cluster = api
            .get(name)
            .await
            .at(host, format!("look at SkyCluster {name}"))?;
        let found = judge(&cluster);
        if matches!(found, Found::Ready(_)) || Instant::now() >= end {
            return Ok(found);
        }
        sleep(POLL).await;
    }
}

fn judge(cluster: &SkyCluster) -> Found {
    let status = cluster.status.clone().unwrap_or_default();
    let looked = status
        .observed_generation
        .is_some_and(|seen| Some(seen) >= cluster.metadata.generation);
    let ready: Option<&Condition> = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if looked && ready.status == "True" => Found::Ready(summary(&status)),
        Some(ready) => Found::NotReady(format!("{}: {}", ready.reason, ready.message)),
        None => Found::NotLooked,
    }
}

fn summary(status: &SkyClusterStatus) -> String {
    let free = |resource: &str| status.free.get(resource).map(|amount| amount.0.as_str());
    let mut parts = Vec::new();
    parts.extend(status.version.clone());
    parts.extend(status.nodes.map(|nodes| match nodes {
        1 => "1 node".to_owned(),
        more => format!("{more} nodes"),
    }));
    parts.extend(free("cpu").map(|cpu| format!("{} cpu free", quantity::cpu(cpu))));
    parts.extend(free("memory").map(|memory| format!("{} memory free", quantity::memory(memory))));
    let reachable = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Reachable");
    let about = reachable.and_then(|reachable| reachable.message.strip_prefix("answers: "));
    let about = about.map_or_else(String::new, |about| format!("; {about}"));
    parts.join(", ") + &about
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster(status: serde_json::Value) -> SkyCluster {
        let object = json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster",
            "metadata": {"name": "a", "generation": 2}, "spec": {"manager": "kubernetes"}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    fn ready(status: &str, seen: i64) -> serde_json::Value {
        json!({"observedGeneration": seen, "version": "v1.36.0", "nodes": 2, "free": {"cpu": "31500m", "memory": "63Gi"},
               "conditions": [{"type": "Ready", "status": status, "reason": "Probed", "message": "words",
                               "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
    }

    #[test]
    fn only_a_look_at_this_generation_counts() {
        assert_eq!(
            judge(&cluster(json!({"observedGeneration": -1}))),
            Found::NotLooked
        );
        assert_eq!(
            judge(&cluster(ready("False", 2))),
            Found::NotReady("Probed: words".into())
        );
        assert_eq!(
            judge(&cluster(ready("True", 1))),
            Found::NotReady("Probed: words".into())
        );
        assert_eq!(
            judge(&cluster(ready("True", 2))),
            Found::Ready("v1.36.0, 2 nodes, 31.5 cpu free, 63Gi memory free".into())
        );
        let mut told = ready("True", 2);
        let list = told["conditions"].as_array_mut().unwrap();
        let mut reachable = list[0].clone();
        (reachable["type"], reachable["message"]) = (json!("Reachable"), json!("answers: partitions main"));
        list.push(reachable);
        assert_eq!(
            judge(&cluster(told)),
            Found::Ready("v1.36.0, 2 nodes, 31.5 cpu free, 63Gi memory free; partitions main".into())
        );
    }
}
