//! Takes shares away from a Kubernetes member: deletes a Job, holds it back, or makes a tombstone of it. Every call can
//! be repeated; nothing foreign is touched. Whether a replica started while it was being held back, `past` knows.

use std::fmt::Debug;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod as ApiPod;
use kube::api::{ApiResource, DeleteParams, ListParams, Preconditions, PropagationPolicy};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use sky_core::marks;
use sky_core::share::ShareKey;

use super::dispatch::{TRIES, change, changed, create, is_suspended, taken};
use super::errors::classify;
use super::pod::{self, LeanPod};
use super::{object, observe, stamp};
use crate::{Class, MemberError, Tombstone, Withdraw, Withdrawn};

/// Begins to take the share under `key` away, as `how` says, when it is ours.
pub(super) async fn withdraw(
    client: &Client,
    origin: &str,
    key: &ShareKey,
    how: Withdraw,
) -> Result<Withdrawn, MemberError> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &key.namespace);
    match how {
        Withdraw::Remove => remove(&jobs, origin, key).await,
        Withdraw::IfNotStarted => hold_back(client, &jobs, origin, key).await,
        Withdraw::Always(tombstone) => bury(client, &jobs, key, &tombstone).await,
    }
}

/// The object under `key`, which must be ours.
async fn ours<K>(objects: &Api<K>, origin: &str, key: &ShareKey) -> Result<Option<K>, MemberError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let present = look(objects, key).await?;
    let foreign = |object: &K| stamp::read(object).is_none_or(|stamp| stamp.origin != origin);
    if present.as_ref().is_some_and(foreign) {
        let words = format!("the {} {} is not ours", K::kind(&()), key.object);
        return Err(MemberError::new(Class::Conflict, words));
    }
    Ok(present)
}

async fn look<K>(objects: &Api<K>, key: &ShareKey) -> Result<Option<K>, MemberError>
where
    K: Clone + DeserializeOwned + Debug,
{
    objects
        .get_opt(&key.object)
        .await
        .map_err(|error| classify(&error))
}

/// Deletes the object. It stays until its pods are gone, so that nothing of it runs on unseen.
pub(super) async fn remove<K>(
    objects: &Api<K>,
    origin: &str,
    key: &ShareKey,
) -> Result<Withdrawn, MemberError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let Some(present) = ours(objects, origin, key).await? else {
        return Ok(Withdrawn::Gone);
    };
    if is_leaving(&present) {
        return Ok(Withdrawn::Going);
    }
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Foreground),
        preconditions: Some(Preconditions {
            uid: present.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match objects.delete(&key.object, &params).await {
        Ok(_) => Ok(Withdrawn::Going),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Withdrawn::Gone),
        Err(error) => Err(classify(&error)),
    }
}

/// Suspends the Job unless a replica of it has started, or it is over. A replica may start between the look and the
/// change: it is then killed by the suspension, and what is observed of the Job says so.
async fn hold_back(
    client: &Client,
    jobs: &Api<Job>,
    origin: &str,
    key: &ShareKey,
) -> Result<Withdrawn, MemberError> {
    for _ in 0..TRIES {
        let Some(present) = ours(jobs, origin, key).await? else {
            return Ok(Withdrawn::Gone);
        };
        let status = present.status.clone().unwrap_or_default();
        if observe::end(&status).is_some() {
            return Ok(Withdrawn::Started);
        }
        // Before pods are looked at: of one that is held back already, a replica that did start is being killed.
        if is_leaving(&present) || is_suspended(&present) {
            return Ok(Withdrawn::Going);
        }
        if status.succeeded.unwrap_or(0) > 0 || has_started(client, &present, key).await? {
            return Ok(Withdrawn::Started);
        }
        // The Job controller has not taken in yet that it was resumed. Were it suspended again now, what the status says
        // of the suspension before would pass for this one, while pods are being created.
        if observe::holds(&status, "Suspended").is_some() {
            let words = format!("the Job {} is just being resumed", key.object);
            return Err(MemberError::new(Class::Throttled, words));
        }
        if change(jobs, &present, json!({"spec": {"suspend": true}})).await? {
            return Ok(Withdrawn::Going);
        }
    }
    Err(changed(&key.object))
}

/// Whether a container of any pod of the Job has ever started, by the API server itself: a cache may be behind. A failure
/// counts as a start unless the pod is there to show that its node turned it away.
async fn has_started(client: &Client, job: &Job, key: &ShareKey) -> Result<bool, MemberError> {
    let resource = ApiResource::erase::<ApiPod>(&());
    let pods: Api<LeanPod> = Api::namespaced_with(client.clone(), &key.namespace, &resource);
    let of_share = ListParams::default().labels(&format!("{}={}", marks::SHARE, key.object));
    let pods = pods.list(&of_share).await.map_err(|error| classify(&error))?;
    let uid = job.uid();
    let own = pods.items.iter().filter(|pod| pod::owner(pod) == uid.as_deref());
    let own: Vec<pod::Pod> = own.map(pod::trim).collect();
    let failed = job.status.as_ref().and_then(|status| status.failed).unwrap_or(0);
    let turned_away = own.iter().filter(|pod| pod.turned_away).count();
    let failed = usize::try_from(failed).unwrap_or(0);
    Ok(failed > turned_away || own.iter().any(|pod| pod.started))
}

/// Makes a tombstone of the Job, or creates one under its name. Of one that is over, nothing runs any more: it is marked
/// only. A parallelism of 0 besides, so that it stays inert even when somebody else resumes it.
async fn bury(
    client: &Client,
    jobs: &Api<Job>,
    key: &ShareKey,
    tombstone: &Tombstone,
) -> Result<Withdrawn, MemberError> {
    for _ in 0..TRIES {
        let Some(present) = look(jobs, key).await? else {
            if create(
                client,
                key,
                &tombstone.stamp.origin,
                object::tombstone(key, tombstone),
            )
            .await?
            {
                return Ok(Withdrawn::Going);
            }
            continue;
        };
        if !stamp::read(&present).is_some_and(|stamp| stamp.is_of_same_share(&tombstone.stamp)) {
            return Err(taken(&key.object));
        }
        if is_leaving(&present) {
            let words = format!("the Job {} is still on its way out", key.object);
            return Err(MemberError::new(Class::Throttled, words));
        }
        let marked = stamp::tombstone(&present).is_some();
        let status = present.status.as_ref();
        let over = status.is_some_and(|status| observe::end(status).is_some());
        if marked && (over || is_suspended(&present)) {
            return Ok(Withdrawn::Going);
        }
        let mut patch = json!({});
        if !marked {
            let since = tombstone.since.to_string();
            patch["metadata"]["annotations"][marks::TOMBSTONE] = json!(since);
        }
        if !over {
            patch["spec"] = json!({"suspend": true, "parallelism": 0});
        }
        if change(jobs, &present, patch).await? {
            return Ok(Withdrawn::Going);
        }
    }
    Err(changed(&key.object))
}

fn is_leaving(object: &impl ResourceExt) -> bool {
    object.meta().deletion_timestamp.is_some()
}

#[cfg(test)]
mod tests;
