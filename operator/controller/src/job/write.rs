//! Last step: writes the finalizer and the status to the host, each fenced by the version it was decided on.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, ResourceExt};
use sky_convert::status::{from_api, to_api};
use sky_core::job::Status;
use sky_core::pace;
use sky_crds::{SkyJob, names};

use super::memory::Memory;
use super::{Context, JobError, event};
use crate::{host, metrics};

/// What became of a status.
pub(super) enum Written {
    /// It was written; this is the object now.
    Now(Box<SkyJob>),
    /// It need not be written, or not before this long.
    Not(Option<Duration>),
    /// The object has changed meanwhile.
    Stale,
    /// The object has gone.
    Gone,
}

/// Adds or removes our finalizer. `None`: the object has changed or gone meanwhile.
pub(super) async fn finalizer(
    context: &Context,
    job: &SkyJob,
    add: bool,
    memory: &mut Memory,
) -> Result<Option<SkyJob>, JobError> {
    let mut finalizers: Vec<String> = job.finalizers().to_vec();
    finalizers.retain(|finalizer| finalizer != names::FINALIZER);
    if add {
        finalizers.push(names::FINALIZER.to_owned());
    }
    let version = job.resource_version();
    let _place = context.writes.acquire().await;
    let answer = host::set_finalizers(
        &api(context, job),
        &job.name_any(),
        version.as_deref(),
        &finalizers,
    )
    .await;
    match answer {
        Ok(written) => {
            memory.wrote(job, &written);
            Ok(Some(written))
        }
        Err(error) if host::is_stale(&error) => Ok(None),
        Err(source) => Err(JobError::Host {
            what: "finalizer",
            name: full_name(job),
            source,
        }),
    }
}

/// Writes `wanted` when it differs from what is stored and is worth a write now.
pub(super) async fn status(
    context: &Context,
    job: &SkyJob,
    wanted: Option<&Status>,
    now: Timestamp,
    memory: &mut Memory,
) -> Result<Written, JobError> {
    let Some(wanted) = wanted else {
        return Ok(Written::Not(None));
    };
    let stored = job.status.clone().unwrap_or_default();
    // As it would read back: what the API cuts or spells otherwise is no difference.
    let readable = from_api(&to_api(wanted, &stored, now));
    let wanted = readable.as_ref().unwrap_or(wanted);
    let millis = context.millis();
    let known = from_api(&stored);
    let urgency = match &known {
        Some(known) => pace::urgency(known, wanted),
        None => Some(pace::Urgency::News),
    };
    let Some(urgency) = urgency else {
        memory.wanted = None;
        return Ok(Written::Not(None));
    };
    if memory.wanted.is_none() {
        memory.times.differs_since = millis;
    }
    if memory.wanted.as_ref() != Some(wanted) {
        memory.times.changed = millis;
        memory.wanted = Some(wanted.clone());
    }
    if let Some(wait) = pace::delay(urgency, pace::turning(wanted), memory.times, millis) {
        return Ok(Written::Not(Some(Duration::from_millis(wait))));
    }
    let mut next = job.clone();
    next.status = Some(to_api(wanted, &stored, now));
    next.metadata.managed_fields = None;
    let place = context.writes.acquire().await;
    let answer = host::replace_status(&api(context, job), &next).await;
    drop(place);
    match answer {
        Ok(written) => {
            let stored = known.as_ref().map(|known| known.evictions.as_slice());
            metrics::evicted(stored.unwrap_or_default(), &wanted.evictions);
            event::tell(context, job, known.as_ref(), wanted).await;
            memory.times.written = Some(millis);
            memory.wanted = None;
            memory.wrote(job, &written);
            Ok(Written::Now(Box::new(written)))
        }
        Err(error) if host::is_gone(&error) => Ok(Written::Gone),
        Err(error) if host::is_stale(&error) => Ok(Written::Stale),
        Err(source) => Err(JobError::Host {
            what: "status",
            name: full_name(job),
            source,
        }),
    }
}

fn api(context: &Context, job: &SkyJob) -> Api<SkyJob> {
    Api::namespaced(context.client.clone(), &job.namespace().unwrap_or_default())
}

fn full_name(job: &SkyJob) -> String {
    format!("{}/{}", job.namespace().unwrap_or_default(), job.name_any())
}
