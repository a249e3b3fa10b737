//! Revisions of a SkyDeployment's template: the part of its spec that makes up its pods, as apps/v1 ControllerRevisions
//! on the host, and back. The operator writes them, the plugin's `rollout` reads them.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use serde_json::{Map, Value, json};
use sky_core::marks;
use sky_core::naming;
use sky_core::revision::{Revision, hash};
use sky_crds::{SkyDeployment, SkyDeploymentSpec, names};

/// Fields of the spec that do not make up the pods: a change of these rolls nothing.
const NOT_OF_PODS: [&str; 9] = [
    "replicas",
    "strategy",
    "paused",
    "progressDeadlineSeconds",
    "placement",
    "priority",
    "pendingTimeoutSeconds",
    "onClusterLost",
    "followConfig",
];

/// The field of a template that says when its pods were last restarted; it is no field of the spec.
const RESTARTED_AT: &str = "restartedAt";

/// Characters of a SkyDeployment's name that its revisions keep.
const NAME_KEPT: usize = 40;

/// A revision as the host keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Name of its object.
    pub name: String,
    /// Number and hash.
    pub revision: Revision,
    /// When its template was first asked for.
    pub created: Option<Time>,
    /// Its template.
    pub template: Value,
}

/// The template of `deployment`: the fields of its spec that make up its pods, and when they were last restarted.
#[must_use]
pub fn template(deployment: &SkyDeployment) -> Value {
    let mut template = of_pods(&deployment.spec);
    if let Some(at) = restarted_at(&deployment.metadata) {
        template.insert(RESTARTED_AT.to_owned(), json!(at));
    }
    Value::Object(template)
}

fn of_pods(spec: &SkyDeploymentSpec) -> Map<String, Value> {
    let mut fields = match json!(spec) {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    fields.retain(|field, _| !NOT_OF_PODS.contains(&field.as_str()));
    fields
}

/// When the user last asked for a restart.
#[must_use]
pub fn restarted_at(metadata: &ObjectMeta) -> Option<&str> {
    let annotations = metadata.annotations.as_ref()?;
    annotations
        .get(names::RESTARTED_AT_ANNOTATION)
        .map(String::as_str)
}

/// `metadata` and `spec`, as an object has them, taken back to `template`: fields of the pods that it does not have are
/// removed, all else stays.
pub fn restore(object: &mut Value, template: &Value) {
    let empty = Map::new();
    let template = template.as_object().unwrap_or(&empty);
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|field, _| NOT_OF_PODS.contains(&field.as_str()));
        let fields = template
            .iter()
            .filter(|(field, _)| *field != RESTARTED_AT && !NOT_OF_PODS.contains(&field.as_str()));
        spec.extend(fields.map(|(field, value)| (field.clone(), value.clone())));
    }
    match template.get(RESTARTED_AT) {
        Some(at) => object["metadata"]["annotations"][names::RESTARTED_AT_ANNOTATION] = at.clone(),
        None => {
            let annotations = object.pointer_mut("/metadata/annotations");
            if let Some(annotations) = annotations.and_then(Value::as_object_mut) {
                annotations.remove(names::RESTARTED_AT_ANNOTATION);
            }
        }
    }
}

/// The revision of this number and template of `deployment`, as it is created.
#[must_use]
pub fn to_api(deployment: &SkyDeployment, number: i64, template: &Value) -> ControllerRevision {
    let metadata = &deployment.metadata;
    let (name, uid) = (
        metadata.name.clone().unwrap_or_default(),
        metadata.uid.clone().unwrap_or_default(),
    );
    let owner = OwnerReference {
        api_version: format!("{}/{}", names::GROUP, names::VERSION),
        kind: "SkyDeployment".to_owned(),
        name: name.clone(),
        uid: uid.clone(),
        controller: Some(true),
        block_owner_deletion: None,
    };
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(object_name(&name, &uid, &hash(template))),
            namespace: metadata.namespace.clone(),
            labels: Some([(marks::UID.to_owned(), uid)].into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(template.clone())),
        revision: number,
    }
}

/// Name of the revision with a template of this hash: a DNS label. The uid is in it, for long names may begin alike.
#[must_use]
pub fn object_name(name: &str, uid: &str, hash: &str) -> String {
    let dashed = name
        .chars()
        .map(|letter| if letter == '.' { '-' } else { letter });
    let kept: String = dashed.take(NAME_KEPT).collect();
    format!("{}-{}", kept.trim_end_matches('-'), naming::hash(&[uid, hash], 8))
}

/// The label selector of the revisions of the SkyDeployment with this uid.
#[must_use]
pub fn selector(uid: &str) -> String {
    format!("{}={uid}", marks::UID)
}

/// A revision of the SkyDeployment with this uid; `None` for one that is not its own: labels can be given by anybody.
#[must_use]
pub fn from_api(api: &ControllerRevision, uid: &str) -> Option<Kept> {
    let mut owners = api.metadata.owner_references.iter().flatten();
    if !owners.any(|owner| owner.uid == uid && owner.controller == Some(true)) {
        return None;
    }
    let RawExtension(template) = api.data.as_ref()?;
    Some(Kept {
        name: api.metadata.name.clone()?,
        revision: Revision {
            number: api.revision,
            hash: hash(template),
        },
        created: api.metadata.creation_timestamp.clone(),
        template: template.clone(),
    })
}

/// What a template runs, in a few words: its images, a digest of its script, its last restart.
#[must_use]
pub fn change(template: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let containers = template
        .pointer("/template/spec/containers")
        .and_then(Value::as_array);
    let mut words: Vec<String> = match containers {
        Some(containers) => containers.iter().filter_map(|one| text(&one["image"])).collect(),
        None => vec![text(&template["image"]).unwrap_or_else(|| "(default image)".to_owned())],
    };
    words.extend(text(&template["run"]).map(|script| format!("run:{}", naming::hash(&[&script], 8))));
    words.extend(text(&template[RESTARTED_AT]).map(|at| format!("restarted {at}")));
    words.join(" ")
}

#[cfg(test)]
mod tests;
