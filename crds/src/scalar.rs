//! Values that users may write as a number or as text: resource amounts and SkyJob replicas. Parsed by sky-convert.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An amount as the user wrote it: `1`, `0.5`, `"500m"`, `"2Gi"`.
///
/// The schema is type-less so that all of these pass. What else a type-less value may be is refused by limits that
/// nothing satisfies (at least one and at most no item or field) and by naming both booleans. The content is a
/// number or a text, then; its unit depends on the resource: see sky-convert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub Value);

impl From<&str> for Amount {
    fn from(text: &str) -> Self {
        Self(Value::from(text))
    }
}

impl From<i64> for Amount {
    fn from(number: i64) -> Self {
        Self(Value::from(number))
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-preserve-unknown-fields": true,
            "pattern": r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+|[numkKMGTPE]|[KMGTPE]i)?$",
            "maxLength": 32,
            "minimum": 0,
            "minProperties": 1,
            "maxProperties": 0,
            "minItems": 1,
            "maxItems": 0,
            "not": {"enum": [true, false]},
        })
    }
}

/// A whole number as the user wrote it: `4` or `"4"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Count {
    /// Written as a number.
    Number(i64),
    /// Written in quotes.
    Text(String),
}

impl Default for Count {
    fn default() -> Self {
        Self::Number(1)
    }
}

impl From<i64> for Count {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": 100_000,
            "pattern": "^([1-9][0-9]{0,4}|100000)$",
            "maxLength": 6,
        })
    }
}
