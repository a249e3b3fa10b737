//! Last step: writes the finalizer and the status of a SkyNamespace, each fenced by the version it was decided on.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use sky_convert::namespace::to_api;
use sky_core::namespace::{State, Status};
use sky_crds::{SkyNamespace, names};
use tokio::time::Instant;

use super::{Context, Memory, NamespaceError};
use crate::host;

/// A status that is about to change again is written after this long: most namespaces are in place by then.
const TURNING: Duration = Duration::from_secs(2);
/// The same when it is a silence that is to be written: members are silent when the operator starts.
const SILENCE: Duration = Duration::from_secs(15);

/// What became of a status.
pub(super) enum Written {
    /// It was written; this is the object now.
    Now(Box<SkyNamespace>),
    /// It need not be written, or not before this long.
    Not(Option<Duration>),
    /// The object has changed or gone meanwhile.
    Stale,
}

/// Adds or removes our finalizer. `None`: the object has changed or gone meanwhile.
pub(super) async fn finalizer(
    context: &Context,
    namespace: &SkyNamespace,
    add: bool,
    memory: &mut Memory,
) -> Result<Option<SkyNamespace>, NamespaceError> {
    let mut finalizers = namespace.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != names::FINALIZER);
    if add {
        finalizers.push(names::FINALIZER.to_owned());
    }
    let (name, version) = (namespace.name_any(), namespace.resource_version());
    match host::set_finalizers(&api(context), &name, version.as_deref(), &finalizers).await {
        Ok(written) => {
            memory.wrote(namespace);
            Ok(Some(written))
        }
        Err(error) if host::is_stale(&error) => Ok(None),
        Err(source) => Err(NamespaceError::Host {
            what: "finalizer",
            name,
            source,
        }),
    }
}

/// Writes `wanted` when it differs from what is stored.
pub(super) async fn status(
    context: &Context,
    namespace: &SkyNamespace,
    wanted: &Status,
    now: Timestamp,
    memory: &mut Memory,
) -> Result<Written, NamespaceError> {
    let stored = namespace.status.clone().unwrap_or_default();
    let next = to_api(wanted, &stored, now);
    if next == stored {
        memory.differs_since = None;
        return Ok(Written::Not(None));
    }
    let turning = wanted
        .conditions
        .iter()
        .any(|c| c.kind == "Reconciling" && c.status);
    let since = *memory.differs_since.get_or_insert_with(Instant::now);
    let silent = wanted
        .clusters
        .iter()
        .any(|cluster| cluster.state == State::Unreachable);
    let hold = if silent { SILENCE } else { TURNING };
    if turning && since.elapsed() < hold {
        return Ok(Written::Not(Some(hold.saturating_sub(since.elapsed()))));
    }
    let mut object = namespace.clone();
    object.status = Some(next);
    object.metadata.managed_fields = None;
    match host::replace_status(&api(context), &object).await {
        Ok(written) => {
            memory.wrote(namespace);
            memory.differs_since = None;
            Ok(Written::Now(Box::new(written)))
        }
        Err(error) if host::is_stale(&error) => Ok(Written::Stale),
        Err(source) => Err(NamespaceError::Host {
            what: "status",
            name: namespace.name_any(),
            source,
        }),
    }
}

fn api(context: &Context) -> Api<SkyNamespace> {
    Api::all(context.client.clone())
}
