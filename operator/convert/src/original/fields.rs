//! Single values of original documents: quoted numbers, label values, fields that our types do not have.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::OriginalError;

/// The JSON type in words, with its article.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Makes a whole number of a quoted one; other types stay for the schema to judge.
pub(super) fn unquote(value: &mut Value, path: &str) -> Result<(), OriginalError> {
    if let Value::String(text) = value {
        let number: i64 = text
            .trim()
            .parse()
            .map_err(|_| OriginalError::field(path, format!("{text:?} is not a whole number")))?;
        *value = Value::from(number);
    }
    Ok(())
}

/// Makes a text of a number or boolean, as label values must be.
pub(super) fn text(value: &mut Value, path: &str) -> Result<(), OriginalError> {
    let text = match value {
        Value::String(_) => return Ok(()),
        Value::Number(number) => number.to_string(),
        Value::Bool(boolean) => boolean.to_string(),
        other => {
            let found = type_name(other);
            return Err(OriginalError::field(path, format!("it is {found}, not a text")));
        }
    };
    *value = Value::String(text);
    Ok(())
}

/// Makes every value of a map a text.
pub(super) fn text_values(map: &mut Value, path: &str) -> Result<(), OriginalError> {
    let Value::Object(map) = map else {
        let found = type_name(map);
        return Err(OriginalError::field(
            path,
            format!("it is {found}, not an object of texts"),
        ));
    };
    map.iter_mut()
        .try_for_each(|(key, value)| text(value, &format!("{path}.{key}")))
}

/// Reads the object as `T` and writes it again.
pub(super) fn round_trip<T: Serialize + DeserializeOwned>(
    object: &Value,
) -> Result<Value, serde_json::Error> {
    T::deserialize(object).and_then(serde_json::to_value)
}

/// The path of the first field of `before` that `after` does not have, or has as another type; empty values do not count,
/// they say nothing.
pub(super) fn first_lost(before: &Value, after: &Value, path: &str) -> Option<String> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, value)| {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            match after.get(key) {
                Some(read) => first_lost(value, read, &path),
                None if is_empty(value) => None,
                None => Some(path),
            }
        }),
        (Value::Array(before), Value::Array(after)) => before
            .iter()
            .zip(after)
            .enumerate()
            .find_map(|(index, (value, read))| first_lost(value, read, &format!("{path}[{index}]"))),
        // A list is read as an object by its order, but the API server takes none for it.
        (Value::Array(_), Value::Object(_)) => Some(path.to_owned()),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
