//! The audit log of an API server: one line per finished write, nothing about reads.
//! The policy is written by `control_plane`; suites that count writes read the entries.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;

/// What the API server writes down: writes when they are finished, with who and what but without bodies.
pub(super) const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted, Panic]
rules:
- level: None
  verbs: [get, list, watch]
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";

/// One finished write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// create, update, patch, delete or deletecollection.
    pub verb: String,
    pub user: String,
    pub user_agent: String,
    pub api_group: String,
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    pub namespace: String,
    /// Empty when the server chose it.
    pub name: String,
    /// HTTP status; 0 when the connection ended before there was one.
    pub code: u16,
    /// When the answer was complete.
    pub stage_timestamp: Timestamp,
    pub request_uri: String,
}

/// Every entry of the log at `path`, in the order of their ends. A last line that is still being written
/// is left for the next time.
pub(super) fn read(path: &Path) -> Result<Vec<AuditEntry>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        other => other.with_context(|| format!("read {}", path.display()))?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<AuditEntry> {
    let event: Event = serde_json::from_str(line).with_context(|| format!("audit entry {line}"))?;
    Ok(AuditEntry {
        verb: event.verb,
        user: event.user.username,
        user_agent: event.user_agent,
        api_group: event.object_ref.api_group,
        resource: event.object_ref.resource,
        subresource: event.object_ref.subresource,
        namespace: event.object_ref.namespace,
        name: event.object_ref.name,
        code: event.response_status.code,
        stage_timestamp: event.stage_timestamp,
        request_uri: event.request_uri,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    stage_timestamp: Timestamp,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_and_an_unfinished_line_is_left() {
        let line = r#"{"kind":"Event","verb":"patch","user":{"username":"sky-operator","groups":["x"]},"userAgent":"sky/0.1","objectRef":{"resource":"skyjobs","namespace":"default","name":"a","apiGroup":"skymanager.io","subresource":"status"},"responseStatus":{"metadata":{},"code":200},"requestURI":"/apis/x","stageTimestamp":"2026-11-23T04:05:06.000007Z"}"#;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.json");
        assert!(read(&path).unwrap().is_empty());
        fs::write(&path, format!("{line}\n{}", &line[..40])).unwrap();
        let entries = read(&path).unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(
            (entries[0].subresource.as_str(), entries[0].code),
            ("status", 200)
        );
    }
}
