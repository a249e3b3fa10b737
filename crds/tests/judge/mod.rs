//! What an API server would say of a document, without one: it drops unknown fields and nulls, fills in defaults, checks
//! the schema and the uniqueness of list keys, then the CEL rules. The same documents run against a real one in e2e.

mod prune;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// Judges objects of one kind.
pub struct Judge {
    schema: Value,
    cel_schema: Value,
    validator: jsonschema::Validator,
}

impl Judge {
    /// Reads the schema of a CRD's only version.
    pub fn new(crd: &CustomResourceDefinition) -> Self {
        let schema = serde_json::to_value(
            crd.spec.versions[0]
                .schema
                .as_ref()
                .and_then(|schema| schema.open_api_v3_schema.as_ref())
                .unwrap(),
        )
        .unwrap();
        let mut standard = schema.clone();
        int_or_string(&mut standard);
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&standard)
            .unwrap();
        let mut cel_schema = schema.clone();
        underscores(&mut cel_schema);
        Self {
            schema,
            cel_schema,
            validator,
        }
    }

    /// The object as it would be stored.
    pub fn stored(&self, object: &Value) -> Value {
        let mut object = object.clone();
        prune::prune(&self.schema, &mut object, true);
        kube_cel::apply_defaults(&self.schema, &object)
    }

    /// What is wrong with the object, as `path: message`; empty when it is accepted.
    pub fn complaints(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let object = self.stored(object);
        let old = old.map(|old| self.stored(old));
        let mut complaints: Vec<String> = self
            .validator
            .iter_errors(&object)
            .map(|error| {
                let mut path = dotted(error.instance_path().as_str());
                if let jsonschema::error::ValidationErrorKind::Required { property } = error.kind() {
                    path = format!("{path}.{}", property.as_str().unwrap());
                }
                format!("{path}: {error}")
            })
            .collect();
        duplicates(&self.schema, &object, "", &mut complaints);
        if complaints.is_empty()
            && let Err(errors) = kube_cel::Validator::new().validate(&self.cel_schema, &object, old.as_ref())
        {
            complaints.extend(errors.iter().map(ToString::to_string));
        }
        complaints
    }

    /// The messages of all CEL rules.
    pub fn rule_messages(&self) -> Vec<String> {
        let mut messages = Vec::new();
        visit(&self.schema, "", &mut |_, schema| {
            for rule in schema
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                messages.push(rule["message"].as_str().unwrap().to_owned());
            }
        });
        messages
    }

    /// The schema.
    pub fn schema(&self) -> &Value {
        &self.schema
    }
}

/// Calls `see` with every schema below this one and its path.
pub fn visit(schema: &Value, path: &str, see: &mut impl FnMut(&str, &Value)) {
    see(path, schema);
    for (name, property) in schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        visit(property, &format!("{path}.{name}"), see);
    }
    for (key, step) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
            visit(inner, &format!("{path}{step}"), see);
        }
    }
}

/// `/spec/env/0/name` as an API server writes it: `spec.env[0].name`.
fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if step.parse::<usize>().is_ok() {
            path.push_str(&format!("[{step}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&step);
        }
    }
    path
}

/// Says in standard words that a value is a whole number or a text.
fn int_or_string(schema: &mut Value) {
    if let Some(fields) = schema.as_object_mut() {
        if fields.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
            fields.insert("type".to_owned(), json!(["integer", "string"]));
        }
        fields.values_mut().for_each(int_or_string);
    }
}

/// kube-cel 0.8 doubles each underscore of a field's name; API servers only double pairs of them.
fn underscores(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(rule)) = fields.get_mut("rule") {
                *rule = rule.replace("match_", "match__");
            }
            fields.values_mut().for_each(underscores);
        }
        Value::Array(items) => items.iter_mut().for_each(underscores),
        _ => {}
    }
}

/// Items of sets that are equal, items of list-maps with equal keys.
fn duplicates(schema: &Value, value: &Value, path: &str, complaints: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            let keys = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            let identity = |item: &Value| match keys {
                Some(keys) => keys
                    .iter()
                    .map(|key| item[key.as_str().unwrap()].clone())
                    .collect(),
                None => vec![item.clone()],
            };
            let unique = matches!(schema["x-kubernetes-list-type"].as_str(), Some("set" | "map"));
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if unique
                    && items[..index]
                        .iter()
                        .any(|earlier| identity(earlier) == identity(item))
                {
                    complaints.push(format!("{path}: duplicate"));
                }
                duplicates(&schema["items"], item, &path, complaints);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                duplicates(inner, field, &path, complaints);
            }
        }
        _ => {}
    }
}
