//! ConfigMaps and Secrets of the host, read one by one and by name. What a Secret holds is in memory only while it is
//! being copied.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, ResourceExt};
use sky_convert::config::{of_config_map, of_secret};
use sky_core::config::{ConfigKind, ConfigName, Content, reason};
use sky_core::observation::Trouble;
use sky_member::{Class, MemberError};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::host;

/// The operator's namespace, unless it was told otherwise.
const DEFAULT_NAMESPACE: &str = "sky-system";
/// Reads that may be under way at once.
const READS: usize = 16;
/// For so long what the host said is good enough for another workload that names the same.
const FRESH: Duration = Duration::from_secs(20);
/// Nobody asked for this long: it is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3600);
/// Objects that are looked at in a second, when there are very many.
const A_SECOND: u32 = 50;

/// What the host has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// An object of this uid and version.
    Of(String),
    /// Nothing that could be copied, and why.
    Lacking(Trouble),
}

/// The host's objects.
pub(super) struct Source {
    client: Client,
    /// The operator's own: nothing is copied from there.
    namespace: String,
    seen: Mutex<HashMap<(String, ConfigName), (Version, Instant)>>,
    reads: Semaphore,
}

impl Source {
    pub(super) fn new(client: Client, namespace: String) -> Self {
        Self {
            client,
            namespace,
            seen: Mutex::default(),
            reads: Semaphore::new(READS),
        }
    }

    /// Between two looks at one object, when there are so many to look at as now: `least`, or longer.
    pub(super) fn period(&self, least: Duration) -> Duration {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let many = u32::try_from(seen.len()).unwrap_or(u32::MAX);
        least.max(Duration::from_secs(1) * (many / A_SECOND))
    }

    /// What there is, said within the last seconds. Not what it holds.
    pub(super) async fn version(&self, namespace: &str, name: &ConfigName) -> Result<Version, MemberError> {
        let key = (namespace.to_owned(), name.clone());
        {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((version, at)) = seen.get(&key)
                && at.elapsed() < FRESH
            {
                return Ok(version.clone());
            }
        }
        if let Some(why) = self.own(namespace, name) {
            return Ok(Version::Lacking(why));
        }
        let _place = self.reads.acquire().await;
        let found = match name.kind {
            ConfigKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                let found = host::within(api.get_metadata(&name.name)).await;
                found.map(|object| version_of(&object))
            }
            ConfigKind::Secret => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                let found = host::within(api.get_metadata(&name.name)).await;
                found.map(|object| version_of(&object))
            }
        };
        let version = match found {
            Ok(version) => Version::Of(version),
            Err(error) => Version::Lacking(self.lacking(namespace, name, &error)?),
        };
        self.note(key, version.clone());
        Ok(version)
    }

    /// What there is and what it holds, as it is now.
    pub(super) async fn read(&self, namespace: &str, name: &ConfigName) -> Result<Found, MemberError> {
        if let Some(why) = self.own(namespace, name) {
            return Ok(Found::lacking(why));
        }
        let place = self.reads.acquire().await;
        let found = match name.kind {
            ConfigKind::ConfigMap => {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
                let found = host::within(api.get(&name.name)).await;
                found.map(|map| (version_of(&map), Ok(of_config_map(map))))
            }
            ConfigKind::Secret => {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
                let found = host::within(api.get(&name.name)).await;
                found.map(|secret| (version_of(&secret), of_secret(secret)))
            }
        };
        drop(place);
        let found = match found {
            Ok((version, content)) => Found {
                version: Version::Of(version),
                content: content.map(Arc::new).map_err(|words| Trouble {
                    reason: reason::NOT_COPIED.into(),
                    message: format!("{name} {words}: put one of that name onto the member yourself"),
                }),
            },
            Err(error) => Found::lacking(self.lacking(namespace, name, &error)?),
        };
        self.note((namespace.to_owned(), name.clone()), found.version.clone());
        Ok(found)
    }

    /// The operator may read its own namespace, whose Secrets open its members: what users name there is not copied.
    fn own(&self, namespace: &str, name: &ConfigName) -> Option<Trouble> {
        (namespace == self.namespace).then(|| Trouble {
            reason: reason::NOT_COPIED.into(),
            message: format!(
                "{name} is in the operator's own namespace, and nothing is copied from there: use another namespace"
            ),
        })
    }

    /// Why there is nothing that could be copied, when that is what `error` says.
    fn lacking(
        &self,
        namespace: &str,
        name: &ConfigName,
        error: &kube::Error,
    ) -> Result<Trouble, MemberError> {
        match error {
            kube::Error::Api(status) if status.code == 404 => Ok(Trouble {
                reason: reason::MISSING.into(),
                message: format!(
                    "{name} is neither in namespace {namespace} of the host nor on the member: create it"
                ),
            }),
            kube::Error::Api(status) if status.code == 403 => {
                let other = if self.namespace == DEFAULT_NAMESPACE {
                    String::new()
                } else {
                    format!(" --operator-namespace {}", self.namespace)
                };
                Ok(Trouble {
                    reason: reason::FORBIDDEN.into(),
                    message: format!(
                        "the operator may not read {name} of namespace {namespace}: run `kubectl sky allow-config \
                         {namespace}{other}`, or set followConfig: false"
                    ),
                })
            }
            // Its words could hold what the object holds: they are not repeated.
            kube::Error::SerdeError(_) => {
                let words = format!("the host's {name} cannot be read");
                Err(MemberError::new(Class::Throttled, words))
            }
            other => {
                let words = format!("the host's {name} could not be read: {other}");
                Err(MemberError::new(Class::Throttled, words))
            }
        }
    }

    fn note(&self, key: (String, ConfigName), version: Version) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(key, (version, Instant::now()));
        if seen.len().is_multiple_of(1024) {
            seen.retain(|_, (_, at)| at.elapsed() < FORGOTTEN);
        }
    }
}

/// What a read found.
pub(super) struct Found {
    /// Tells whether it has changed.
    pub(super) version: Version,
    /// What it holds; else why it is not copied.
    pub(super) content: Result<Arc<Content>, Trouble>,
}

impl Found {
    fn lacking(why: Trouble) -> Self {
        Self {
            version: Version::Lacking(why.clone()),
            content: Err(why),
        }
    }
}

fn version_of(object: &impl ResourceExt) -> String {
    let version = object.resource_version().unwrap_or_default();
    format!("{} {version}", object.uid().unwrap_or_default())
}
