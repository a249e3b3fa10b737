//! `spec.resources` as integers: aliases, units, and what is refused.

use std::collections::BTreeMap;

use serde_json::Value;
use sky_core::accelerator;
use sky_core::quantity::{self, QuantityError};
use sky_core::resources::Resources;
use sky_core::workload::AcceleratorNeed;
use sky_crds::scalar::Amount;
use thiserror::Error;

/// Why `spec.resources` is refused. The words name the field and the fix.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResourceError {
    /// Not a quantity.
    #[error("spec.resources.{name}: failed to {source}")]
    Quantity {
        /// Key.
        name: String,
        /// Why.
        source: QuantityError,
    },
    /// Neither a number nor a text.
    #[error("spec.resources.{0}: must be a number such as 1 or a text such as \"500m\"")]
    Type(String),
    /// Two spellings of one resource.
    #[error("spec.resources: {0} and {1} are the same resource; give one of them")]
    Twice(String, String),
    /// Accelerators asked for in two ways: a node has one model, so that no node would do.
    #[error("spec.resources: {0} and {1} both ask for accelerators; give one of them")]
    TwoAccelerators(String, String),
    /// A model that no node can have.
    #[error(
        "spec.resources.{0}: is neither cpu, memory, gpu nor a model of accelerators, such as A100; \
         write an extended resource with its domain, such as example.com/fpga"
    )]
    NoModel(String),
}

/// What one replica asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// By the names that nodes use.
    pub resources: Resources,
    /// Accelerators by model, or of any model.
    pub accelerator: Option<AcceleratorNeed>,
}

/// Millicores that a SkyJob replica asks for when it says nothing.
pub const JOB_CPU: i64 = 1000;
/// Millicores that a SkyDeployment replica asks for when it says nothing.
pub const DEPLOYMENT_CPU: i64 = 500;
/// Bytes of memory that a replica asks for when it says nothing.
pub const MEMORY: i64 = 128 << 20;

/// What one replica asks for, `cpu_default` millicores if it does not say. Memory without a unit is MiB; cpu without one
/// is cores.
///
/// # Errors
/// For the first key that is refused, by name.
pub fn parse(asked: &BTreeMap<String, Amount>, cpu_default: i64) -> Result<Asked, ResourceError> {
    let mut resources = Resources::default();
    let (mut cpu, mut memory) = (None, None);
    let mut accelerator: Option<(String, AcceleratorNeed)> = None;
    for (name, amount) in asked {
        let text = text(name, amount)?;
        let quantity = |parsed: Result<i64, QuantityError>| {
            parsed.map_err(|source| ResourceError::Quantity {
                name: name.clone(),
                source,
            })
        };
        match name.to_ascii_lowercase().as_str() {
            "cpu" | "cpus" => set(&mut cpu, name, quantity(quantity::milli(&text))?)?,
            "memory" => {
                let amount = if quantity::is_bare(&text) {
                    format!("{text}Mi")
                } else {
                    text
                };
                set(&mut memory, name, quantity(quantity::units(&amount))?)?;
            }
            "ephemeral-storage" => {
                let amount = quantity(quantity::units(&text))?;
                resources.extended.insert("ephemeral-storage".into(), amount);
            }
            _ if name.contains('/') || name.starts_with("hugepages-") => {
                let amount = quantity(quantity::units(&text))?;
                resources.extended.insert(name.clone(), amount);
            }
            alias => {
                let model = model(name, alias)?;
                let count = quantity(quantity::units(&text))?;
                if let Some((other, _)) = &accelerator {
                    return Err(ResourceError::TwoAccelerators(other.clone(), name.clone()));
                }
                accelerator = Some((name.clone(), AcceleratorNeed { model, count }));
            }
        }
    }
    resources.cpu = cpu.map_or(cpu_default, |(_, amount)| amount);
    resources.memory = memory.map_or(MEMORY, |(_, amount)| amount);
    resources.extended.retain(|_, amount| *amount > 0);
    let accelerator = accelerator.filter(|(_, need)| need.count > 0);
    let named = resources
        .extended
        .keys()
        .find(|name| accelerator::is_accelerator(name));
    if let (Some((alias, _)), Some(named)) = (&accelerator, named) {
        return Err(ResourceError::TwoAccelerators(named.clone(), alias.clone()));
    }
    Ok(Asked {
        resources,
        accelerator: accelerator.map(|(_, need)| need),
    })
}

