//! CEL rules of whole specs that a derive cannot place: those of the flattened workload fields, and what of a SkyJob
//! cannot change within a run. Added to the schema by `schema`.
//!
//! Limits: CEL sees neither the content of `template` and its patches nor `resources`; sky-convert and the operator
//! check those. `oldSelf` appears only here and at the spec of SkyCluster, always with fields that may be absent
//! guarded by `has()`: without it an absent field would refuse every later update, status writes too.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1;

/// A CEL rule as a CRD carries it.
pub(crate) type ValidationRule = v1::ValidationRule;

/// Lists that `template` replaces.
const REPLACED_LISTS: [&str; 5] = ["imagePullSecrets", "command", "args", "env", "ports"];
/// Other fields that `template` replaces; `slurm` has no meaning where only Kubernetes members are used.
const REPLACED_FIELDS: [&str; 5] = ["image", "imagePullPolicy", "serviceAccountName", "run", "slurm"];

/// Lists of a SkyJob that keep their value within a run; absent and empty are equal.
const FIXED_LISTS: [&str; 6] = ["imagePullSecrets", "command", "args", "env", "ports", "overrides"];
/// Other fields of a SkyJob that keep their value within a run.
const FIXED_FIELDS: [&str; 15] = [
    "image",
    "imagePullPolicy",
    "serviceAccountName",
    "run",
    "placement",
    "pendingTimeoutSeconds",
    "onClusterLost",
    "followConfig",
    "template",
    "slurm",
    "restartPolicy",
    "backoffLimit",
    "activeDeadlineSeconds",
    "gang",
    "replicas",
];

fn rule(expression: String, field: Option<&str>, message: String) -> ValidationRule {
    ValidationRule {
        rule: expression,
        field_path: field.map(|field| format!(".{field}")),
        message: Some(message),
        ..ValidationRule::default()
    }
}

/// Whether a list is given and not empty.
fn filled(list: &str) -> String {
    format!("has(self.{list}) && size(self.{list}) > 0")
}

/// Rules of the fields that SkyJob and SkyDeployment share.
pub(crate) fn workload() -> Vec<ValidationRule> {
    let mut rules = vec![
        rule(
            format!(
                "!(has(self.run) && (({}) || ({})))",
                filled("command"),
                filled("args")
            ),
            Some("run"),
            "spec.run and spec.command or spec.args exclude each other: keep the script or the command line"
                .to_owned(),
        ),
        rule(
            "!has(self.ports) || self.ports.all(p, !has(p.name) || \
             self.ports.exists_one(o, has(o.name) && o.name == p.name))"
                .to_owned(),
            Some("ports"),
            "two ports have the same name: rename one".to_owned(),
        ),
    ];
    let replaced = |field: &str, given: String| {
        rule(
            format!("!(has(self.template) && {given})"),
            Some(field),
            format!(
                "spec.{field} and spec.template exclude each other: move it into the template, or remove one"
            ),
        )
    };
    rules.extend(REPLACED_FIELDS.map(|field| replaced(field, format!("has(self.{field})"))));
    rules.extend(REPLACED_LISTS.map(|list| replaced(list, filled(list))));
    rules
}

/// What of a SkyJob's spec cannot change unless its runId does.
///
/// `resources` is missing since CEL cannot see it: the operator compares it.
pub(crate) fn immutable() -> Vec<ValidationRule> {
    let fixed = |field: &str, unchanged: String| {
        rule(
            format!("{NEW_RUN} || ({unchanged})"),
            Some(field),
            format!(
                "spec.{field} cannot change within a run: set a new spec.runId with it, or create another SkyJob"
            ),
        )
    };
    let fields = FIXED_FIELDS.map(|field| {
        let unchanged = match field {
            // `4` and `"4"` are the same number.
            "replicas" => "string(self.replicas) == string(oldSelf.replicas)".to_owned(),
            _ => format!(
                "has(self.{field}) ? has(oldSelf.{field}) && self.{field} == oldSelf.{field} : !has(oldSelf.{field})"
            ),
        };
        fixed(field, unchanged)
    });
    let lists = FIXED_LISTS.map(|list| {
        let unchanged = format!(
            "has(self.{list}) && size(self.{list}) > 0 ? has(oldSelf.{list}) && self.{list} == oldSelf.{list} : \
             !has(oldSelf.{list}) || size(oldSelf.{list}) == 0"
        );
        fixed(list, unchanged)
    });
    fields.into_iter().chain(lists).collect()
}

/// Whether an update names another run.
const NEW_RUN: &str = "(has(self.runId) ? self.runId : '') != (has(oldSelf.runId) ? oldSelf.runId : '')";
