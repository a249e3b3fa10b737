//! Copies of the host's ConfigMaps and Secrets on a Kubernetes member. Every call can be repeated; nothing foreign is
//! touched, and what is ours is changed and deleted only as it was looked at.
//!
//! A copy is owned by the objects of the shares that use it (`ownerReferences`), so that the member itself deletes it
//! with the last of them, also when no operator runs. Objects are asked for by name alone: no right to list is needed.

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Map, Value, json};
use sky_core::config::{Config, ConfigKind, Content, User, Wanted};
use sky_core::marks;
use sky_core::namespace::Namespace;
use sky_core::share::ShareKey;
use sky_core::workload::Kind;

use super::dispatch::TRIES;
use super::errors::classify;
use super::namespace::{self, FIELD_MANAGER};
use crate::{Class, Ensured, MemberError};

/// Makes the ConfigMap or Secret as it is wanted.
pub(super) async fn ensure(client: &Client, config: &Config) -> Result<Ensured, MemberError> {
    let resource = match config.name.kind {
        ConfigKind::ConfigMap => ApiResource::erase::<ConfigMap>(&()),
        ConfigKind::Secret => ApiResource::erase::<Secret>(&()),
    };
    let site = Site {
        client,
        api: Api::namespaced_with(client.clone(), &config.namespace, &resource),
        resource,
        config,
    };
    for _ in 0..TRIES {
        let present = site.look().await?;
        let done = match (&config.wanted, present) {
            (Wanted::There, None) => Some(Ensured::Absent),
            (Wanted::There, Some(_)) | (Wanted::Released(_), None) => Some(Ensured::Present),
            (Wanted::Held { content, user }, None) => {
                site.create(body(content), owners(&[], Some(user))).await?
            }
            (Wanted::Held { content, user }, Some(present)) => site.keep(&present, content, user).await?,
            (Wanted::Released(user), Some(present)) => site.release(&present, user.as_ref()).await?,
        };
        if let Some(done) = done {
            return Ok(done);
        }
    }
    Err(site.error(Class::Throttled, "was changed or deleted meanwhile"))
}

/// One ConfigMap or Secret of one member.
struct Site<'s> {
    client: &'s Client,
    api: Api<DynamicObject>,
    resource: ApiResource,
    config: &'s Config,
}

