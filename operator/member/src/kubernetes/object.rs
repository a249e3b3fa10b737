//! Writes the Job or the Deployment of a share. Pure; sent by `dispatch` and `deployment`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde::Deserialize as _;
use serde_json::{Value, json};
use sky_core::marks;
use sky_core::pod::{self, MAIN};
use sky_core::share::{Accelerator, Retry, Share, ShareKey};
use sky_core::workload::Kind;

use super::node::ACCELERATOR_LABELS;
use super::stamp;
use crate::{Class, MemberError, Tombstone};

/// Where a pod's template demands nodes.
const NODE_TERMS: [&str; 3] = [
    "affinity",
    "nodeAffinity",
    "requiredDuringSchedulingIgnoredDuringExecution",
];

/// Templates of the past that a Deployment keeps: enough to look at, ours are kept on the host.
const OLD_TEMPLATES: i64 = 2;

/// The Indexed Job of `share`.
///
/// # Errors
/// When its pod template cannot be patched as the user asks.
pub(super) fn job(share: &Share) -> Result<Value, MemberError> {
    let labels = merged(&share.labels, stamp::labels(&share.stamp, &share.key.object));
    let annotations = merged(&share.annotations, stamp::annotations(&share.stamp));
    let mut spec = json!({
        "completionMode": "Indexed",
        "completions": share.replicas,
        "parallelism": share.replicas,
        "podReplacementPolicy": "Failed",
        "suspend": share.suspended,
        "template": template(share, &environment(share), restart_policy(share.retry))?,
    });
    match share.retry {
        // A limit per index fails the index; no index may fail for good, or the whole SkyJob fails.
        Retry::Replace(limit) => {
            spec["backoffLimitPerIndex"] = json!(limit);
            spec["maxFailedIndexes"] = json!(0);
        }
        Retry::Restart(limit) => spec["backoffLimit"] = json!(limit),
    }
    Ok(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": share.key.object,
            "namespace": share.key.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    }))
}

/// The Deployment of `share`. The user's annotations stay off its pods, and nothing that changes from share to share or
/// with the number of replicas is in its template: a change there replaces every pod.
///
/// # Errors
/// When its pod template cannot be patched as the user asks.
pub(super) fn deployment(share: &Share) -> Result<Value, MemberError> {
    let labels = merged(&share.labels, stamp::labels(&share.stamp, &share.key.object));
    let annotations = merged(&share.annotations, stamp::annotations(&share.stamp));
    let environment = [
        ("SKY_DEPLOYMENT", &share.stamp.name),
        ("SKY_CLUSTER", &share.cluster),
    ]
    .map(|(name, value)| json!({"name": name, "value": value}));
    let mut spec = json!({
        "replicas": share.replicas,
        "selector": {"matchLabels": {(marks::SHARE): share.key.object}},
        "template": template(share, &environment, "Always")?,
        "revisionHistoryLimit": OLD_TEMPLATES,
    });
    if let Some(seconds) = share.progress_deadline {
        spec["progressDeadlineSeconds"] = json!(seconds);
    }
    Ok(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": share.key.object,
            "namespace": share.key.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    }))
}

/// The pod template of `share`: what the user asked for, as patched for this cluster, then what is ours. Ours comes
/// last, so that no patch takes it away: labels, variables, the restart policy, accelerators by the name they have here.
///
/// # Errors
/// When a patch cannot be applied: class Rejected, with words that name it.
pub(super) fn template(
    share: &Share,
    environment: &[Value],
    restart_policy: &str,
) -> Result<Value, MemberError> {
    let none = BTreeMap::new();
    let parts = pod::Parts {
        kind: share.stamp.kind,
        program: &share.program,
        requests: &share.requests,
        labels: &share.labels,
        // A change of them alone is not to replace the pods of a SkyDeployment.
        annotations: match share.stamp.kind {
            Kind::SkyJob => &share.annotations,
            Kind::SkyDeployment => &none,
        },
    };
    let mut template = pod::template(parts, &share.patches)
        .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))?;
    // What follows relies on its shape.
    let typed = PodTemplateSpec::deserialize(&template).map_err(|error| {
        let words = format!("the template is no pod template: {error}");
        MemberError::new(Class::Rejected, words)
    })?;
    if !share.patches.is_empty() {
        // What no template has would be left out without a word.
        let before = pod::template(parts, &[]).unwrap_or_default();
        if let Some(path) = unknown(&template, &json!(typed), Some(&before), "") {
            let words = format!("spec.overrides: {} is no field of a pod template", &path[1..]);
            return Err(MemberError::new(Class::Rejected, words));
        }
    }
    let labels = stamp::labels(&share.stamp, &share.key.object);
    pod::mark(&mut template, &labels, &BTreeMap::new());
    if let Some(accelerator) = &share.accelerator {
        accelerate(&mut template, accelerator);
    }
    equip(&mut template, environment);
    template["spec"]["restartPolicy"] = json!(restart_policy);
    Ok(template)
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

