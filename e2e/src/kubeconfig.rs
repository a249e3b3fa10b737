//! Kubeconfig files with everything inline, as the operator demands them and as a user can copy them.
//! Written by `cluster` (one context) and `lab` (the host's, with a context per member).

use std::fs::{OpenOptions, remove_file};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::pki::Identity;

/// One context: a cluster, how to reach it and as whom.
pub struct Access<'a> {
    /// Name of the context, its cluster and its user.
    pub name: &'a str,
    /// Port on loopback.
    pub port: u16,
    /// PEM certificate of the authority that signed the server's.
    pub authority: &'a str,
    pub identity: &'a Identity,
}

/// Writes a kubeconfig, readable by its owner alone; the first context is the current one.
pub fn write(path: &Path, contexts: &[Access<'_>]) -> Result<()> {
    let content = serde_saphyr::to_string(&document(contexts))?;
    let _ = remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(file.write_all(content.as_bytes())?)
}

fn document(contexts: &[Access<'_>]) -> Value {
    let list = |entry: &dyn Fn(&Access<'_>) -> Value| contexts.iter().map(entry).collect::<Vec<_>>();
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts.first().map_or("", |access| access.name),
        "clusters": list(&|access| json!({"name": access.name, "cluster": {
            "server": format!("https://127.0.0.1:{}", access.port),
            "certificate-authority-data": STANDARD.encode(access.authority),
        }})),
        "users": list(&|access| json!({"name": access.name, "user": {
            "client-certificate-data": STANDARD.encode(&access.identity.certificate),
            "client-key-data": STANDARD.encode(&access.identity.key),
        }})),
        "contexts": list(&|access| json!({"name": access.name, "context": {
            "cluster": access.name, "user": access.name,
        }})),
    })
}
