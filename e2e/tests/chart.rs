//! The chart says the same everywhere: its README, its values and its schema. What it renders to, suite `helm` compares.
#![expect(clippy::expect_used, reason = "a chart that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use sky_e2e::chart;

fn schema() -> Value {
    let text = fs::read_to_string(chart::folder().join("values.schema.json")).expect("a schema");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_readme_lists_the_values_of_the_chart() {
    let found = fs::read_to_string(chart::folder().join("README.md")).expect("a README");
    let wanted = chart::readme().expect("a table");
    assert!(
        found == wanted,
        "charts/sky/README.md is out of date: run `{}`",
        chart::COMMAND
    );
}

#[test]
fn the_schema_knows_every_value_and_no_other() {
    let text = fs::read_to_string(chart::folder().join("values.yaml")).expect("values");
    let values: Value = serde_saphyr::from_str(&text).expect("YAML");
    let mut leaves = Vec::new();
    chart::collect_leaves("", &values, &mut leaves);
    let mut known = BTreeSet::new();
    properties("", &schema(), &mut known);
    // A mapping that is empty by default is a leaf here and none in the schema.
    let within = |one: &str, other: &str| one == other || one.starts_with(&format!("{other}."));
    let covered = |path: &str| known.iter().any(|of| within(path, of) || within(of, path));
    let unknown: Vec<&String> = leaves.iter().filter(|leaf| !covered(leaf)).collect();
    assert!(unknown.is_empty(), "the schema does not know {unknown:?}");
    let missing: Vec<&String> = known
        .iter()
        .filter(|path| values.pointer(&format!("/{}", path.replace('.', "/"))).is_none())
        .filter(|path| {
            !path.starts_with("resources.")
                && !path.starts_with("configuration.")
                && !path.starts_with("affinity.")
        })
        // Set by charts that contain this one.
        .filter(|path| *path != "global")
        .collect();
    assert!(missing.is_empty(), "values.yaml does not show {missing:?}");
}

#[test]
fn the_schema_is_draft_07_and_closed() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let mut open = Vec::new();
    unclosed("", &schema, &mut open);
    assert!(open.is_empty(), "unknown keys are taken at {open:?}");
}

/// Paths of the properties that have none of their own.
fn properties(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        None => drop(found.insert(path.to_owned())),
        Some(fields) => {
            for (key, field) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                properties(&format!("{path}{dot}{key}"), field, found);
            }
        }
    }
}

/// Objects with properties that take others besides.
fn unclosed(path: &str, schema: &Value, found: &mut Vec<String>) {
    if let Some(fields) = schema["properties"].as_object() {
        if schema["additionalProperties"] != Value::Bool(false) {
            found.push(path.to_owned());
        }
        for (key, field) in fields {
            unclosed(&format!("{path}/{key}"), field, found);
        }
    }
    if schema["items"].is_object() {
        unclosed(&format!("{path}[]"), &schema["items"], found);
    }
}

#[test]
fn versions_agree() {
    let read = |path: &str| fs::read_to_string(sky_e2e::workspace::root().join(path)).expect("a file");
    let version = env!("CARGO_PKG_VERSION");
    let chart: Value = serde_saphyr::from_str(&read("charts/sky/Chart.yaml")).expect("YAML");
    assert_eq!(chart["version"], version, "Chart.yaml, version");
    assert_eq!(chart["appVersion"], version, "Chart.yaml, appVersion");
    for path in ["Containerfile", "docs/install-helm.md", "docs/install-kubectl.md"] {
        let image = format!("sky-operator:{version}");
        assert!(read(path).contains(&image), "{path} does not name {image}");
    }
    let release = format!("targetRevision: v{version}\n");
    assert!(
        read("docs/argocd.md").contains(&release),
        "docs/argocd.md has no {release}"
    );
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .expect("a channel");
    let wanted = format!("ARG RUST_VERSION={}\n", channel.trim_matches('"'));
    assert!(
        read("Containerfile").contains(&wanted),
        "Containerfile has no {wanted}"
    );
}
