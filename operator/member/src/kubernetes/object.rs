//! Writes the Job or the Deployment of a share. Pure; sent by `dispatch` and `deployment`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sky_core::marks;
use sky_core::share::{Container, Entry, EnvValue, Program, Retry, Share, ShareKey};
use sky_core::workload::Kind;

use super::node::ACCELERATOR_LABELS;
use super::stamp;
use crate::Tombstone;

/// Sets SKY_RANK from the completion index before the user's script: the index counts within this share, the rank over
/// all members.
const RANK_PRELUDE: &str =
    r#"export SKY_RANK="$(IFS=,; set -- $SKY_RANKS; shift "$JOB_COMPLETION_INDEX"; echo "$1")""#;

/// Templates of the past that a Deployment keeps: enough to look at, ours are kept on the host.
const OLD_TEMPLATES: i64 = 2;

/// The Indexed Job of `share`.
pub(super) fn job(share: &Share) -> Value {
    let labels = merged(&share.labels, stamp::labels(&share.stamp, &share.key.object));
    let annotations = merged(&share.annotations, stamp::annotations(&share.stamp));
    let template = template(share, &labels, &share.annotations);
    let mut spec = json!({
        "completionMode": "Indexed",
        "completions": share.replicas,
        "parallelism": share.replicas,
        "podReplacementPolicy": "Failed",
        "suspend": share.suspended,
        "template": template,
    });
    match share.retry {
        // A limit per index fails the index; no index may fail for good, or the whole SkyJob fails.
        Retry::Replace(limit) => {
            spec["backoffLimitPerIndex"] = json!(limit);
            spec["maxFailedIndexes"] = json!(0);
        }
        Retry::Restart(limit) => spec["backoffLimit"] = json!(limit),
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": share.key.object,
            "namespace": share.key.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    })
}

/// The Deployment of `share`. The user's annotations stay off its pods, and nothing that changes from share to share or
/// with the number of replicas is in its template: a change there replaces every pod.
pub(super) fn deployment(share: &Share) -> Value {
    let labels = merged(&share.labels, stamp::labels(&share.stamp, &share.key.object));
    let annotations = merged(&share.annotations, stamp::annotations(&share.stamp));
    let mut spec = json!({
        "replicas": share.replicas,
        "selector": {"matchLabels": {(marks::SHARE): share.key.object}},
        "template": template(share, &labels, &BTreeMap::new()),
        "revisionHistoryLimit": OLD_TEMPLATES,
    });
    if let Some(seconds) = share.progress_deadline {
        spec["progressDeadlineSeconds"] = json!(seconds);
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": share.key.object,
            "namespace": share.key.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    })
}

/// The pod template of `share`.
fn template(
    share: &Share,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Value {
    let mut template = match &share.program {
        Program::Container(container) => json!({"spec": pod_spec(share, container)}),
        Program::Template(template) => template.clone(),
    };
    mark(&mut template, labels, annotations);
    if let Program::Template(_) = share.program {
        complete(&mut template, share);
    }
    template
}

/// A Job that takes the name `key` and never runs anything: suspended, and of no parallelism, should somebody resume it.
pub(super) fn tombstone(key: &ShareKey, tombstone: &Tombstone) -> Value {
    let mut annotations = stamp::annotations(&tombstone.stamp);
    annotations.insert(marks::TOMBSTONE.to_owned(), tombstone.since.to_string());
    let container = json!({"name": "tombstone", "image": "tombstone", "imagePullPolicy": "Never"});
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": key.object,
            "namespace": key.namespace,
            "labels": stamp::labels(&tombstone.stamp, &key.object),
            "annotations": annotations,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 0,
            "suspend": true,
            "template": {"spec": {"containers": [container], "restartPolicy": "Never"}},
        },
    })
}

fn merged(users: &BTreeMap<String, String>, ours: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = users.clone();
    all.extend(ours);
    all
}

/// Puts labels and annotations onto the pod template, over what it has.
fn mark(template: &mut Value, labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) {
    for (field, entries) in [("labels", labels), ("annotations", annotations)] {
        for (key, value) in entries {
            template["metadata"][field][key] = json!(value);
        }
    }
}

/// A user's template gets our environment in every container, and a restart policy when it has none.
fn complete(template: &mut Value, share: &Share) {
    let ours = environment(share);
    for field in ["initContainers", "containers"] {
        let containers = template
            .pointer_mut(&format!("/spec/{field}"))
            .and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let theirs = container
                .get("env")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            container["env"] = Value::Array(ours.iter().cloned().chain(theirs).collect());
        }
    }
    template["spec"]["restartPolicy"] = json!(restart_policy(share));
}

