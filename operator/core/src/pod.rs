//! The pod template that a program becomes: what its user asked for, patched for one cluster, before what we and the
//! member add. Read by sky-convert, which works out what patched pods need, and by Kubernetes members, which create
//! them: both see the same template.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use thiserror::Error;

use crate::labels::Labels;
use crate::patch::{self, Patch, PatchError};
use crate::resources::Resources;
use crate::share::{Container, Entry, EnvValue, Program};
use crate::workload::Kind;

/// The container of a program that is no template.
pub const MAIN: &str = "main";

/// Sets SKY_RANK from the completion index before the user's script: the index counts within this share, the rank over
/// all members.
const RANK_PRELUDE: &str =
    r#"export SKY_RANK="$(IFS=,; set -- $SKY_RANKS; shift "$JOB_COMPLETION_INDEX"; echo "$1")""#;

/// What a template is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Kind of the workload: replicas of a SkyJob have ranks.
    pub kind: Kind,
    /// What a replica runs.
    pub program: &'a Program,
    /// What a replica asks for, when its program is no template.
    pub requests: &'a Resources,
    /// The user's labels, copied onto the pods.
    pub labels: &'a Labels,
    /// The user's annotations, copied onto the pods.
    pub annotations: &'a Labels,
}

/// Why a template cannot be patched.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PodError {
    /// A patch that cannot be applied.
    #[error("spec.overrides: {0}")]
    Patch(#[from] PatchError),
    /// The patches change what is the same on every cluster.
    #[error("spec.overrides: {0}")]
    Kept(String),
    /// Not what a pod template is made of.
    #[error("the template is no pod template: {0} must be an object")]
    Shape(&'static str),
}

/// The template of these parts, with `patches` applied in order. What the patches leave without labels or annotations
/// gets none.
///
/// # Errors
/// When a patch cannot be applied, or changes what is not a cluster's own: the restart policy, the name of the only
/// container, variables that are ours.
pub fn template(parts: Parts<'_>, patches: &[Patch]) -> Result<Value, PodError> {
    let mut template = match parts.program {
        Program::Container(container) => json!({"spec": spec(&parts, container)}),
        Program::Template(template) => template.clone(),
    };
    shaped(&template)?;
    mark(&mut template, parts.labels, parts.annotations);
    if patches.is_empty() {
        return Ok(template);
    }
    // So that a JSON Patch can add one label to pods that have none.
    for field in ["labels", "annotations"] {
        if template["metadata"][field].is_null() {
            template["metadata"][field] = json!({});
        }
    }
    let mut patched = template.clone();
    patch::apply(&mut patched, patches)?;
    check(&parts, &template, &patched)?;
    Ok(patched)
}

/// Whether it has the objects that a template is marked in.
fn shaped(template: &Value) -> Result<(), PodError> {
    let object = |pointer: &str| {
        template
            .pointer(pointer)
            .is_none_or(|value| value.is_object() || value.is_null())
    };
    let fields = [
        ("spec", "/spec"),
        ("metadata", "/metadata"),
        ("metadata.labels", "/metadata/labels"),
        ("metadata.annotations", "/metadata/annotations"),
    ];
    match fields.iter().find(|(_, pointer)| !object(pointer)) {
        Some((name, _)) => Err(PodError::Shape(name)),
        None if template.is_object() => Ok(()),
        None => Err(PodError::Shape("it")),
    }
}

/// Puts labels and annotations onto a pod template, over what it has.
pub fn mark(template: &mut Value, labels: &Labels, annotations: &Labels) {
    for (field, entries) in [("labels", labels), ("annotations", annotations)] {
        for (key, value) in entries {
            template["metadata"][field][key] = json!(value);
        }
    }
}

fn check(parts: &Parts<'_>, template: &Value, patched: &Value) -> Result<(), PodError> {
    let kept = |words: String| Err(PodError::Kept(words));
    shaped(patched)?;
    if patched["spec"].get("restartPolicy") != template["spec"].get("restartPolicy") {
        return kept("restartPolicy is the same on every cluster; set it outside of the overrides".into());
    }
    let mut names = containers(patched).filter_map(|container| container["name"].as_str());
    if matches!(parts.program, Program::Container(_)) && !names.any(|name| name == MAIN) {
        return kept(format!("the container {MAIN} must stay, and keep its name"));
    }
    match ours(patched).find(|name| !ours(template).any(|known| known == *name)) {
        Some(name) => kept(format!("{name} is set by Sky Manager; use a name without SKY_")),
        None => Ok(()),
    }
}

fn containers(template: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainers", "containers"].into_iter();
    lists
        .filter_map(|field| template["spec"][field].as_array())
        .flatten()
}

/// Names of variables that are for us to set.
fn ours(template: &Value) -> impl Iterator<Item = &str> {
    let variables = containers(template)
        .filter_map(|container| container["env"].as_array())
        .flatten();
    let names = variables.filter_map(|variable| variable["name"].as_str());
    names.filter(|name| name.starts_with("SKY_"))
}

fn spec(parts: &Parts<'_>, program: &Container) -> Value {
    let mut container = json!({
        "name": MAIN,
        "image": program.image,
        "env": program.env.iter().map(variable).collect::<Vec<_>>(),
        "resources": resources(parts.requests),
    });
    match &program.entry {
        Entry::Script(script) => {
            let script = match parts.kind {
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
    let mut spec = json!({"containers": [container]});
    if !program.pull_secrets.is_empty() {
        let names = program.pull_secrets.iter().map(|name| json!({"name": name}));
        spec["imagePullSecrets"] = names.collect();
    }
    if let Some(account) = &program.service_account {
        spec["serviceAccountName"] = json!(account);
    }
    spec
}

fn variable((name, value): &(String, EnvValue)) -> Value {
    match value {
        EnvValue::Literal(text) => json!({"name": name, "value": text}),
        EnvValue::From(source) => json!({"name": name, "valueFrom": source}),
    }
}

/// Cpu and memory are requests; extended resources must be limits too, which the API server demands to be equal.
fn resources(requests: &Resources) -> Value {
    let mut asked: BTreeMap<&str, String> = BTreeMap::new();
    if requests.cpu > 0 {
        asked.insert("cpu", format!("{}m", requests.cpu));
    }
    if requests.memory > 0 {
        asked.insert("memory", requests.memory.to_string());
    }
    let extended = requests.extended.iter();
    let extended: BTreeMap<&str, String> = extended
        .map(|(name, amount)| (name.as_str(), amount.to_string()))
        .collect();
    asked.extend(extended.clone());
    if extended.is_empty() {
        json!({"requests": asked})
    } else {
        json!({"requests": asked, "limits": extended})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: Kind, patches: &[Patch]) -> Result<Value, PodError> {
        let program = Program::Container(Container {
            image: "i".into(),
            entry: Entry::Script("serve".into()),
            env: vec![("A".into(), EnvValue::Literal("1".into()))],
            ..Container::default()
        });
        let parts = Parts {
            kind,
            program: &program,
            requests: &Resources::new(500, 1024),
            labels: &Labels::from([("app".into(), "x".into())]),
            annotations: &Labels::new(),
        };
        template(parts, patches)
    }

    #[test]
    fn replicas_of_a_job_have_ranks_and_those_of_a_deployment_none() {
        let script = |kind| {
            let template = made(kind, &[]).expect("a template");
            let script = &template["spec"]["containers"][0]["command"][2];
            script.as_str().unwrap_or_default().to_owned()
        };
        assert!(script(Kind::SkyJob).starts_with("export SKY_RANK="));
        assert_eq!(script(Kind::SkyDeployment), "serve");
    }

    #[test]
    fn one_annotation_can_be_added_where_there_are_none() {
        let note = json!({"op": "add", "path": "/metadata/annotations/note", "value": "n"});
        let template = made(Kind::SkyJob, &[Patch::Json(vec![note])]).expect("a template");
        let expect = json!({"labels": {"app": "x"}, "annotations": {"note": "n"}});
        assert_eq!(template["metadata"], expect);
    }

    #[test]
    fn a_template_of_another_shape_is_refused_in_words() {
        let program = Program::Template(json!({"metadata": "x", "spec": {}}));
        let parts = Parts {
            kind: Kind::SkyJob,
            program: &program,
            requests: &Resources::default(),
            labels: &Labels::new(),
            annotations: &Labels::new(),
        };
        let words = template(parts, &[]).map_err(|error| error.to_string());
        assert_eq!(
            words,
            Err("the template is no pod template: metadata must be an object".into())
        );
    }
}
