//! Patches of a pod template, as `spec.overrides` gives them: JSON Patch, and strategic merge on plain JSON.
//!
//! Made by sky-convert; applied in the order of the spec, a later one to what the earlier ones left, so that of two
//! that set one path the later wins. Not typed, so that fields of a newer API pass and `null` removes a field.

use json_patch::PatchOperation;
use json_patch::jsonptr::Pointer;
use serde::Deserialize as _;
use serde_json::{Map, Value};
use thiserror::Error;

/// What all copies and moves of one template may carry together, in bytes: each copy can double what is there.
const MOST_CARRIED: usize = 1 << 20;
/// How deep a copied or moved value may come to lie: deeper ones are not read back by anybody.
const DEEPEST: usize = 100;

/// A patch of a pod template.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// JSON Patch operations (RFC 6902), in order.
    Json(Vec<Value>),
    /// A strategic merge patch.
    Strategic(Value),
}

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatchError {
    /// No operation of JSON Patch.
    #[error("jsonPatch[{index}]: {error}")]
    Malformed {
        /// Which operation.
        index: usize,
        /// What is wrong with it.
        error: String,
    },
    /// An operation that cannot be carried out on this template.
    #[error("jsonPatch[{index}]: {op} {path}: {error}")]
    Operation {
        /// Which operation.
        index: usize,
        /// Its `op`.
        op: &'static str,
        /// Its `path`.
        path: String,
        /// Why.
        error: String,
    },
    /// A path outside of a template's two fields.
    #[error("{0}: a pod template has the fields metadata and spec alone")]
    Outside(String),
    /// A directive of strategic merge.
    #[error(
        "strategicMerge: the directive {0} is not supported; null removes a field, jsonPatch removes items of lists"
    )]
    Directive(String),
    /// An item of a list that is merged by key has no such key.
    #[error("strategicMerge: {path}: every item must be an object with {key}")]
    NoKey {
        /// Path of the list.
        path: String,
        /// The key.
        key: &'static str,
    },
}

/// What can be said of `patch` without a template.
///
/// # Errors
/// When it can be applied to no template.
pub fn check(patch: &Patch) -> Result<(), PatchError> {
    match patch {
        Patch::Json(operations) => operations.iter().enumerate().try_for_each(|(index, operation)| {
            let operation = read(index, operation)?;
            let from = match &operation {
                PatchOperation::Move(operation) => Some(&*operation.from),
                PatchOperation::Copy(operation) => Some(&*operation.from),
                _ => None,
            };
            let outside = |path: &Pointer| {
                let first = path.tokens().next().map(|token| token.decoded().into_owned());
                !matches!(first.as_deref(), Some("metadata" | "spec"))
            };
            match from
                .into_iter()
                .chain([operation.path()])
                .find(|path| outside(path))
            {
                Some(path) => Err(PatchError::Outside(format!("jsonPatch[{index}]: {path}"))),
                None => Ok(()),
            }
        }),
        Patch::Strategic(patch) => {
            if let Some(directive) = directive(patch) {
                return Err(PatchError::Directive(directive.to_owned()));
            }
            let mut fields = patch.as_object().into_iter().flat_map(Map::keys);
            match fields.find(|field| !matches!(field.as_str(), "metadata" | "spec")) {
                Some(field) => Err(PatchError::Outside(format!("strategicMerge: {field}"))),
                None => Ok(()),
            }
        }
    }
}

/// Applies `patches` to `template` in order.
///
/// # Errors
/// For the first that cannot be applied; the template is left half patched.
pub fn apply(template: &mut Value, patches: &[Patch]) -> Result<(), PatchError> {
    let mut carried = MOST_CARRIED;
    for patch in patches {
        match patch {
            Patch::Json(operations) => {
                for (index, operation) in operations.iter().enumerate() {
                    operate(template, index, &read(index, operation)?, &mut carried)?;
                }
            }
            Patch::Strategic(patch) => merge(template, patch, "", "")?,
        }
    }
    Ok(())
}

