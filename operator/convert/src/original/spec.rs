//! The original `spec` of each kind, brought to ours in place.

use serde_json::{Map, Value, json};

use super::{OriginalError, fields, placement};

/// Job and Deployment: placement, and `env` and `ports` in the short forms of the original.
pub(super) fn workload(spec: &mut Map<String, Value>) -> Result<(), OriginalError> {
    if let Some(stanza) = spec.get_mut("placement") {
        placement::convert(stanza, "spec.placement")?;
    }
    if let Some(Value::Object(resources)) = spec.get_mut("resources") {
        resources.retain(|_, amount| !amount.is_null());
        if let Some((name, amount)) = resources
            .iter()
            .find(|(_, amount)| !amount.is_number() && !amount.is_string())
        {
            return Err(OriginalError::field(
                &format!("spec.resources.{name}"),
                format!("it is {}, not an amount", fields::type_name(amount)),
            ));
        }
    }
    if let Some(env) = spec.get_mut("env") {
        env_list(env)?;
    }
    if let Some(Value::Array(ports)) = spec.get_mut("ports") {
        for port in ports {
            if port.is_number() || port.is_string() {
                fields::unquote(port, "spec.ports")?;
                *port = json!({"containerPort": port.take()});
            }
        }
    }
    Ok(())
}

/// A map of variables becomes a list, in the order of their names.
fn env_list(env: &mut Value) -> Result<(), OriginalError> {
    if !env.is_object() {
        return Ok(());
    }
    fields::text_values(env, "spec.env")?;
    if let Value::Object(map) = env.take() {
        *env = map
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
    }
    Ok(())
}

/// FilterPolicy: names by `clusterFilter`, workloads by `labelsSelector`.
pub(super) fn filter_policy(spec: &mut Map<String, Value>) -> Result<(), OriginalError> {
    if let Some(labels) = spec.get_mut("labelsSelector") {
        fields::text_values(labels, "spec.labelsSelector")?;
    }
    if let Some(Value::Object(filter)) = spec.get_mut("clusterFilter") {
        filter.retain(|_, names| !names.is_null());
    }
    Ok(())
}

/// Namespace: the clusters it is on, by name or label.
pub(super) fn namespace(spec: &mut Map<String, Value>) -> Result<(), OriginalError> {
    if let Some(Value::Object(selector)) = spec.get_mut("clusterSelector") {
        placement::selector(selector, "spec.clusterSelector")?;
    }
    Ok(())
}

/// Cluster: only its manager; the Secret is the one that `kubectl sky join NAME` makes.
pub(super) fn cluster(spec: &mut Map<String, Value>, name: &str) -> Result<(), OriginalError> {
    let manager = spec.get("manager").and_then(Value::as_str).unwrap_or_default();
    match manager.to_ascii_lowercase().as_str() {
        "k8" | "k8s" | "kubernetes" => {
            spec.insert("manager".to_owned(), json!("kubernetes"));
            spec.entry("kubernetes")
                .or_insert_with(|| json!({"kubeconfigSecretRef": {"name": format!("member-{name}")}}));
            Ok(())
        }
        "" => Err(OriginalError::field(
            "spec.manager",
            "a manager is needed: k8, k8s or kubernetes",
        )),
        other => Err(OriginalError::field(
            "spec.manager",
            format!("{other} cannot be converted; for Slurm write a SkyCluster with its slurm section"),
        )),
    }
}
