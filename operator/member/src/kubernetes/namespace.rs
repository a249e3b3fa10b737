//! Namespaces on a Kubernetes member: created, adopted, marked, released, removed. Every call can be repeated.
//!
//! What a namespace carries for us is put onto it by server-side apply, so that the API server itself takes off what is
//! not wanted any more and leaves alone what others wrote. The marks that decide about a deletion are written by fenced
//! patches. `contents` says whether a namespace holds anything.

use k8s_openapi::api::core::v1::Namespace as ApiNamespace;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use sky_core::labels::Labels;
use sky_core::marks;
use sky_core::namespace::{Namespace, SeenNamespace, Wanted};

use super::contents;
use super::dispatch::TRIES;
use super::errors::classify;
use crate::{Class, Ensured, MemberError};

/// Under this name fields of namespaces are ours.
pub(super) const FIELD_MANAGER: &str = "skymanager.io/operator";

/// Makes the namespace as it is wanted.
pub(super) async fn ensure(client: &Client, namespace: &Namespace) -> Result<Ensured, MemberError> {
    let site = Site {
        client,
        all: Api::all(client.clone()),
        name: &namespace.name,
        origin: &namespace.origin,
    };
    match &namespace.wanted {
        Wanted::Held { labels, annotations } => site.hold(labels, annotations).await,
        Wanted::Needed => site.need().await,
        Wanted::Idle { since } => site.mark_idle(*since).await,
        Wanted::Released => site.release().await,
        Wanted::Gone { instance, version } => site.remove(instance, version).await,
    }
}

/// Has the namespace there for what could not be created, because it was missing.
pub(super) async fn supply(client: &Client, origin: &str, name: &str) -> Result<(), MemberError> {
    let all = Api::all(client.clone());
    let site = Site {
        client,
        all,
        name,
        origin,
    };
    if site.create().await?.is_none() {
        site.need().await?;
    }
    Ok(())
}

/// What is seen of a namespace; `None` when it does not carry `origin`.
pub(super) fn read(api: &ApiNamespace, origin: &str) -> Option<SeenNamespace> {
    (api.labels().get(marks::ORIGIN)? == origin).then(|| SeenNamespace {
        name: api.name_any(),
        instance: api.uid().unwrap_or_default(),
        version: api.resource_version().unwrap_or_default(),
        created: is_created_by(api, origin),
        labels: api.labels().clone(),
        annotations: api.annotations().clone(),
        // One that cannot be read was changed by somebody: as if it were new for ever, nothing is deleted for it.
        idle_since: api
            .annotations()
            .get(marks::IDLE_SINCE)
            .map(|since| since.parse().unwrap_or(i64::MAX)),
        deleting: is_leaving(api),
    })
}

fn is_created_by(api: &ApiNamespace, origin: &str) -> bool {
    api.annotations().get(marks::CREATED_BY).map(String::as_str) == Some(origin)
}

fn is_leaving(api: &ApiNamespace) -> bool {
    api.metadata.deletion_timestamp.is_some()
}

/// One namespace of one member.
struct Site<'s> {
    client: &'s Client,
    all: Api<ApiNamespace>,
    name: &'s str,
    origin: &'s str,
}