impl Site<'_> {
    fn error(&self, class: Class, words: &str) -> MemberError {
        MemberError::new(class, format!("the {} there {words}", self.config.name))
    }

    /// The class of what the API server answered. Who joined before copies were made lacks the rights.
    fn classify(&self, error: &kube::Error) -> MemberError {
        let mut found = classify(error);
        if matches!(error, kube::Error::Api(status) if status.code == 403)
            && found.class == Class::Unauthorized
        {
            found.message.push_str(
                "; run `kubectl sky join` for this member again: it grants what copying ConfigMaps and Secrets needs",
            );
        }
        found
    }

    async fn look(&self) -> Result<Option<DynamicObject>, MemberError> {
        let found = self.api.get_opt(&self.config.name.name).await;
        found.map_err(|error| self.classify(&error))
    }

    /// `None`: something of the name is there by now.
    async fn create(&self, body: Value, owners: Vec<OwnerReference>) -> Result<Option<Ensured>, MemberError> {
        let Wanted::Held { content, .. } = &self.config.wanted else {
            return Ok(None);
        };
        let object = self.object(content, body, owners);
        let mut created = self.api.create(&params(), &object).await;
        if let Err(kube::Error::Api(status)) = &created
            && status.code == 404
            && status.message.contains("namespaces")
        {
            namespace::supply(self.client, &self.config.origin, &self.config.namespace).await?;
            created = self.api.create(&params(), &object).await;
        }
        match created {
            Ok(_) => Ok(Some(Ensured::Created)),
            // A quota that others use at the same moment is a conflict too, and says nothing about the name.
            Err(kube::Error::Api(status)) if status.code == 409 && status.reason == "Conflict" => {
                Err(MemberError::new(Class::Throttled, status.message))
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(self.classify(&error)),
        }
    }

    fn object(&self, content: &Content, body: Value, owners: Vec<OwnerReference>) -> DynamicObject {
        let mut object = DynamicObject::new(&self.config.name.name, &self.resource);
        let metadata = &mut object.metadata;
        metadata.namespace = Some(self.config.namespace.clone());
        let (mut labels, mut annotations) = (content.labels.clone(), content.annotations.clone());
        let applied = Namespace::fingerprint(&labels, &annotations);
        labels.insert(marks::ORIGIN.to_owned(), self.config.origin.clone());
        annotations.insert(marks::COPY_OF.to_owned(), content.source.clone());
        annotations.insert(marks::APPLIED.to_owned(), applied);
        metadata.labels = Some(labels);
        metadata.annotations = Some(annotations);
        metadata.owner_references = Some(owners).filter(|owners| !owners.is_empty());
        object.data = body;
        object
    }

    fn is_ours(&self, present: &DynamicObject) -> bool {
        present.labels().get(marks::ORIGIN) == Some(&self.config.origin)
            && present.annotations().contains_key(marks::COPY_OF)
    }

    /// `None`: it was changed or deleted meanwhile.
    async fn keep(
        &self,
        present: &DynamicObject,
        content: &Content,
        user: &User,
    ) -> Result<Option<Ensured>, MemberError> {
        // The host itself is a member.
        if present.metadata.uid.as_deref() == Some(content.source.as_str()) {
            return Ok(Some(Ensured::Present));
        }
        if !self.is_ours(present) {
            let words = "is not ours, and is not overwritten: remove it, rename one of the two, or set followConfig: false \
                         to use it";
            return Err(self.error(Class::Conflict, words));
        }
        if present.metadata.deletion_timestamp.is_some() {
            return Err(self.error(Class::Throttled, "is being deleted"));
        }
        let body = body(content);
        let mut wanted = self.object(
            content,
            body.clone(),
            owners(present.owner_references(), Some(user)),
        );
        if is_as(present, &wanted) {
            return Ok(Some(Ensured::Present));
        }
        if is_fixed(&present.data, &body) {
            if !self.delete(present).await? {
                return Ok(None);
            }
            let created = self.create(body, wanted.metadata.owner_references.unwrap_or_default());
            return Ok(created.await?.map(|_| Ensured::Updated));
        }
        self.replace(present, &mut wanted).await
    }

    async fn release(
        &self,
        present: &DynamicObject,
        user: Option<&ShareKey>,
    ) -> Result<Option<Ensured>, MemberError> {
        if !self.is_ours(present) || present.metadata.deletion_timestamp.is_some() {
            return Ok(Some(Ensured::Present));
        }
        let mut left = present.owner_references().to_vec();
        left.retain(|owner| user.is_none_or(|user| !is_of(owner, user)));
        if left.is_empty() {
            return Ok(self.delete(present).await?.then_some(Ensured::Updated));
        }
        if left.len() == present.owner_references().len() {
            return Ok(Some(Ensured::Present));
        }
        let mut fewer = present.clone();
        fewer.metadata.owner_references = Some(left);
        self.replace(present, &mut fewer).await
    }

    async fn replace(
        &self,
        present: &DynamicObject,
        wanted: &mut DynamicObject,
    ) -> Result<Option<Ensured>, MemberError> {
        wanted.metadata.uid = present.uid();
        wanted.metadata.resource_version = present.resource_version();
        wanted.metadata.finalizers = present.metadata.finalizers.clone();
        wanted.metadata.managed_fields = None;
        match self.api.replace(&self.config.name.name, &params(), wanted).await {
            Ok(_) => Ok(Some(Ensured::Updated)),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(self.classify(&error)),
        }
    }

    /// Just this object, as it was looked at. False: it is not that any more.
    async fn delete(&self, present: &DynamicObject) -> Result<bool, MemberError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: present.uid(),
                resource_version: present.resource_version(),
            }),
            ..DeleteParams::default()
        };
        match self.api.delete(&self.config.name.name, &params).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(self.classify(&error)),
        }
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

