//! What `kubectl get sky` prints of each kind. Added to the CRDs by `schema`.
//!
//! A path shows only its first match, so that lists appear as one-line summaries of the status, and of the conditions one
//! type a column.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;

/// A printed column.
pub(crate) type Column = CustomResourceColumnDefinition;

fn column(name: &str, type_: &str, path: &str) -> Column {
    Column {
        name: name.to_owned(),
        type_: type_.to_owned(),
        json_path: path.to_owned(),
        ..Column::default()
    }
}

fn text(name: &str, path: &str) -> Column {
    column(name, "string", path)
}

fn number(name: &str, path: &str) -> Column {
    column(name, "integer", path)
}

fn condition(name: &str, type_: &str, field: &str) -> Column {
    text(
        name,
        &format!(".status.conditions[?(@.type==\"{type_}\")].{field}"),
    )
}

/// Printed with `-o wide` only.
fn wide(column: Column) -> Column {
    Column {
        priority: Some(1),
        ..column
    }
}

fn age() -> Column {
    column("Age", "date", ".metadata.creationTimestamp")
}

pub(crate) fn cluster() -> Vec<Column> {
    vec![
        text("Manager", ".spec.manager"),
        condition("Ready", "Ready", "status"),
        condition("Reason", "Ready", "reason"),
        number("Nodes", ".status.nodes"),
        text("Free-CPU", ".status.free.cpu"),
        text("Free-Memory", ".status.free.memory"),
        column("Cordoned", "boolean", ".spec.unschedulable"),
        text("Version", ".status.version"),
        wide(condition("Message", "Ready", "message")),
        age(),
    ]
}

pub(crate) fn job() -> Vec<Column> {
    vec![
        text("Phase", ".status.phase"),
        text("Replicas", ".spec.replicas"),
        number("Running", ".status.totals.running"),
        number("Succeeded", ".status.totals.succeeded"),
        number("Failed", ".status.totals.failed"),
        text("Clusters", ".status.summary"),
        text("Reason", ".status.clusters[*].reason"),
        wide(condition("Message", "Reconciling", "message")),
        age(),
    ]
}

pub(crate) fn deployment() -> Vec<Column> {
    vec![
        text("Phase", ".status.phase"),
        number("Replicas", ".spec.replicas"),
        number("Ready", ".status.readyReplicas"),
        number("Updated", ".status.updatedReplicas"),
        text("Clusters", ".status.summary"),
        wide(condition("Message", "Reconciling", "message")),
        age(),
    ]
}

pub(crate) fn namespace() -> Vec<Column> {
    vec![
        condition("Ready", "Ready", "status"),
        condition("Reason", "Ready", "reason"),
        text("Clusters", ".status.summary"),
        wide(condition("Message", "Ready", "message")),
        age(),
    ]
}

pub(crate) fn policy() -> Vec<Column> {
    vec![
        text("Include", ".spec.clusterFilter.include"),
        text("Exclude", ".spec.clusterFilter.exclude"),
        number("Workloads", ".status.matchedWorkloads"),
        condition("Ready", "Ready", "status"),
        wide(condition("Message", "Ready", "message")),
        age(),
    ]
}