/// The first field of `template` that is not in `typed`, which was read from it, nor in `before`.
fn unknown(template: &Value, typed: &Value, before: Option<&Value>, path: &str) -> Option<String> {
    match (template, typed) {
        (Value::Object(fields), Value::Object(known)) => fields.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            let before = before.and_then(|before| before.get(name));
            match known.get(name) {
                Some(known) => unknown(value, known, before, &path),
                None if value.is_null() || before.is_some() => None,
                None => Some(path),
            }
        }),
        (Value::Array(items), Value::Array(known)) => {
            let mut each = items.iter().zip(known).enumerate();
            each.find_map(|(index, (item, known))| {
                let before = before.and_then(|before| before.get(index));
                unknown(item, known, before, &format!("{path}[{index}]"))
            })
        }
        _ => None,
    }
}

/// Puts our variables before those of every container; theirs may refer to ours, and have none of our names.
fn equip(template: &mut Value, environment: &[Value]) {
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
            container["env"] = Value::Array(environment.iter().cloned().chain(theirs).collect());
        }
    }
}

fn restart_policy(retry: Retry) -> &'static str {
    match retry {
        Retry::Replace(_) => "Never",
        Retry::Restart(_) => "OnFailure",
    }
}

/// Asks for the accelerators in the container that is the program's, and for nodes with one of their models.
fn accelerate(template: &mut Value, accelerator: &Accelerator) {
    let containers = template["spec"]["containers"].as_array_mut();
    let main = containers
        .into_iter()
        .flatten()
        .find(|container| container["name"] == MAIN);
    if let Some(main) = main {
        for kind in ["requests", "limits"] {
            main["resources"][kind][&accelerator.resource] = json!(accelerator.count.to_string());
        }
    }
    if accelerator.models.is_empty() {
        return;
    }
    let mut place = &mut template["spec"];
    for field in NODE_TERMS {
        place = &mut place[field];
    }
    let ours = one_of(&accelerator.models);
    // Of the terms one must hold, of a term all: what a patch demands besides goes with each of ours.
    let theirs = place["nodeSelectorTerms"].as_array().cloned().unwrap_or_default();
    let both = theirs.iter().flat_map(|theirs| {
        ours.iter().map(|ours| {
            let mut both = theirs.clone();
            let mut expressions = theirs["matchExpressions"].as_array().cloned().unwrap_or_default();
            expressions.push(ours.clone());
            both["matchExpressions"] = Value::Array(expressions);
            both
        })
    });
    place["nodeSelectorTerms"] = if theirs.is_empty() {
        ours.iter()
            .map(|ours| json!({"matchExpressions": [ours]}))
            .collect()
    } else {
        both.collect()
    };
}

/// Only nodes with one of these models, of which one must hold: nodes publish theirs under different labels.
fn one_of(models: &[String]) -> Vec<Value> {
    let each = ACCELERATOR_LABELS.iter();
    each.map(|label| json!({"key": label, "operator": "In", "values": models}))
        .collect()
}

/// What every replica sees. SKY_RANKS is this share's ranks by index, so that an index finds its rank.
fn environment(share: &Share) -> Vec<Value> {
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
    .map(|(name, value)| json!({"name": name, "value": value}))
    .collect()
}

#[cfg(test)]
mod tests;