impl Site<'_> {
    async fn look(&self) -> Result<Option<ApiNamespace>, MemberError> {
        self.all
            .get_opt(self.name)
            .await
            .map_err(|error| classify(&error))
    }

    fn error(&self, class: Class, words: &str) -> MemberError {
        MemberError::new(class, format!("the namespace {} {words}", self.name))
    }

    fn changed(&self) -> MemberError {
        self.error(Class::Throttled, "was changed or deleted meanwhile")
    }

    /// Creates it, marked as created by us. `None`: somebody was faster.
    async fn create(&self) -> Result<Option<ApiNamespace>, MemberError> {
        let namespace = json!({"metadata": {
            "name": self.name,
            "labels": {marks::ORIGIN: self.origin},
            "annotations": {marks::CREATED_BY: self.origin},
        }});
        let namespace: ApiNamespace = serde_json::from_value(namespace)
            .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))?;
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.all.create(&params, &namespace).await {
            Ok(created) => Ok(Some(created)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(classify(&error)),
        }
    }

    /// The namespace as it is, created if need be; and whether it was.
    async fn find_or_create(&self) -> Result<(ApiNamespace, bool), MemberError> {
        for _ in 0..TRIES {
            if let Some(present) = self.look().await? {
                if is_leaving(&present) {
                    return Err(self.error(Class::Throttled, "is being terminated"));
                }
                return Ok((present, false));
            }
            if let Some(created) = self.create().await? {
                return Ok((created, true));
            }
        }
        Err(self.changed())
    }

    async fn need(&self) -> Result<Ensured, MemberError> {
        let (present, created) = self.find_or_create().await?;
        if created {
            return Ok(Ensured::Created);
        }
        if is_created_by(&present, self.origin) && present.annotations().contains_key(marks::IDLE_SINCE) {
            self.mark(&present, Value::Null).await?;
            return Ok(Ensured::Updated);
        }
        Ok(Ensured::Present)
    }

    async fn hold(&self, labels: &Labels, annotations: &Labels) -> Result<Ensured, MemberError> {
        let (mut present, made) = self.find_or_create().await?;
        let owner = present.labels().get(marks::ORIGIN);
        if owner.is_some_and(|owner| owner != self.origin) {
            return Err(self.error(Class::Conflict, "belongs to another host of Sky Manager"));
        }
        let mut done = if made { Ensured::Created } else { Ensured::Present };
        if present.annotations().contains_key(marks::IDLE_SINCE) {
            present = self.mark(&present, Value::Null).await?;
            done = Ensured::Updated;
        }
        if read(&present, self.origin).is_some_and(|seen| seen.carries(labels, annotations)) {
            return Ok(done);
        }
        let created = is_created_by(&present, self.origin);
        let (mut labels, mut annotations) = Namespace::permitted(labels, annotations, created);
        let applied = Namespace::fingerprint(&labels, &annotations);
        labels.insert(marks::ORIGIN.to_owned(), self.origin.to_owned());
        annotations.insert(marks::APPLIED.to_owned(), applied);
        self.apply(&present, json!({"labels": labels, "annotations": annotations}))
            .await?;
        Ok(if made { Ensured::Created } else { Ensured::Updated })
    }

    /// What we put onto the namespace is this and nothing else from now on.
    async fn apply(&self, present: &ApiNamespace, mut metadata: Value) -> Result<(), MemberError> {
        metadata["name"] = json!(self.name);
        metadata["uid"] = json!(present.uid());
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match self.all.patch(self.name, &params, &Patch::Apply(object)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(self.changed()),
            Err(error) => Err(classify(&error)),
        }
    }

    /// Writes the idle mark, or takes it off, if the namespace is still as `present`.
    async fn mark(&self, present: &ApiNamespace, since: Value) -> Result<ApiNamespace, MemberError> {
        let patch = json!({"metadata": {
            "uid": present.uid(),
            "resourceVersion": present.resource_version(),
            "annotations": {marks::IDLE_SINCE: since},
        }});
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match self.all.patch(self.name, &params, &Patch::Merge(patch)).await {
            Ok(patched) => Ok(patched),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Err(self.changed()),
            Err(error) => Err(classify(&error)),
        }
    }

    /// The namespace, when it is there and not on its way out; it must be one that we created.
    async fn ours(&self) -> Result<Option<ApiNamespace>, MemberError> {
        let Some(present) = self.look().await?.filter(|present| !is_leaving(present)) else {
            return Ok(None);
        };
        if !is_created_by(&present, self.origin) {
            return Err(self.error(Class::Conflict, "was not created by this host"));
        }
        Ok(Some(present))
    }

    async fn mark_idle(&self, since: i64) -> Result<Ensured, MemberError> {
        let Some(present) = self.ours().await? else {
            return Ok(Ensured::Present);
        };
        if present.annotations().contains_key(marks::IDLE_SINCE) {
            return Ok(Ensured::Present);
        }
        self.mark(&present, json!(since.to_string())).await?;
        // Counting takes a moment: it is done when the mark has stood for long enough.
        contents::count(self.client, self.name).await?;
        Ok(Ensured::Updated)
    }

    async fn release(&self) -> Result<Ensured, MemberError> {
        let present = self.look().await?.filter(|present| !is_leaving(present));
        let Some(present) = present.filter(|present| read(present, self.origin).is_some()) else {
            return Ok(Ensured::Present);
        };
        if is_created_by(&present, self.origin) {
            return Err(self.error(Class::Conflict, "was created by this host, not adopted"));
        }
        self.apply(&present, json!({})).await?;
        Ok(Ensured::Updated)
    }

    async fn remove(&self, instance: &str, version: &str) -> Result<Ensured, MemberError> {
        let Some(present) = self.ours().await? else {
            return Ok(Ensured::Present);
        };
        let is_as_seen = present.uid().as_deref() == Some(instance)
            && present.resource_version().as_deref() == Some(version);
        if !is_as_seen || !present.annotations().contains_key(marks::IDLE_SINCE) {
            return Err(self.changed());
        }
        contents::none(self.client, self.name).await?;
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(instance.to_owned()),
                resource_version: Some(version.to_owned()),
            }),
            ..DeleteParams::default()
        };
        match self.all.delete(self.name, &params).await {
            Ok(_) => Ok(Ensured::Updated),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Ensured::Present),
            Err(kube::Error::Api(status)) if status.code == 409 => Err(self.changed()),
            Err(error) => Err(classify(&error)),
        }
    }
}

#[cfg(test)]
mod tests;
