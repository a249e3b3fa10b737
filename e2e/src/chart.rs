//! The chart's values as its README shows them: a table made of the comments in values.yaml. Written by `commands`,
//! compared by `tests/chart.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::workspace;

/// What writes everything that is generated from the chart.
pub const COMMAND: &str = "cargo e2e render";
const BEGIN: &str = "<!-- values: made by `cargo e2e render` -->\n";
const END: &str = "<!-- end of values -->\n";

/// One value that may be set.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// `image.tag`
    pub key: String,
    /// As JSON.
    pub default: String,
    pub meaning: String,
}

/// The chart's folder.
pub fn folder() -> PathBuf {
    workspace::root().join("charts/sky")
}

/// The README as it should be.
pub fn readme() -> Result<String> {
    let path = folder().join("README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let (head, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (_, tail) = rest
        .split_once(END)
        .with_context(|| format!("README.md has no line {END}"))?;
    let values = fs::read_to_string(folder().join("values.yaml")).context("read values.yaml")?;
    Ok(format!("{head}{BEGIN}{}{END}{tail}", table(&rows(&values)?)))
}

fn table(rows: &[Row]) -> String {
    let mut text = "| value | default | meaning |\n|---|---|---|\n".to_owned();
    for row in rows {
        let meaning = row.meaning.replace('|', "\\|");
        text.push_str(&format!("| `{}` | `{}` | {meaning} |\n", row.key, row.default));
    }
    text
}

/// The values that values.yaml explains. Fails when one has no comment: nobody would know of it.
pub fn rows(values: &str) -> Result<Vec<Row>> {
    let parsed: Value = serde_saphyr::from_str(values).context("read values.yaml")?;
    let (mut rows, mut above) = (Vec::new(), Vec::<&str>::new());
    let mut open: Vec<(usize, &str)> = Vec::new();
    for line in values.lines() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(words) = text.strip_prefix('#') {
            above.push(words.trim());
            continue;
        }
        let words = std::mem::take(&mut above).join(" ");
        let Some((key, _)) = text.split_once(':') else {
            continue;
        };
        open.retain(|(at, _)| *at < indent);
        open.push((indent, key));
        if words.is_empty() {
            continue;
        }
        let path: Vec<&str> = open.iter().map(|(_, key)| *key).collect();
        let value = parsed
            .pointer(&format!("/{}", path.join("/")))
            .with_context(|| format!("{} is no value", path.join(".")))?;
        rows.push(Row {
            key: path.join("."),
            default: value.to_string(),
            meaning: words,
        });
    }
    let known: BTreeSet<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    let mut leaves = Vec::new();
    collect_leaves("", &parsed, &mut leaves);
    for leaf in leaves {
        let told = |known: &&str| leaf == **known || leaf.starts_with(&format!("{known}."));
        ensure!(
            known.iter().any(told),
            "values.yaml does not explain {leaf}: give it a comment"
        );
    }
    if rows.is_empty() {
        bail!("values.yaml explains nothing");
    }
    Ok(rows)
}

/// Paths of all values that are no mappings.
pub fn collect_leaves(path: &str, value: &Value, leaves: &mut Vec<String>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        None => leaves.push(path.to_owned()),
        Some(fields) => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                collect_leaves(&format!("{path}{dot}{key}"), value, leaves);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_rows_and_a_value_without_one_is_refused() {
        let values = "# About\n# a.\na: 1\nb:\n  # About c.\n  c: {d: x}\n# All of e.\ne:\n  f: [1]\n";
        let found = rows(values).unwrap();
        let lines: Vec<String> = found
            .iter()
            .map(|r| format!("{} {} {}", r.key, r.default, r.meaning))
            .collect();
        assert_eq!(
            lines,
            [
                "a 1 About a.",
                "b.c {\"d\":\"x\"} About c.",
                "e {\"f\":[1]} All of e."
            ]
        );
        let refusal = rows("# A.\na: 1\nb:\n  c: 2\n").unwrap_err().to_string();
        assert!(refusal.contains("explain b.c"), "{refusal}");
    }
}
