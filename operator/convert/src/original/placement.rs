//! The original placement stanza: `match_labels`, and `match_expressions` as one object or a list.

use serde_json::{Map, Value};

use super::{OriginalError, fields};

/// Converts `spec.placement` in place.
pub(super) fn convert(placement: &mut Value, path: &str) -> Result<(), OriginalError> {
    let Value::Object(placement) = placement else {
        let found = fields::type_name(placement);
        return Err(OriginalError::field(
            path,
            format!("it is {found}, not an object"),
        ));
    };
    placement.retain(|_, value| !value.is_null());
    for key in ["filters", "preferences"] {
        let path = format!("{path}.{key}");
        let Some(criteria) = placement.get_mut(key) else {
            continue;
        };
        let Value::Array(criteria) = criteria else {
            let found = fields::type_name(criteria);
            return Err(OriginalError::field(&path, format!("it is {found}, not a list")));
        };
        for (index, criterion) in criteria.iter_mut().enumerate() {
            convert_criterion(criterion, &format!("{path}[{index}]"))?;
        }
    }
    Ok(())
}

fn convert_criterion(criterion: &mut Value, path: &str) -> Result<(), OriginalError> {
    let Value::Object(criterion) = criterion else {
        let found = fields::type_name(criterion);
        return Err(OriginalError::field(
            path,
            format!("it is {found}, not an object"),
        ));
    };
    selector(criterion, path)?;
    if let Some(weight) = criterion.get_mut("weight") {
        fields::unquote(weight, &format!("{path}.weight"))?;
    }
    Ok(())
}

/// Brings labels and expressions to our spelling; also of the selectors that the original did not have.
pub(super) fn selector(criterion: &mut Map<String, Value>, path: &str) -> Result<(), OriginalError> {
    respell(criterion, "match_labels", "matchLabels", path)?;
    respell(criterion, "match_expressions", "matchExpressions", path)?;
    if let Some(labels) = criterion.get_mut("matchLabels") {
        fields::text_values(labels, &format!("{path}.matchLabels"))?;
    }
    if let Some(expressions) = criterion.get_mut("matchExpressions") {
        if expressions.is_object() {
            *expressions = Value::Array(vec![expressions.take()]);
        }
        let path = format!("{path}.matchExpressions");
        for (index, expression) in expressions.as_array_mut().into_iter().flatten().enumerate() {
            text_list(expression.get_mut("values"), &format!("{path}[{index}].values"))?;
        }
    }
    Ok(())
}

fn text_list(values: Option<&mut Value>, path: &str) -> Result<(), OriginalError> {
    let values = values.and_then(Value::as_array_mut);
    for (index, value) in values.into_iter().flatten().enumerate() {
        fields::text(value, &format!("{path}[{index}]"))?;
    }
    Ok(())
}

fn respell(
    fields: &mut Map<String, Value>,
    original: &str,
    ours: &str,
    path: &str,
) -> Result<(), OriginalError> {
    match fields.remove(original) {
        None | Some(Value::Null) => Ok(()),
        Some(_) if fields.contains_key(ours) => Err(OriginalError::field(
            path,
            format!("{original} and {ours} are both given; keep one"),
        )),
        Some(value) => {
            fields.insert(ours.to_owned(), value);
            Ok(())
        }
    }
}
