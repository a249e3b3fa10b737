//! `kubectl sky apply`: writes documents to the host by server-side apply. Never takes a field from another manager.

use kube::api::{Patch, PatchParams};
use serde_json::Value;

use crate::client::{self, FIELD_MANAGER, Global, Host, Patience};
use crate::documents::{Document, Files};
use crate::errors::{At, usage};
use crate::kinds::Kind;
use crate::output;

/// Write documents to the host, also those of the original system.
///
/// Documents of the original system (`kind: Job` without an apiVersion) are converted first, as `kubectl sky convert`
/// would print them. Nothing is written when one document of the files cannot be used.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Let the API server check the objects without keeping them
    #[arg(long)]
    dry_run: bool,
}

/// Applies every document; one that the API server refuses does not stop the others.
///
/// # Errors
/// When a document cannot be read, or any was refused.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let documents = args.files.read()?;
    let host = client::host(global, Patience::Calls).await?;
    let mut refused = 0_usize;
    for document in &documents {
        match apply(&host, document, args.dry_run).await {
            Ok(reference) => {
                let dry = if args.dry_run { " (dry run)" } else { "" };
                output::line(&format!("{reference} applied{dry}"))?;
            }
            Err(error) => {
                refused += 1;
                output::note(&format!("error: {}: {error:#}", document.place));
            }
        }
    }
    anyhow::ensure!(
        refused == 0,
        "{refused} of {} documents were not applied",
        documents.len()
    );
    Ok(())
}

/// Applies one object and says what it is.
///
/// # Errors
/// When the document has no name, or the API server refuses it.
pub async fn apply(host: &Host, document: &Document, dry_run: bool) -> anyhow::Result<String> {
    let text = |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let Some(kind) = Kind::of_object(kind) else {
        anyhow::bail!("kind {kind:?} is not one of ours");
    };
    let Some(name) = text("/metadata/name") else {
        anyhow::bail!("metadata.name: a name is needed");
    };
    let namespace = namespace(host, kind, text("/metadata/namespace"))?;
    let mut params = PatchParams::apply(FIELD_MANAGER).validation_strict();
    params.dry_run = dry_run;
    let mut object = document.object.clone();
    // Status is the operator's; apply would be refused for owning it.
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    kind.api(host.connection.client.clone(), Some(&namespace))
        .patch(name, &params, &Patch::Apply(&object))
        .await
        .at(&host.connection, format!("apply {}", kind.reference(name)))?;
    if kind == Kind::Cluster && document.converted && !dry_run {
        output::note(&format!(
            "cluster {name} needs a credential, which its document does not have: kubectl sky join {name} --from-context CONTEXT"
        ));
    }
    Ok(kind.reference(name))
}

fn namespace(host: &Host, kind: Kind, written: Option<&str>) -> anyhow::Result<String> {
    match written {
        Some(written) if kind.namespaced() && host.namespace_named && written != host.namespace => {
            Err(usage(format!(
                "the document's namespace {written:?} is not the one of --namespace, {:?}",
                host.namespace
            )))
        }
        Some(written) => Ok(written.to_owned()),
        None => Ok(host.namespace.clone()),
    }
}
