//! Where results and remarks go: results to stdout, remarks to stderr; objects as YAML, JSON or names.

use std::io::{self, Write as _};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

/// Formats of `-o` where a table makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// YAML, one document for each object
    Yaml,
    /// JSON; several objects as a List
    Json,
    /// Kind and name
    Name,
}

/// Writes a result. A closed pipe is an error that ends the command quietly.
///
/// # Errors
/// When stdout cannot be written.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Writes a result's line.
///
/// # Errors
/// When stdout cannot be written.
pub fn line(text: &str) -> io::Result<()> {
    print(&format!("{text}\n"))
}

/// Writes a remark; when nobody listens, nothing is lost.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The object without what the API server keeps for itself.
#[must_use]
pub fn plain(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// YAML documents, separated by `---`.
///
/// # Errors
/// When a value cannot be written as YAML.
pub fn yaml(objects: &[Value]) -> anyhow::Result<String> {
    let documents: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    Ok(documents?.join("---\n"))
}

/// One object, or several as a List.
///
/// # Errors
/// When a value cannot be written as JSON.
pub fn json(objects: &[Value]) -> anyhow::Result<String> {
    let text = match objects {
        [object] => serde_json::to_string_pretty(object)?,
        several => serde_json::to_string_pretty(&list(several))?,
    };
    Ok(text + "\n")
}

/// A result that is no object, as JSON, its fields in their own order.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json_of(result: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(result)? + "\n")
}

/// A result that is no object, as YAML, its fields in their own order.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn yaml_of(result: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_saphyr::to_string(result)?)
}

/// A List as kubectl makes it of several objects.
#[must_use]
pub fn list(objects: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": objects})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_numbers_stay_texts_for_every_yaml_reader() {
        let text = yaml(&[json!({"memory": "128", "answer": "yes", "on": "off", "run": "a: b\nc"})]).unwrap();
        let read: Value = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(read["memory"], "128");
        assert!(text.contains("\"yes\"") || text.contains("'yes'"), "{text}");
        assert_eq!(read["run"], "a: b\nc");
    }

    #[test]
    fn one_object_is_itself_and_two_are_a_list() {
        let one: Value = serde_json::from_str(&json(&[json!({"a": 1})]).unwrap()).unwrap();
        assert_eq!(one, json!({"a": 1}));
        let two: Value = serde_json::from_str(&json(&[json!(1), json!(2)]).unwrap()).unwrap();
        assert_eq!(two["items"], json!([1, 2]));
    }
}
