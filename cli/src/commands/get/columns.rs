//! The columns of each kind. Pure: objects and the time in, a table out. An object that our types cannot read still
//! has its row, with its name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sky_crds::cluster::Manager;
use sky_crds::scalar::Count;
use sky_crds::status::ClusterCounts;
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};

use crate::kinds::Kind;
use crate::quantity;
use crate::table::{Table, age};

/// What the table shows beside the plain columns.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// More columns.
    pub wide: bool,
    /// A first column with the namespace.
    pub namespaces: bool,
    /// The present.
    pub now: Timestamp,
}

/// The table of objects of one kind, in their order.
#[must_use]
pub fn table(kind: Kind, objects: &[Value], options: Options) -> Table {
    let (plain, wide): (&[&'static str], &[&'static str]) = match kind {
        Kind::Cluster => (
            &[
                "MANAGER",
                "READY",
                "NODES",
                "CPU(FREE/ALLOC)",
                "MEMORY(FREE/ALLOC)",
            ],
            &["VERSION", "LABELS", "MESSAGE"],
        ),
        Kind::Job => (
            &["PHASE", "REPLICAS", "CLUSTERS", "REASON"],
            &["PENDING", "RUNNING", "FAILED", "MESSAGE"],
        ),
        Kind::Deployment => (&["PHASE", "READY", "CLUSTERS", "REASON"], &["UPDATED", "MESSAGE"]),
        Kind::Policy => (
            &["INCLUDE", "EXCLUDE", "SELECTOR"],
            &["MATCHED", "EVICTED", "UNKNOWN"],
        ),
        Kind::Namespace => (&["READY", "CLUSTERS", "REASON"], &["ELSEWHERE", "MESSAGE"]),
    };
    let mut headers = Vec::new();
    headers.extend(options.namespaces.then_some("NAMESPACE"));
    headers.push("NAME");
    headers.extend(plain);
    headers.push("AGE");
    headers.extend(options.wide.then_some(wide).into_iter().flatten());
    let mut table = Table::new(headers);
    for object in objects {
        let metadata = |field: &str| {
            let value = object.get("metadata").and_then(|metadata| metadata.get(field));
            value.and_then(Value::as_str).unwrap_or_default()
        };
        let created = metadata("creationTimestamp").parse().ok();
        let (cells, more) =
            cells(kind, object).unwrap_or_else(|| (vec!["<unreadable>".to_owned()], Vec::new()));
        let mut row = Vec::new();
        row.extend(options.namespaces.then(|| metadata("namespace").to_owned()));
        row.push(metadata("name").to_owned());
        row.extend((0..plain.len()).map(|index| cells.get(index).cloned().unwrap_or_default()));
        row.push(age(created, options.now));
        row.extend(options.wide.then_some(more).into_iter().flatten());
        table.row(row);
    }
    table
}

type Cells = (Vec<String>, Vec<String>);

fn cells(kind: Kind, object: &Value) -> Option<Cells> {
    fn read<T: DeserializeOwned>(object: &Value) -> Option<T> {
        T::deserialize(object).ok()
    }
    match kind {
        Kind::Cluster => read(object).map(|cluster| self::cluster(&cluster)),
        Kind::Job => read(object).map(|job| self::job(&job)),
        Kind::Deployment => read(object).map(|deployment| self::deployment(&deployment)),
        Kind::Policy => read(object).map(|policy| self::policy(&policy)),
        Kind::Namespace => read(object).map(|namespace| self::namespace(&namespace)),
    }
}

fn cluster(cluster: &SkyCluster) -> Cells {
    let status = cluster.status.clone().unwrap_or_default();
    let manager = match cluster.spec.manager {
        Manager::Kubernetes => "kubernetes",
        Manager::Slurm => "slurm",
    };
    let ready = find(&status.conditions, "Ready");
    let mut readiness = ready.map_or("Unknown", |ready| &ready.status).to_owned();
    if cluster.spec.unschedulable == Some(true) {
        readiness.push_str(",Cordoned");
    }
    let of = |resource: &str, show: fn(&str) -> String| match (
        status.free.get(resource),
        status.allocatable.get(resource),
    ) {
        (None, None) => String::new(),
        (free, all) => {
            let show =
                |amount: Option<&Quantity>| amount.map_or_else(|| "?".to_owned(), |amount| show(&amount.0));
            format!("{}/{}", show(free), show(all))
        }
    };
    let labels = cluster.metadata.labels.clone().unwrap_or_default();
    (
        vec![
            manager.to_owned(),
            readiness,
            number(status.nodes),
            of("cpu", quantity::cpu),
            of("memory", quantity::memory),
        ],
        vec![
            status.version.clone().unwrap_or_default(),
            pairs(&labels),
            ready.map(|ready| ready.message.clone()).unwrap_or_default(),
        ],
    )
}

