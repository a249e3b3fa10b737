//! `kubectl sky delete`: deletes objects of ours by name, and can wait until the operator has withdrawn their work.

use std::time::Duration;

use kube::api::{DeleteParams, DynamicObject};
use kube::{Api, ResourceExt as _};
use tokio::time::{Instant, sleep};

use crate::client::{self, Connection, Global, Patience};
use crate::errors::{At, is_not_found};
use crate::kinds::Kind;
use crate::output;

/// Seconds between two looks at an object that is going.
const POLL: Duration = Duration::from_millis(300);

/// Delete objects by name.
///
/// A job's or deployment's replicas are withdrawn from the members before the object goes. `delete cluster` leaves the
/// credential's Secret and what join made on the member; `kubectl sky unjoin` removes these too.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to delete
    #[arg(value_enum, ignore_case = true)]
    kind: Kind,
    /// Names
    #[arg(required = true)]
    names: Vec<String>,
    /// Wait until they are gone
    #[arg(long)]
    wait: bool,
    /// Longest wait
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Absent objects are no error
    #[arg(long)]
    ignore_not_found: bool,
}

/// Deletes every name; one that fails does not stop the others.
///
/// # Errors
/// When any could not be deleted, or was still there at the end of the wait.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let host = client::host(global, Patience::Calls).await?;
    let at = &host.connection;
    let api = args.kind.api(at.client.clone(), Some(&host.namespace));
    let mut failed = 0_usize;
    let mut going = Vec::new();
    for name in &args.names {
        let reference = args.kind.reference(name);
        match api.delete(name, &DeleteParams::background()).await {
            Ok(answer) => {
                output::line(&format!("{reference} deleted"))?;
                if let Some(object) = answer.left() {
                    going.push((name.clone(), object.uid().unwrap_or_default()));
                }
                if args.kind == Kind::Cluster {
                    output::note(&format!(
                        "its Secret and its account on the member remain; kubectl sky unjoin {name} removes them"
                    ));
                }
            }
            Err(error) if args.ignore_not_found && is_not_found(&error) => {}
            Err(error) => {
                failed += 1;
                let error = Err::<(), _>(error).at(at, format!("delete {reference}")).err();
                output::note(&format!(
                    "error: {:#}",
                    error.unwrap_or_else(|| anyhow::anyhow!("failed"))
                ));
            }
        }
    }
    if args.wait {
        let end = Instant::now() + Duration::from_secs(args.timeout);
        for (name, uid) in &going {
            if let Some(object) = wait_gone(at, &api, name, uid, end).await? {
                failed += 1;
                output::note(&format!("error: {}", still_there(args.kind, &object)));
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} were not deleted", args.names.len());
    Ok(())
}

/// Waits until the object of this uid is gone; what is left of it when it is not.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn wait_gone(
    at: &Connection,
    api: &Api<DynamicObject>,
    name: &str,
    uid: &str,
    end: Instant,
) -> anyhow::Result<Option<DynamicObject>> {
    loop {
        let object = api.get_opt(name).await.at(at, format!("look for {name}"))?;
        match object {
            Some(object) if object.uid().as_deref() == Some(uid) => {
                if Instant::now() >= end {
                    return Ok(Some(object));
                }
            }
            _ => return Ok(None),
        }
        sleep(POLL).await;
    }
}

/// Why an object that was deleted is still there.
#[must_use]
pub fn still_there(kind: Kind, object: &DynamicObject) -> String {
    let reference = kind.reference(&object.name_any());
    let finalizers = object.finalizers().join(", ");
    let conditions = object.data.pointer("/status/conditions");
    let told = conditions
        .and_then(|conditions| conditions.as_array())
        .into_iter()
        .flatten()
        .filter(|condition| {
            condition.pointer("/status").is_some_and(|status| {
                status != "True" || {
                    condition
                        .pointer("/type")
                        .is_some_and(|kind| kind == "Reconciling" || kind == "Stalled")
                }
            })
        })
        .filter_map(|condition| condition.pointer("/message").and_then(|message| message.as_str()))
        .find(|message| !message.is_empty())
        .map(|message| format!(": {message}"))
        .unwrap_or_default();
    format!(
        "{reference} is still there, held by {finalizers}{told}; is the operator running, and are its members reachable? It goes by itself when its work is withdrawn"
    )
}
