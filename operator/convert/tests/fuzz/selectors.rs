//! Selectors of original documents against an evaluation of the raw JSON: the same clusters must satisfy them.

use serde_json::{Value, json};
use sky_convert::{job, original, workload::Defaults};
use sky_core::labels::{Labels, Selector};
use sky_crds::SkyJob;

use crate::dice::{self, Dice};
use crate::rounds;

const KEYS: &[&str] = &["location", "purpose", "tier"];
const VALUES: &[&str] = &["eu", "us", "dev", "1", "true"];
const WORDS: &[&str] = &[
    "match_labels",
    "matchLabels",
    "match_expressions",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "location",
    "purpose",
    "tier",
    "eu",
    "us",
    "dev",
    "name",
    "weight",
    "1",
    "",
];

fn corpus() -> Vec<Value> {
    vec![
        json!({"match_labels": {"purpose": "dev"}}),
        json!({"name": "filter-1", "match_labels": {"purpose": "dev"},
               "match_expressions": [{"key": "location", "operator": "NotIn", "values": ["eu"]}]}),
        json!({"match_expressions": {"key": "location", "operator": "In", "values": ["eu", "us"]}}),
        json!({"matchLabels": {"tier": 1}, "matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
        json!({"match_labels": {"tier": true}, "matchExpressions": [{"key": "purpose", "operator": "DoesNotExist"},
               {"key": "location", "operator": "In", "values": [1, "eu"]}]}),
        json!({"match_expressions": [["location", "In", ["eu"]]]}),
        json!({}),
    ]
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        _ => None,
    }
}

/// What the raw criterion says of these labels: all labels, and all expressions, of which one may stand alone.
fn holds(criterion: &Value, labels: &Labels) -> Option<bool> {
    let either = |ours: &str, original: &str| match &criterion[original] {
        Value::Null => criterion[ours].clone(),
        given => given.clone(),
    };
    let mut holds = true;
    if let Value::Object(wanted) = either("matchLabels", "match_labels") {
        for (key, value) in &wanted {
            holds &= labels.get(key) == Some(&text(value)?);
        }
    }
    let expressions = match either("matchExpressions", "match_expressions") {
        Value::Array(expressions) => expressions,
        Value::Null => vec![],
        one => vec![one],
    };
    for expression in &expressions {
        let have = labels.get(expression["key"].as_str()?);
        let mut values = Vec::new();
        for value in expression["values"].as_array().into_iter().flatten() {
            values.push(text(value)?);
        }
        holds &= match (expression["operator"].as_str()?, have) {
            ("In", Some(have)) => values.contains(have),
            ("NotIn", Some(have)) => !values.contains(have),
            ("In" | "Exists", None) | ("DoesNotExist", Some(_)) => false,
            ("NotIn" | "DoesNotExist", None) | ("Exists", Some(_)) => true,
            _ => return None,
        };
    }
    Some(holds)
}

/// The selector that a job with this filter comes to; `None`: it is refused.
fn selector(criterion: &Value) -> Option<Selector> {
    let document = json!({"kind": "Job", "metadata": {"name": "a"}, "spec": {"placement": {
        "filters": [criterion], "preferences": []}}});
    let object = original::convert(document).ok()?;
    let job: SkyJob = serde_json::from_value(object).expect("what is converted is an object of the kind");
    let parsed = job::parse(&job, &Defaults::default()).ok()?;
    parsed.workload.filters.into_iter().next()
}

/// True when it is a selector.
fn check(criterion: &Value) -> bool {
    let Some(selector) = selector(criterion) else {
        return false;
    };
    let mut dice = Dice(7);
    for _ in 0..8 {
        let each = KEYS.iter().filter_map(|key| {
            let value = (!dice.once_in(3)).then(|| *dice.one(VALUES))?;
            Some(((*key).to_owned(), value.to_owned()))
        });
        let labels: Labels = each.collect();
        let expected = holds(criterion, &labels)
            .unwrap_or_else(|| panic!("{criterion} is no selector, but was read as {selector:?}"));
        assert_eq!(selector.matches(&labels), expected, "{criterion} on {labels:?}");
    }
    true
}

#[test]
fn a_selector_holds_for_what_its_document_says() {
    let mutate = |dice: &mut Dice, criterion: &Value| {
        let mut criterion = criterion.clone();
        for _ in 0..=dice.below(3) {
            dice::mutate(dice, &mut criterion, WORDS);
        }
        criterion
    };
    rounds::run(15_000, &corpus(), mutate, check);
}
