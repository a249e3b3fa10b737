//! The five CustomResourceDefinitions, made from the types: what the derive cannot say is added here.
//!
//! Guarantees: fields are never nullable, so an API server drops a `null` as if the field were absent and a CEL
//! `has()` means "given"; every list says how it merges; `status` is there from the first read on, with
//! `observedGeneration: -1`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::json;

use crate::rules;

/// All CRDs, by kind name, as they are written to `manifests/`.
///
/// Install these, not `Kind::crd()`: only these carry every rule.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        finish(crate::FilterPolicy::crd(), Vec::new()),
        finish(crate::SkyCluster::crd(), Vec::new()),
        finish(crate::SkyDeployment::crd(), rules::workload()),
        finish(
            crate::SkyJob::crd(),
            [rules::workload(), rules::immutable()].concat(),
        ),
        finish(crate::SkyNamespace::crd(), Vec::new()),
    ]
}

/// Adds rules to the spec and makes the schema as the module's head promises.
fn finish(
    mut crd: CustomResourceDefinition,
    spec_rules: Vec<rules::ValidationRule>,
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
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
        if let Some(spec) = properties.get_mut("spec") {
            spec.x_kubernetes_validations
                .get_or_insert_default()
                .extend(spec_rules.iter().cloned());
            if spec.x_kubernetes_validations.as_ref().is_some_and(Vec::is_empty) {
                spec.x_kubernetes_validations = None;
            }
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
