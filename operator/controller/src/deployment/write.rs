//! Last step: writes the finalizer and the status to the host, each fenced by the version it was decided on.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use sky_convert::deployment::{from_api, to_api};
use sky_core::deployment::Status;
use sky_core::pace::{self, Urgency};
use sky_crds::{SkyDeployment, names};

use super::memory::Memory;
use super::{Context, DeploymentError, event};
use crate::{host, metrics};

/// What became of a status.
pub(super) enum Written {
    /// It was written; this is the object now.
    Now(Box<SkyDeployment>),
    /// It need not be written, or not before this long.
    Not(Option<Duration>),
    /// The object has changed or gone meanwhile.
    Stale,
}

/// Adds or removes our finalizer. `None`: the object has changed or gone meanwhile.
pub(super) async fn finalizer(
    context: &Context,
    deployment: &SkyDeployment,
    add: bool,
    memory: &mut Memory,
) -> Result<Option<SkyDeployment>, DeploymentError> {
    let mut finalizers: Vec<String> = deployment.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != names::FINALIZER);
    if add {
        finalizers.push(names::FINALIZER.to_owned());
    }
    let version = deployment.resource_version();
    let _place = context.writes.acquire().await;
    let api = api(context, deployment);
    match host::set_finalizers(&api, &deployment.name_any(), version.as_deref(), &finalizers).await {
        Ok(written) => {
            memory.wrote(deployment, &written);
            Ok(Some(written))
        }
        Err(error) if host::is_stale(&error) => Ok(None),
        Err(source) => Err(DeploymentError::host("finalizer", deployment, source)),
    }
}

/// Writes `wanted` when it differs from what is stored and is worth a write now.
pub(super) async fn status(
    context: &Context,
    deployment: &SkyDeployment,
    wanted: &Status,
    now: Timestamp,
    memory: &mut Memory,
) -> Result<Written, DeploymentError> {
    let stored = deployment.status.clone().unwrap_or_default();
    let uid = deployment.uid().unwrap_or_default();
    let next = to_api(wanted, &uid, &stored, now);
    // As it would read back: what the API cuts or spells otherwise is no difference.
    let (known, wanted) = (from_api(&stored), from_api(&next));
    if known == wanted {
        memory.wanted = None;
        return Ok(Written::Not(None));
    }
    let millis = context.millis();
    if memory.wanted.is_none() {
        memory.times.differs_since = millis;
    }
    if memory.wanted != wanted {
        memory.times.changed = millis;
        memory.wanted = wanted.clone();
    }
    let urgency = match (&known, &wanted) {
        (Some(known), Some(wanted)) => urgency(known, wanted),
        _ => Urgency::News,
    };
    if let Some(wait) = pace::delay(urgency, false, memory.times, millis) {
        return Ok(Written::Not(Some(Duration::from_millis(wait))));
    }
    let mut object = deployment.clone();
    object.status = Some(next);
    object.metadata.managed_fields = None;
    let place = context.writes.acquire().await;
    let answer = host::replace_status(&api(context, deployment), &object).await;
    drop(place);
    match answer {
        Ok(written) => {
            if let Some(wanted) = &wanted {
                event::tell(context, deployment, known.as_ref(), wanted).await;
                let stored = known.as_ref().map(|known| known.evictions.as_slice());
                metrics::evicted(stored.unwrap_or_default(), &wanted.evictions);
            }
            memory.times.written = Some(millis);
            memory.wanted = None;
            memory.wrote(deployment, &written);
            Ok(Written::Now(Box::new(written)))
        }
        Err(error) if host::is_stale(&error) => Ok(Written::Stale),
        Err(source) => Err(DeploymentError::host("status", deployment, source)),
    }
}

/// What users and autoscalers act on is written at once; words and counts that still move, when they have settled.
fn urgency(stored: &Status, wanted: &Status) -> Urgency {
    let shown = |status: &Status| {
        let conditions = status.conditions.iter();
        let shown = conditions.map(|condition| (condition.kind, condition.status, condition.reason.clone()));
        shown.collect::<Vec<_>>()
    };
    let moved = !stored.placement.is_like(&wanted.placement) || stored.evictions != wanted.evictions;
    let turned = stored.generation != wanted.generation || shown(stored) != shown(wanted);
    if moved || turned {
        Urgency::News
    } else if stored.counts == wanted.counts && stored.clusters == wanted.clusters {
        Urgency::Waiting
    } else {
        Urgency::Trouble
    }
}

fn api(context: &Context, deployment: &SkyDeployment) -> Api<SkyDeployment> {
    Api::namespaced(
        context.client.clone(),
        &deployment.namespace().unwrap_or_default(),
    )
}
