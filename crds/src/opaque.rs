//! Schemas of what is handed to members as it is: pod templates, their patches, sources of environment variables.
//!
//! Each keeps unknown fields. What a CEL rule compares is declared as far as its comparison needs: on objects
//! without declared fields an API server's `==` takes two different keys for equal.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A pod template. Its `spec` must be there; all else is the member's to judge.
pub(crate) fn template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["spec"],
        "maxProperties": 2,
    })
}

/// A strategic merge patch of a pod template.
pub(crate) fn strategic_merge(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "minProperties": 1,
        "maxProperties": 8,
    })
}

/// JSON Patch operations (RFC 6902). `value` is not declared, so that it may be anything and still be compared;
/// whether it is there where it must be, the operator checks.
pub(crate) fn json_patch(_: &mut SchemaGenerator) -> Schema {
    let pointer =
        json!({"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^(/([^~/]|~[01])*)+$"});
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
            "required": ["op", "path"],
            "properties": {
                "op": {"type": "string", "enum": ["add", "remove", "replace", "move", "copy", "test"]},
                "path": pointer,
                "from": pointer,
            },
            "x-kubernetes-validations": [{
                "rule": "has(self.from) == (self.op in ['move', 'copy'])",
                "message": "from goes with op move and copy, and only with them: add or remove it",
            }],
        },
    })
}

/// A Pod's `valueFrom`: one source.
pub(crate) fn value_from(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {
            "configMapKeyRef": source(&["key", "name"], true),
            "secretKeyRef": source(&["key", "name"], true),
            "fieldRef": source(&["apiVersion", "fieldPath"], false),
            "resourceFieldRef": source(&["containerName", "resource"], false),
            "fileKeyRef": source(&["key", "path", "volumeName"], true),
        },
    })
}

fn source(fields: &[&str], optional: bool) -> Value {
    let text = || json!({"type": "string", "maxLength": 1024});
    let mut properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| ((*field).to_owned(), text())).collect();
    if optional {
        properties.insert("optional".to_owned(), json!({"type": "boolean"}));
    }
    json!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "maxProperties": 8,
        "properties": properties,
    })
}
