//! Sends shares to a Kubernetes member and removes them. Every call can be repeated; nothing foreign is touched.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use sky_core::share::{Share, ShareKey};

use super::errors::classify;
use super::{object, stamp};
use crate::{Class, Ensured, MemberError, Withdrawn};

/// How often a change is tried that others get in the way of.
const TRIES: u32 = 5;

/// Creates the Job of `share`, or finds it, or changes whether it is suspended.
pub(super) async fn ensure_share(client: &Client, share: &Share) -> Result<Ensured, MemberError> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &share.key.namespace);
    if share.known {
        return adjust(&jobs, share).await;
    }
    let job: Job = serde_json::from_value(object::job(share)).map_err(|error| {
        MemberError::new(
            Class::Rejected,
            format!("the template is no pod template: {error}"),
        )
    })?;
    match jobs.create(&PostParams::default(), &job).await {
        Ok(_) => return Ok(Ensured::Created),
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(kube::Error::Api(status)) if status.code == 404 && status.message.contains("namespaces") => {
            ensure_namespace(client, &share.key.namespace).await?;
            return jobs
                .create(&PostParams::default(), &job)
                .await
                .map(|_| Ensured::Created)
                .map_err(|e| classify(&e));
        }
        Err(error) => return Err(classify(&error)),
    }
    adjust(&jobs, share).await
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
            let words = format!("a Job {object} that is not of this share is there already");
            return Err(MemberError::new(Class::Conflict, words));
        }
        let spec = present.spec.as_ref();
        if spec.and_then(|spec| spec.suspend).unwrap_or(false) == share.suspended {
            return Ok(Ensured::Present);
        }
        let fence = json!({"uid": present.uid(), "resourceVersion": present.resource_version()});
        let patch = json!({"metadata": fence, "spec": {"suspend": share.suspended}});
        match jobs
            .patch(object, &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(_) => return Ok(Ensured::Updated),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(classify(&error)),
        }
    }
    let words = format!("the Job {object} was changed or deleted meanwhile");
    Err(MemberError::new(Class::Conflict, words))
}

/// Creates the namespace unless it is there.
pub(super) async fn ensure_namespace(client: &Client, name: &str) -> Result<Ensured, MemberError> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))
        .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))?;
    match Api::<Namespace>::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
    {
        Ok(_) => Ok(Ensured::Created),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Ensured::Present),
        Err(error) => Err(classify(&error)),
    }
}

/// Deletes the Job under `key` when it is ours. It stays until its pods are gone, so that nothing of it runs on
/// unseen.
pub(super) async fn withdraw(
    client: &Client,
    origin: &str,
    key: &ShareKey,
) -> Result<Withdrawn, MemberError> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &key.namespace);
    let Some(present) = jobs
        .get_opt(&key.object)
        .await
        .map_err(|error| classify(&error))?
    else {
        return Ok(Withdrawn::Gone);
    };
    if stamp::read(&present).is_none_or(|stamp| stamp.origin != origin) {
        return Err(MemberError::new(
            Class::Conflict,
            format!("the Job {} is not ours", key.object),
        ));
    }
    if present.metadata.deletion_timestamp.is_some() {
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
    match jobs.delete(&key.object, &params).await {
        Ok(_) => Ok(Withdrawn::Going),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Withdrawn::Gone),
        Err(error) => Err(classify(&error)),
    }
}

#[cfg(test)]
mod tests;