fn job(job: &SkyJob) -> Cells {
    let status = job.status.clone().unwrap_or_default();
    let wanted = match &job.spec.replicas {
        Count::Number(number) => number.to_string(),
        Count::Text(text) => text.clone(),
    };
    let totals = status.totals.clone().unwrap_or_default();
    let (reason, message) = why(&status.conditions, &status.clusters);
    (
        vec![
            status.phase.clone().unwrap_or_default(),
            format!("{}/{wanted}", totals.succeeded),
            status.summary.clone().unwrap_or_default(),
            reason,
        ],
        vec![
            totals.pending.to_string(),
            totals.running.to_string(),
            totals.failed.to_string(),
            message,
        ],
    )
}

fn deployment(deployment: &SkyDeployment) -> Cells {
    let status = deployment.status.clone().unwrap_or_default();
    let (reason, message) = why(&status.conditions, &status.clusters);
    (
        vec![
            status.phase.clone().unwrap_or_default(),
            format!(
                "{}/{}",
                status.ready_replicas.unwrap_or_default(),
                deployment.spec.replicas
            ),
            status.summary.clone().unwrap_or_default(),
            reason,
        ],
        vec![number(status.updated_replicas.map(i64::from)), message],
    )
}

fn policy(policy: &FilterPolicy) -> Cells {
    let status = policy.status.clone().unwrap_or_default();
    let filter = &policy.spec.cluster_filter;
    let include = match (filter.include.is_empty(), &filter.cluster_selector) {
        (true, None) => "*".to_owned(),
        (true, Some(_)) => "<by label>".to_owned(),
        (false, None) => filter.include.join(","),
        (false, Some(_)) => format!("{},<by label>", filter.include.join(",")),
    };
    let selector = match (
        policy.spec.labels_selector.is_empty(),
        &policy.spec.workload_selector,
    ) {
        (true, None) => "*".to_owned(),
        (true, Some(_)) => "<expressions>".to_owned(),
        (false, _) => pairs(&policy.spec.labels_selector),
    };
    (
        vec![include, filter.exclude.join(","), selector],
        vec![
            number(status.matched_workloads),
            number(status.evicted_shares),
            status.unknown_clusters.join(","),
        ],
    )
}

fn namespace(namespace: &SkyNamespace) -> Cells {
    let status = namespace.status.clone().unwrap_or_default();
    let ready = find(&status.conditions, "Ready");
    // What is under way or stuck says more than that all is well.
    let mut telling = ["Stalled", "Reconciling"].iter();
    let telling = telling.find_map(|kind| find(&status.conditions, kind).filter(|c| c.status == "True"));
    let in_place = ["Created", "Adopted"];
    let elsewhere = status
        .clusters
        .iter()
        .filter(|cluster| !in_place.contains(&&*cluster.state));
    let elsewhere = elsewhere.map(|cluster| format!("{}:{}", cluster.cluster, cluster.state));
    (
        vec![
            ready.map_or("Unknown", |ready| &ready.status).to_owned(),
            status.summary.unwrap_or_default(),
            telling.map(|told| told.reason.clone()).unwrap_or_default(),
        ],
        vec![
            elsewhere.collect::<Vec<_>>().join(","),
            telling
                .or(ready)
                .map(|told| told.message.clone())
                .unwrap_or_default(),
        ],
    )
}

/// Why a workload is not running: what stopped it, what it waits for, or what its replicas wait for.
fn why(conditions: &[Condition], clusters: &[ClusterCounts]) -> (String, String) {
    let told = |kind: &str, status: &str| {
        find(conditions, kind)
            .filter(|condition| condition.status == status && !condition.reason.is_empty())
            .map(|condition| (condition.reason.clone(), condition.message.clone()))
    };
    if find(conditions, "Complete").is_some_and(|complete| complete.status == "True") {
        return (String::new(), String::new());
    }
    let replicas = || {
        let cluster = clusters.iter().find(|cluster| cluster.reason.is_some())?;
        Some((
            cluster.reason.clone()?,
            cluster.message.clone().unwrap_or_default(),
        ))
    };
    told("Failed", "True")
        .or_else(|| told("Stalled", "True"))
        .or_else(|| told("Scheduled", "False").map(|(_, message)| ("Queued".to_owned(), message)))
        .or_else(replicas)
        .or_else(|| told("Suspended", "True"))
        .unwrap_or_default()
}

fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

fn number(number: Option<i64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn pairs(map: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

#[cfg(test)]
mod tests;
