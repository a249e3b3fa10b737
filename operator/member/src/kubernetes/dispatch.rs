//! Sends shares to a Kubernetes member. Every call can be repeated; nothing foreign is touched. `withdraw` takes them
//! away, by the same fenced changes.

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sky_core::share::{Share, ShareKey};

use super::errors::classify;
use super::{namespace, object, stamp};
use crate::{Class, Ensured, MemberError};

/// How often a change is tried that others get in the way of.
pub(super) const TRIES: u32 = 5;

/// Creates the Job of `share`, or finds it, or changes whether it is suspended.
pub(super) async fn ensure_share(client: &Client, share: &Share) -> Result<Ensured, MemberError> {
    if !share.known && create(client, &share.key, &share.stamp.origin, object::job(share)?).await? {
        return Ok(Ensured::Created);
    }
    let jobs: Api<Job> = Api::namespaced(client.clone(), &share.key.namespace);
    adjust(&jobs, share).await
}

/// Creates a Job, with its namespace if need be, for the host of `origin`. False: something has the name.
pub(super) async fn create(
    client: &Client,
    key: &ShareKey,
    origin: &str,
    job: Value,
) -> Result<bool, MemberError> {
    let job: Job = serde_json::from_value(job).map_err(|error| {
        let words = format!("the template is no pod template: {error}");
        MemberError::new(Class::Rejected, words)
    })?;
    let jobs: Api<Job> = Api::namespaced(client.clone(), &key.namespace);
    let mut created = jobs.create(&PostParams::default(), &job).await;
    if let Err(kube::Error::Api(status)) = &created
        && status.code == 404
        && status.message.contains("namespaces")
    {
        namespace::supply(client, origin, &key.namespace).await?;
        created = jobs.create(&PostParams::default(), &job).await;
    }
    match created {
        Ok(_) => Ok(true),
        // A quota that others use at the same moment is a conflict too, and says nothing about the name.
        Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "Conflict" => {
            Err(MemberError::new(Class::Throttled, status.message))
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(classify(&error)),
    }
}

/// Finds the Job of `share`, and changes whether it is suspended. The Job controller writes to it at the same time:
/// a change that is refused for that is made anew on what there is then.
async fn adjust(jobs: &Api<Job>, share: &Share) -> Result<Ensured, MemberError> {
    let object = &share.key.object;
    for _ in 0..TRIES {
        let Some(present) = jobs.get_opt(object).await.map_err(|error| classify(&error))? else {
            break;
        };
        if !stamp::read(&present).is_some_and(|stamp| stamp.is_of_same_share(&share.stamp)) {
            return Err(taken(object));
        }
        // This call may have been on its way since before the share was withdrawn: what it asks for would run a second
        // time. The change below cannot hit a tombstone either, for it is fenced by the version that was looked at.
        if stamp::tombstone(&present).is_some() {
            let words = format!("the Job {object} is a tombstone: this share was withdrawn for good");
            return Err(MemberError::new(Class::Conflict, words));
        }
        if is_suspended(&present) == share.suspended {
            return Ok(Ensured::Present);
        }
        if change(jobs, &present, json!({"spec": {"suspend": share.suspended}})).await? {
            return Ok(Ensured::Updated);
        }
    }
    Err(changed(object))
}

/// Whether the Job is held back.
pub(super) fn is_suspended(job: &Job) -> bool {
    let spec = job.spec.as_ref();
    spec.and_then(|spec| spec.suspend).unwrap_or(false)
}

/// Merges `patch` into the Job if it is still as `present`. False: it is not, look again.
pub(super) async fn change(jobs: &Api<Job>, present: &Job, mut patch: Value) -> Result<bool, MemberError> {
    patch["metadata"]["uid"] = json!(present.uid());
    patch["metadata"]["resourceVersion"] = json!(present.resource_version());
    let params = PatchParams::default();
    match jobs
        .patch(&present.name_any(), &params, &Patch::Merge(patch))
        .await
    {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(false),
        Err(error) => Err(classify(&error)),
    }
}

/// Something that is not of the share has its name.
pub(super) fn taken(object: &str) -> MemberError {
    let words = format!("a Job {object} that is not of this share is there already");
    MemberError::new(Class::Conflict, words)
}

/// Others got in the way of every try.
pub(super) fn changed(object: &str) -> MemberError {
    let words = format!("the Job {object} was changed or deleted meanwhile");
    MemberError::new(Class::Throttled, words)
}

#[cfg(test)]
pub(super) mod tests;