/// What the object holds, as the API writes it: nothing is written as absent.
fn body(content: &Content) -> Value {
    let bytes: Map<String, Value> = content
        .bytes
        .iter()
        .map(|(key, bytes)| (key.clone(), json!(k8s_openapi::ByteString(bytes.clone()))))
        .collect();
    let mut body = Map::new();
    let mut put = |field: &str, value: Value, absent: bool| {
        if !absent {
            body.insert(field.to_owned(), value);
        }
    };
    match &content.secret_type {
        Some(kind) => {
            put("type", json!(kind), false);
            put("data", json!(bytes), bytes.is_empty());
        }
        None => {
            put("data", json!(content.texts), content.texts.is_empty());
            put("binaryData", json!(bytes), bytes.is_empty());
        }
    }
    put("immutable", json!(true), !content.immutable);
    Value::Object(body)
}

/// A field of an object as it is compared: absent, empty and false are one.
fn field<'b>(body: &'b Value, name: &str) -> Option<&'b Value> {
    let found = body.get(name)?;
    let nothing = found.is_null() || *found == json!({}) || *found == json!(false);
    (!nothing).then_some(found)
}

fn differs(present: &Value, wanted: &Value, fields: &[&str]) -> bool {
    fields
        .iter()
        .any(|name| field(present, name) != field(wanted, name))
}

/// Whether nothing is to be written. Labels and annotations that others have added are left alone.
fn is_as(present: &DynamicObject, wanted: &DynamicObject) -> bool {
    let carries = |has: &std::collections::BTreeMap<String, String>,
                   wants: &std::collections::BTreeMap<String, String>| {
        wants.iter().all(|(key, value)| has.get(key) == Some(value))
    };
    !differs(
        &present.data,
        &wanted.data,
        &["data", "binaryData", "immutable", "type"],
    ) && carries(present.labels(), wanted.labels())
        && carries(present.annotations(), wanted.annotations())
        && present.owner_references() == wanted.owner_references()
}

/// Whether the API server would refuse the change: then another object takes its place.
fn is_fixed(present: &Value, wanted: &Value) -> bool {
    let locked = field(present, "immutable").is_some()
        && differs(present, wanted, &["data", "binaryData", "immutable"]);
    locked || differs(present, wanted, &["type"])
}

/// The owners with `user` among them. Of one name there is one object: another one of the user's name is gone.
fn owners(present: &[OwnerReference], user: Option<&User>) -> Vec<OwnerReference> {
    let mut owners = present.to_vec();
    let Some(User { key, instance }) = user else {
        return owners;
    };
    owners.retain(|owner| !is_of(owner, key) || Some(&owner.uid) == instance.as_ref());
    if let Some(uid) = instance
        && !owners.iter().any(|owner| owner.uid == *uid)
    {
        let (api_version, kind) = kind_of(key);
        owners.push(OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            name: key.object.clone(),
            uid: uid.clone(),
            controller: None,
            block_owner_deletion: None,
        });
    }
    owners
}

fn is_of(owner: &OwnerReference, share: &ShareKey) -> bool {
    let (api_version, kind) = kind_of(share);
    owner.api_version == api_version && owner.kind == kind && owner.name == share.object
}

/// Version and kind of a share's object.
fn kind_of(share: &ShareKey) -> (&'static str, &'static str) {
    match share.kind {
        Kind::SkyJob => ("batch/v1", "Job"),
        Kind::SkyDeployment => ("apps/v1", "Deployment"),
    }
}

#[cfg(test)]
mod tests;
