//! What the pods of a user's template need of a node. Only what scheduling reads is parsed; the rest stays opaque.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, NodeSelectorTerm, PodSpec, ResourceRequirements, Toleration as ApiToleration,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::Value;
use sky_core::cluster::{Effect, Toleration};
use sky_core::labels::{Expression, Operator, Selector};
use sky_core::quantity::{self, QuantityError};
use sky_core::resources::{self, CPU, ContainerRequest, MEMORY, Resources};
use sky_core::workload::Needs;
use thiserror::Error;

/// Why a template is refused.
#[derive(Debug, Error)]
pub enum TemplateError {
    /// No pod spec, or not one of the API.
    #[error("spec.template.spec: must be a pod spec: {0}")]
    Shape(String),
    /// No containers.
    #[error("spec.template.spec.containers: must have at least one container")]
    NoContainers,
    /// Not a quantity.
    #[error("spec.template: failed to {0}")]
    Quantity(#[from] QuantityError),
}

/// What one pod of `template` needs of its node.
///
/// # Errors
/// When it is no pod template or asks for what is no quantity.
pub fn needs(template: &Value) -> Result<Needs, TemplateError> {
    let spec = template.get("spec").cloned().unwrap_or(Value::Null);
    let spec: PodSpec =
        serde_json::from_value(spec).map_err(|error| TemplateError::Shape(error.to_string()))?;
    if spec.containers.is_empty() {
        return Err(TemplateError::NoContainers);
    }
    let init = containers(spec.init_containers.as_deref().unwrap_or_default())?;
    let overhead = amounts(&spec.overhead.clone().unwrap_or_default())?;
    let required = spec.affinity.and_then(|affinity| {
        affinity
            .node_affinity?
            .required_during_scheduling_ignored_during_execution
    });
    Ok(Needs {
        whole_node: false,
        accelerator: None,
        resources: resources::of_pod(&containers(&spec.containers)?, &init, &overhead),
        node_labels: spec.node_selector.unwrap_or_default(),
        node_terms: required
            .map(|required| required.node_selector_terms.iter().map(term).collect())
            .unwrap_or_default(),
        tolerations: spec
            .tolerations
            .unwrap_or_default()
            .iter()
            .map(toleration)
            .collect(),
    })
}

fn containers(containers: &[Container]) -> Result<Vec<ContainerRequest>, QuantityError> {
    let each = containers.iter().map(|container| {
        Ok(ContainerRequest {
            resources: asked(container.resources.as_ref())?,
            sidecar: container.restart_policy.as_deref() == Some("Always"),
        })
    });
    each.collect()
}

/// A limit without a request is a request too, as the API server defaults it.
fn asked(resources: Option<&ResourceRequirements>) -> Result<Resources, QuantityError> {
    let Some(resources) = resources else {
        return Ok(Resources::default());
    };
    let mut asked = resources.limits.clone().unwrap_or_default();
    asked.extend(resources.requests.clone().unwrap_or_default());
    amounts(&asked)
}

fn amounts(quantities: &BTreeMap<String, Quantity>) -> Result<Resources, QuantityError> {
    let mut amounts = Resources::default();
    for (name, Quantity(text)) in quantities {
        match name.as_str() {
            CPU => amounts.cpu = quantity::milli(text)?,
            MEMORY => amounts.memory = quantity::units(text)?,
            _ => {
                amounts.extended.insert(name.clone(), quantity::units(text)?);
            }
        }
    }
    Ok(amounts)
}

/// The expressions of a term; its fields (which name single nodes) are left to the member's own scheduler.
fn term(term: &NodeSelectorTerm) -> Selector {
    let expressions = term.match_expressions.iter().flatten().filter_map(|expression| {
        let values = expression.values.clone().unwrap_or_default();
        let bound = || values.first().and_then(|value| value.parse().ok());
        let operator = match expression.operator.as_str() {
            "In" => Operator::In(values),
            "NotIn" => Operator::NotIn(values),
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt(bound()?),
            "Lt" => Operator::Lt(bound()?),
            _ => return None,
        };
        Some(Expression {
            key: expression.key.clone(),
            operator,
        })
    });
    Selector {
        labels: BTreeMap::new(),
        expressions: expressions.collect(),
    }
}

fn toleration(api: &ApiToleration) -> Toleration {
    let exists = api.operator.as_deref() == Some("Exists");
    let effect = match api.effect.as_deref() {
        Some("NoSchedule") => Some(Effect::NoSchedule),
        Some("NoExecute") => Some(Effect::NoExecute),
        _ => None,
    };
    let key = api.key.clone().filter(|key| !key.is_empty());
    let value = if exists {
        None
    } else {
        Some(api.value.clone().unwrap_or_default())
    };
    Toleration { key, value, effect }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_limit_without_a_request_counts() {
        let container = json!({"name": "c", "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}}});
        let needs = needs(&json!({"spec": {"containers": [container]}})).expect("a template");
        assert_eq!(
            (needs.resources.cpu, needs.resources.extended["nvidia.com/gpu"]),
            (2000, 1)
        );
    }

    #[test]
    fn a_template_without_containers_is_refused() {
        let error = needs(&json!({"spec": {"containers": []}})).expect_err("no containers");
        assert_eq!(
            error.to_string(),
            "spec.template.spec.containers: must have at least one container"
        );
        assert!(needs(&json!({"spec": {"containers": "x"}})).is_err());
        assert!(needs(&json!({})).is_err());
    }

    #[test]
    fn node_demands_are_read() {
        let affinity = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}});
        let spec = json!({
            "containers": [{"name": "c"}], "nodeSelector": {"disk": "ssd"}, "affinity": affinity,
            "tolerations": [{"operator": "Exists"}],
        });
        let needs = needs(&json!({"spec": spec})).expect("a template");
        assert_eq!(needs.node_labels["disk"], "ssd");
        assert_eq!(needs.node_terms.len(), 1);
        assert_eq!(
            needs.tolerations,
            [Toleration {
                key: None,
                value: None,
                effect: None
            }]
        );
    }
}
