//! Documents of `-f`: files, folders and stdin, YAML or JSON, many in one file. Read by apply and convert.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::Value;

/// Where documents come from.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// Files or folders of YAML or JSON documents; `-` is stdin
    #[arg(short, long = "filename", required = true, num_args = 1.., value_name = "FILE")]
    pub filename: Vec<PathBuf>,
}

/// One object of ours and the document it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// File and number, for messages.
    pub place: String,
    /// The object.
    pub object: Value,
    /// Whether it was one of the original system.
    pub converted: bool,
}

impl Files {
    /// Reads and converts every document. All are refused when one is.
    ///
    /// # Errors
    /// Names the file and the number of the document that cannot be used.
    pub fn read(&self) -> anyhow::Result<Vec<Document>> {
        let mut documents = Vec::new();
        for path in &self.filename {
            if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin()
                    .read_to_string(&mut text)
                    .context("failed to read stdin")?;
                documents.extend(convert("stdin", &text)?);
                continue;
            }
            for file in expand(path)? {
                let name = file.display().to_string();
                let text = fs::read_to_string(&file).with_context(|| format!("failed to read {name}"))?;
                documents.extend(convert(&name, &text)?);
            }
        }
        anyhow::ensure!(!documents.is_empty(), "no documents found");
        Ok(documents)
    }
}

/// A folder means the YAML and JSON files in it, in the order of their names.
fn expand(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let folder = || format!("failed to read the folder {}", path.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(path).with_context(folder)? {
        let file = entry.with_context(folder)?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Parses one text and converts what is in it.
///
/// # Errors
/// Names the place of what cannot be used.
pub fn convert(name: &str, text: &str) -> anyhow::Result<Vec<Document>> {
    let values: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| anyhow::anyhow!("failed to parse {name}: {}", first_line(&error.to_string())))?;
    let mut documents = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let place = format!("{name}, document {}", index + 1);
        match items(value) {
            Items::None => {}
            Items::One(value) => documents.push(one(place, value)?),
            Items::Many(values) => {
                for (index, value) in values.into_iter().enumerate() {
                    documents.push(one(format!("{place}, item {}", index + 1), value)?);
                }
            }
        }
    }
    Ok(documents)
}

enum Items {
    None,
    One(Value),
    Many(Vec<Value>),
}

/// `kind: List`, as kubectl writes several objects, is opened; an empty document is passed over.
fn items(mut value: Value) -> Items {
    if value.is_null() {
        return Items::None;
    }
    let is_list = value.get("kind").is_some_and(|kind| kind == "List");
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(values)) if is_list => Items::Many(values),
        Some(items) => {
            if let Some(fields) = value.as_object_mut() {
                fields.insert("items".to_owned(), items);
            }
            Items::One(value)
        }
        None => Items::One(value),
    }
}

fn one(place: String, value: Value) -> anyhow::Result<Document> {
    let named = match (value.get("kind"), value.pointer("/metadata/name")) {
        (Some(Value::String(kind)), Some(Value::String(name))) => format!(" ({kind} {name})"),
        (Some(Value::String(kind)), _) => format!(" ({kind})"),
        _ => String::new(),
    };
    let converted = value.get("apiVersion").is_none();
    let object =
        sky_convert::original::convert(value).with_context(|| format!("failed to convert {place}{named}"))?;
    Ok(Document {
        place,
        object,
        converted,
    })
}

fn first_line(text: &str) -> &str {
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lists_and_empty_documents_are_read_in_order() {
        let text = "---\n---\nkind: Job\nmetadata: {name: a}\n---\nkind: List\nitems:\n- {kind: Job, metadata: {name: b}}\n\
                    - {kind: Job, metadata: {name: c}}\n";
        let documents = convert("f.yaml", text).unwrap();
        let names: Vec<_> = documents
            .iter()
            .map(|d| d.object["metadata"]["name"].clone())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(documents[2].place.ends_with("item 2"), "{}", documents[2].place);
    }

    #[test]
    fn json_with_tabs_is_read() {
        let documents = convert(
            "-",
            "{\n\t\"kind\": \"Job\",\n\t\"metadata\": {\"name\": \"a\"}\n}",
        )
        .unwrap();
        assert_eq!(documents.len(), 1);
    }

    #[test]
    fn a_refusal_names_file_number_kind_and_name() {
        let text = "kind: Job\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";
        let error = format!("{:#}", convert("jobs.yaml", text).unwrap_err());
        assert!(
            error.starts_with("failed to convert jobs.yaml, document 2 (Pod p): v1 Pod"),
            "{error}"
        );
    }

    #[test]
    fn a_text_that_is_no_yaml_is_refused_in_one_line() {
        let error = format!("{:#}", convert("x.yaml", "a: [1\nb: {").unwrap_err());
        assert!(
            error.starts_with("failed to parse x.yaml: ") && !error.contains('\n'),
            "{error}"
        );
    }
}