fn read(index: usize, operation: &Value) -> Result<PatchOperation, PatchError> {
    PatchOperation::deserialize(operation).map_err(|error| PatchError::Malformed {
        index,
        error: error.to_string(),
    })
}

fn operate(
    template: &mut Value,
    index: usize,
    operation: &PatchOperation,
    carried: &mut usize,
) -> Result<(), PatchError> {
    let (op, from) = match operation {
        PatchOperation::Add(_) => ("add", None),
        PatchOperation::Remove(_) => ("remove", None),
        PatchOperation::Replace(_) => ("replace", None),
        PatchOperation::Move(operation) => ("move", Some(&operation.from)),
        PatchOperation::Copy(operation) => ("copy", Some(&operation.from)),
        PatchOperation::Test(_) => ("test", None),
    };
    let path = operation.path();
    let failed = |error: String| PatchError::Operation {
        index,
        op,
        path: path.to_string(),
        error,
    };
    if let Some(value) = from.and_then(|from| from.resolve(template).ok()) {
        let depth = DEEPEST.saturating_sub(path.tokens().count());
        if !is_portable(value, depth, carried) {
            return Err(failed("too much is copied or moved".into()));
        }
    }
    json_patch::patch_unsafe(template, std::slice::from_ref(operation))
        .map_err(|error| failed(error.kind.to_string()))
}

/// Whether `value` is at most this deep and of the bytes that are left, which become fewer.
fn is_portable(value: &Value, depth: usize, left: &mut usize) -> bool {
    let own = 8 + value.as_str().map_or(0, str::len);
    if depth == 0 || *left < own {
        return false;
    }
    *left -= own;
    match value {
        Value::Array(items) => items.iter().all(|item| is_portable(item, depth - 1, left)),
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            *left = left.saturating_sub(name.len());
            is_portable(value, depth - 1, left)
        }),
        _ => true,
    }
}

/// A directive somewhere in a strategic merge patch: its field begins with a dollar.
fn directive(patch: &Value) -> Option<&str> {
    match patch {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.starts_with('$') {
                return Some(name.as_str());
            }
            directive(value)
        }),
        Value::Array(items) => items.iter().find_map(directive),
        _ => None,
    }
}

/// By which key the items of a list of a pod template are merged, as the API says (`x-kubernetes-patch-merge-key`);
/// `None`: the list is replaced as a whole. No two lists of a template have one name and different keys.
fn merge_key(list: &str) -> Option<&'static str> {
    match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "imagePullSecrets"
        | "env"
        | "resourceClaims"
        | "schedulingGates" => Some("name"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "hostAliases" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "ownerReferences" => Some("uid"),
        _ => None,
    }
}

/// Merges `patch` into `base`, the value of `field`, which is at `path`.
fn merge(base: &mut Value, patch: &Value, field: &str, path: &str) -> Result<(), PatchError> {
    match (patch, merge_key(field)) {
        (Value::Object(fields), _) => {
            if !base.is_object() {
                *base = Value::Object(Map::new());
            }
            let Some(base) = base.as_object_mut() else {
                return Ok(());
            };
            for (name, value) in fields {
                if name.starts_with('$') {
                    return Err(PatchError::Directive(name.clone()));
                }
                if value.is_null() {
                    base.remove(name);
                } else {
                    let below = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    merge(
                        base.entry(name.as_str()).or_insert(Value::Null),
                        value,
                        name,
                        &below,
                    )?;
                }
            }
        }
        (Value::Array(items), Some(key)) => {
            if !base.is_array() {
                *base = Value::Array(Vec::new());
            }
            let Some(base) = base.as_array_mut() else {
                return Ok(());
            };
            for item in items {
                let Some(id) = item.get(key) else {
                    let path = path.to_owned();
                    return Err(PatchError::NoKey { path, key });
                };
                match base.iter_mut().find(|known| known.get(key) == Some(id)) {
                    Some(known) => merge(known, item, "", path)?,
                    None => {
                        let mut new = Value::Null;
                        merge(&mut new, item, "", path)?;
                        base.push(new);
                    }
                }
            }
        }
        _ => *base = patch.clone(),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