/// The model that the key `name` (`alias` in lower case) asks for; `None`: any.
fn model(name: &str, alias: &str) -> Result<Option<String>, ResourceError> {
    match alias {
        "gpu" | "gpus" => Ok(None),
        // What else Kubernetes counts by such a name, or users confuse with it, is no model.
        "pods" | "storage" | "mem" | "ram" | "core" | "cores" | "disk" | "replicas" => {
            Err(ResourceError::NoModel(name.to_owned()))
        }
        _ if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) =>
        {
            Err(ResourceError::NoModel(name.to_owned()))
        }
        _ => Ok(Some(name.to_owned())),
    }
}

fn set(slot: &mut Option<(String, i64)>, name: &str, amount: i64) -> Result<(), ResourceError> {
    match slot {
        Some((other, _)) => Err(ResourceError::Twice(other.clone(), name.to_owned())),
        None => {
            *slot = Some((name.to_owned(), amount));
            Ok(())
        }
    }
}

fn text(name: &str, amount: &Amount) -> Result<String, ResourceError> {
    match &amount.0 {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(ResourceError::Type(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(asked: Value, expect: Result<(i64, i64), &str>) {
        let asked: BTreeMap<String, Amount> = serde_json::from_value(asked).expect("a map");
        let answer = parse(&asked, JOB_CPU)
            .map(|asked| (asked.resources.cpu, asked.resources.memory >> 20))
            .map_err(|error| error.to_string());
        match (answer, expect) {
            (Ok(answer), Ok(expect)) => assert_eq!(answer, expect, "{asked:?}"),
            (Err(error), Err(words)) => assert!(error.contains(words), "{error}"),
            (answer, expect) => panic!("{asked:?}: {answer:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn aliases_and_units() {
        check(json!({}), Ok((1000, 128)));
        check(json!({"cpus": "1", "memory": "128"}), Ok((1000, 128)));
        check(json!({"cpu": 0.5}), Ok((500, 128)));
        check(json!({"cpu": "500m", "memory": "2Gi"}), Ok((500, 2048)));
        check(json!({"cpu": 0, "memory": 0}), Ok((0, 0)));
    }

    #[test]
    fn what_cannot_be_meant_is_named() {
        check(
            json!({"cpu": 1, "cpus": 2}),
            Err("cpu and cpus are the same resource"),
        );
        check(json!({"cpu": true}), Err("spec.resources.cpu: must be a number"));
        check(json!({"cpu": "-1"}), Err("must not be negative"));
        check(json!({"memory": "99999999Ei"}), Err("too large"));
        check(
            json!({"ram": 1}),
            Err("spec.resources.ram: is neither cpu, memory, gpu"),
        );
        check(
            json!({"A100": 1, "gpu": 1}),
            Err("A100 and gpu both ask for accelerators; give one"),
        );
        check(
            json!({"amd.com/gpu": 1, "gpu": 1}),
            Err("amd.com/gpu and gpu both ask for accelerators"),
        );
    }

    #[test]
    fn extended_resources_pass_through() {
        let asked = BTreeMap::from([("nvidia.com/gpu".to_owned(), Amount::from(2))]);
        let asked = parse(&asked, JOB_CPU).expect("resources");
        assert_eq!(asked.resources.extended["nvidia.com/gpu"], 2);
        assert_eq!(asked.accelerator, None);
    }

    #[test]
    fn accelerators_are_asked_for_by_any_name_or_by_model() {
        let need = |asked: Value| {
            let asked: BTreeMap<String, Amount> = serde_json::from_value(asked).expect("a map");
            let asked = parse(&asked, JOB_CPU).expect("resources");
            asked.accelerator.map(|need| (need.model, need.count))
        };
        assert_eq!(need(json!({"gpu": 1})), Some((None, 1)));
        assert_eq!(need(json!({"GPUs": "2"})), Some((None, 2)));
        assert_eq!(need(json!({"A100": 2})), Some((Some("A100".into()), 2)));
        assert_eq!(need(json!({"gpu": 0})), None);
    }
}