fn restart_policy(share: &Share) -> &'static str {
    match (share.key.kind, share.retry) {
        (Kind::SkyDeployment, _) => "Always",
        (Kind::SkyJob, Retry::Replace(_)) => "Never",
        (Kind::SkyJob, Retry::Restart(_)) => "OnFailure",
    }
}

fn pod_spec(share: &Share, program: &Container) -> Value {
    let mut container = json!({
        "name": "main",
        "image": program.image,
        "env": environment(share).into_iter().chain(program.env.iter().map(env)).collect::<Vec<_>>(),
        "resources": resources(share),
    });
    match &program.entry {
        Entry::Script(script) => {
            let script = match share.key.kind {
                Kind::SkyJob => format!("{RANK_PRELUDE}\n{script}"),
                Kind::SkyDeployment => script.clone(),
            };
            container["command"] = json!(["/bin/sh", "-c", script]);
        }
        Entry::Command { command, args } => {
            if !command.is_empty() {
                container["command"] = json!(command);
            }
            if !args.is_empty() {
                container["args"] = json!(args);
            }
        }
    }
    if let Some(policy) = &program.pull_policy {
        container["imagePullPolicy"] = json!(policy);
    }
    if !program.ports.is_empty() {
        container["ports"] = json!(program.ports);
    }
    let mut spec = json!({"containers": [container], "restartPolicy": restart_policy(share)});
    if !program.pull_secrets.is_empty() {
        let names = program.pull_secrets.iter().map(|name| json!({"name": name}));
        spec["imagePullSecrets"] = names.collect();
    }
    if let Some(account) = &program.service_account {
        spec["serviceAccountName"] = json!(account);
    }
    let models = share
        .accelerator
        .as_ref()
        .map(|accelerator| &accelerator.models)
        .filter(|models| !models.is_empty());
    if let Some(models) = models {
        spec["affinity"] = one_of(models);
    }
    spec
}

/// Only nodes with one of these models. Nodes publish theirs under different labels: one term each, of which one must
/// hold.
fn one_of(models: &[String]) -> Value {
    let terms = ACCELERATOR_LABELS.map(|label| {
        let wanted = json!({"key": label, "operator": "In", "values": models});
        json!({"matchExpressions": [wanted]})
    });
    let required = json!({"nodeSelectorTerms": terms});
    json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
}

/// What every replica sees. SKY_RANKS is this share's ranks by index, so that an index finds its rank.
fn environment(share: &Share) -> Vec<Value> {
    let variable = |(name, value): (&str, String)| json!({"name": name, "value": value});
    if share.key.kind == Kind::SkyDeployment {
        let of_all = [
            ("SKY_DEPLOYMENT", share.stamp.name.clone()),
            ("SKY_CLUSTER", share.cluster.clone()),
        ];
        return of_all.into_iter().map(variable).collect();
    }
    let ranks = share
        .ranks
        .iter()
        .map(|rank| rank.to_string())
        .collect::<Vec<_>>()
        .join(",");
    [
        ("SKY_JOB", share.stamp.name.clone()),
        ("SKY_CLUSTER", share.cluster.clone()),
        ("SKY_REPLICAS", share.total_replicas.to_string()),
        ("SKY_RANKS", ranks),
    ]
    .into_iter()
    .map(variable)
    .collect()
}

fn env((name, value): &(String, EnvValue)) -> Value {
    match value {
        EnvValue::Literal(text) => json!({"name": name, "value": text}),
        EnvValue::From(source) => json!({"name": name, "valueFrom": source}),
    }
}

/// Cpu and memory are requests; extended resources must be limits too, which the API server demands to be equal.
fn resources(share: &Share) -> Value {
    let requests = &share.requests;
    let mut asked: BTreeMap<&str, String> = BTreeMap::new();
    if requests.cpu > 0 {
        asked.insert("cpu", format!("{}m", requests.cpu));
    }
    if requests.memory > 0 {
        asked.insert("memory", requests.memory.to_string());
    }
    let accelerator = share
        .accelerator
        .as_ref()
        .map(|accelerator| (accelerator.resource.as_str(), accelerator.count));
    let extended = requests
        .extended
        .iter()
        .map(|(name, amount)| (name.as_str(), *amount));
    let extended: BTreeMap<&str, String> = extended
        .chain(accelerator)
        .map(|(name, amount)| (name, amount.to_string()))
        .collect();
    asked.extend(extended.clone());
    if extended.is_empty() {
        json!({"requests": asked})
    } else {
        json!({"requests": asked, "limits": extended})
    }
}

#[cfg(test)]
mod tests;
