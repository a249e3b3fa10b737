//! Reads the documents of this folder, as its README describes them. Used by the tests of this crate and, through
//! `#[path]`, by the suites that show the same documents to a real API server.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One case: a create, or a create and an update of it.
#[derive(Debug)]
pub struct Document {
    /// Path within the folder, such as `skyjob/refused/run-and-command.yaml`.
    pub path: PathBuf,
    /// Whether the last of its objects is accepted.
    pub accepted: bool,
    /// What the message must contain when it is refused.
    pub wanted: Vec<String>,
    /// The object to create.
    pub create: Value,
    /// The object to replace it with.
    pub update: Option<Value>,
}

impl Document {
    /// Whether the update is a write of the status subresource.
    pub fn updates_status(&self) -> bool {
        self.update
            .as_ref()
            .is_some_and(|update| update.get("status").is_some())
    }
}

/// All documents below `folder`, in the order of their paths.
pub fn load(folder: &Path) -> Result<Vec<Document>, Box<dyn Error>> {
    let mut documents = Vec::new();
    for kind in sorted(folder)? {
        for (verdict, accepted) in [("accepted", true), ("refused", false)] {
            let cases = kind.join(verdict);
            if !cases.is_dir() {
                continue;
            }
            for file in sorted(&cases)? {
                let document =
                    read(folder, &file, accepted).map_err(|error| format!("{}: {error}", file.display()))?;
                documents.push(document);
            }
        }
    }
    Ok(documents)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()?;
    paths.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    Ok(paths)
}

fn read(folder: &Path, file: &Path, accepted: bool) -> Result<Document, Box<dyn Error>> {
    let text = std::fs::read_to_string(file)?;
    let wanted: Vec<String> = text
        .lines()
        .take_while(|line| line.starts_with('#'))
        .filter_map(|line| line.strip_prefix("# refused: "))
        .map(str::to_owned)
        .collect();
    if !text.starts_with("# ") || accepted != wanted.is_empty() {
        return Err(
            "an accepted document begins with a comment, a refused one with `# refused: TEXT`".into(),
        );
    }
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let update = match objects.len() {
        1 => None,
        2 => objects.pop(),
        count => return Err(format!("{count} YAML documents; one is a create, two are an update").into()),
    };
    let create = objects.pop().ok_or("no YAML document")?;
    Ok(Document {
        path: file.strip_prefix(folder)?.to_owned(),
        accepted,
        wanted,
        create,
        update,
    })
}
