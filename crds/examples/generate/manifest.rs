//! One CRD as the text of its file. Written by the generator, compared by the drift test.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

const HEADER: &str =
    "# Generated from the types of crds/src by `cargo run -p sky-crds --example generate`. Do not edit.\n";

/// Where the files are: for plain kubectl, and in the chart, which reaches no file outside itself.
pub const FOLDERS: [&str; 2] = ["manifests", "../charts/sky/files/crds"];

/// File name within these folders.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}.yaml", crd.spec.names.plural)
}

/// The file's text: the same for the same types, on any machine.
pub fn text(crd: &CustomResourceDefinition) -> Result<String, Box<dyn std::error::Error>> {
    let mut value = serde_json::to_value(crd)?;
    whole_numbers(&mut value);
    Ok(format!("{HEADER}{}", serde_saphyr::to_string(&value)?))
}

/// Limits are floating-point in the CRD's own types; `64` reads better than `64.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Number(number) => {
            let text = number.to_string();
            if let Some(whole) = text
                .strip_suffix(".0")
                .and_then(|whole| whole.parse::<i64>().ok())
            {
                *value = Value::from(whole);
            }
        }
        _ => {}
    }
}
