//! Drops what an API server drops before it judges: unknown fields, and nulls of fields that cannot be null.

use serde_json::{Value, json};

/// Drops them in place. `root`: the object's own apiVersion, kind and metadata are always known.
pub fn prune(schema: &Value, value: &mut Value, root: bool) {
    match value {
        Value::Array(items) => {
            for item in items {
                prune(&schema["items"], item, false);
            }
        }
        Value::Object(fields) => {
            let keeps = schema["x-kubernetes-preserve-unknown-fields"] == json!(true);
            fields.retain(|name, field| {
                if root && ["apiVersion", "kind", "metadata"].contains(&name.as_str()) {
                    return true;
                }
                match schema["properties"]
                    .get(name)
                    .or_else(|| schema.get("additionalProperties"))
                {
                    Some(inner) => {
                        prune(inner, field, false);
                        !field.is_null()
                    }
                    // A schema without a type says nothing of what is below.
                    None => keeps || schema.get("type").is_none(),
                }
            });
        }
        _ => {}
    }
}
