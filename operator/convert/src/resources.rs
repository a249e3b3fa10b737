//! `spec.resources` as integers: aliases, units, and what is refused.

use std::collections::BTreeMap;

use serde_json::Value;
use sky_core::quantity::{self, QuantityError};
use sky_core::resources::Resources;
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
    /// Not offered yet.
    #[error(
        "spec.resources.{0} is not supported yet; name the extended resource of the nodes, such as nvidia.com/gpu"
    )]
    NotSupported(String),
}

/// Millicores that a SkyJob replica asks for when it says nothing.
pub const JOB_CPU: i64 = 1000;
/// Bytes of memory that a replica asks for when it says nothing.
pub const MEMORY: i64 = 128 << 20;

/// What one replica asks for. Memory without a unit is MiB; cpu without one is cores.
///
/// # Errors
/// For the first key that is refused, by name.
pub fn parse(asked: &BTreeMap<String, Amount>) -> Result<Resources, ResourceError> {
    let mut resources = Resources::default();
    let (mut cpu, mut memory) = (None, None);
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
                resources
                    .extended
                    .insert(name.clone(), quantity(quantity::units(&text))?);
            }
            _ if name.contains('/') || name.starts_with("hugepages-") => {
                resources
                    .extended
                    .insert(name.clone(), quantity(quantity::units(&text))?);
            }
            _ => return Err(ResourceError::NotSupported(name.clone())),
        }
    }
    resources.cpu = cpu.map_or(JOB_CPU, |(_, amount)| amount);
    resources.memory = memory.map_or(MEMORY, |(_, amount)| amount);
    resources.extended.retain(|_, amount| *amount > 0);
    Ok(resources)
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
        let answer = parse(&asked)
            .map(|r| (r.cpu, r.memory >> 20))
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
            json!({"A100": 1}),
            Err("not supported yet; name the extended resource"),
        );
    }

    #[test]
    fn extended_resources_pass_through() {
        let asked = BTreeMap::from([("nvidia.com/gpu".to_owned(), Amount::from(2))]);
        assert_eq!(parse(&asked).map(|r| r.extended["nvidia.com/gpu"]), Ok(2));
    }
}
