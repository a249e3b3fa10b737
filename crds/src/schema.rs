//! The five CustomResourceDefinitions, made from the types: what the derive cannot say is added here.
//!
//! Guarantees: fields are never nullable, so an API server drops a `null` as if the field were absent and a CEL
//! `has()` means "given"; every list says how it merges; `status` is there from the first read on, with
//! `observedGeneration: -1`.
//!
//! Left to the reader of a spec, since no schema can say it:
//! - `resources`: its names, two names of one resource (`cpu` and `cpus`), its presence beside `template`, and a change
//!   within a SkyJob's run (CEL cannot see type-less values).
//! - The syntax of keys in label maps, and of what is inside `template`, `valueFrom` and patches; `value` of a JSON Patch
//!   operation that needs one.
//! - Whether `runId` was used before, which the status knows; whether named clusters and Secrets exist.
//! - `minClusters` above `replicas`, which scaling may bring about at any time.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::{columns, rules};

/// All CRDs, by kind name, as they are written to `manifests/`.
///
/// Install these, not `Kind::crd()`: only these carry every rule and column.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        finish(crate::FilterPolicy::crd(), columns::policy(), &[]),
        finish(crate::SkyCluster::crd(), columns::cluster(), &[]),
        finish(
            crate::SkyDeployment::crd(),
            columns::deployment(),
            &rules::workload(),
        ),
        finish(
            crate::SkyJob::crd(),
            columns::job(),
            &[rules::workload(), rules::immutable()].concat(),
        ),
        finish(crate::SkyNamespace::crd(), columns::namespace(), &[]),
    ]
}

/// Adds columns, adds rules to the spec, and makes the schema as the module's head promises.
fn finish(
    mut crd: CustomResourceDefinition,
    columns: Vec<columns::Column>,
    spec_rules: &[rules::ValidationRule],
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(columns.clone());
        let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        else {
            continue;
        };
        tidy(root);
        let Some(properties) = root.properties.as_mut() else {
            continue;
        };
        if let Some(status) = properties.get_mut("status") {
            status.default = Some(JSON(json!({"observedGeneration": -1})));
        }
        if let Some(spec) = properties.get_mut("spec").filter(|_| !spec_rules.is_empty()) {
            spec.x_kubernetes_validations
                .get_or_insert_default()
                .extend_from_slice(spec_rules);
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if schema.type_.as_deref() == Some("array") {
        schema
            .x_kubernetes_list_type
            .get_or_insert_with(|| "atomic".to_owned());
    }
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}
