//! The host's identity: a random id in a ConfigMap, stamped on everything we create on members.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use sky_crds::names::ORIGIN_CONFIG_MAP;
use thiserror::Error;

use crate::host;

const KEY: &str = "origin";

/// Why the identity is not known.
#[derive(Debug, Error)]
pub enum OriginError {
    /// The host did not answer as needed.
    #[error("read or create ConfigMap {ORIGIN_CONFIG_MAP} in namespace {namespace}: {source}")]
    Host {
        /// The operator's namespace.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
    /// The ConfigMap is there, but holds no usable identity.
    #[error(
        "use ConfigMap {ORIGIN_CONFIG_MAP}: its key {KEY} must be 1 to 63 letters, digits or dashes; restore it, since \
         shares on members are found by it"
    )]
    Unusable,
}

/// The identity of this host; `None` when there is none yet.
///
/// # Errors
/// When the ConfigMap cannot be read, or holds something else.
pub async fn find(client: &Client, namespace: &str) -> Result<Option<String>, OriginError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let found = host::within(maps.get_opt(ORIGIN_CONFIG_MAP)).await;
    let found = found.map_err(|source| OriginError::Host {
        namespace: namespace.to_owned(),
        source,
    })?;
    found.map(|map| read(&map)).transpose()
}

/// The identity of this host, made and stored when there is none.
///
/// # Errors
/// When the ConfigMap can be neither read nor created, or holds something else.
pub async fn ensure(client: &Client, namespace: &str) -> Result<String, OriginError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let failed = |source| OriginError::Host {
        namespace: namespace.to_owned(),
        source,
    };
    if let Some(origin) = find(client, namespace).await? {
        return Ok(origin);
    }
    let fresh = ConfigMap {
        metadata: ObjectMeta {
            name: Some(ORIGIN_CONFIG_MAP.into()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(
            KEY.to_owned(),
            uuid::Uuid::new_v4().simple().to_string(),
        )])),
        ..ConfigMap::default()
    };
    match host::within(maps.create(&PostParams::default(), &fresh)).await {
        Ok(map) => read(&map),
        // Another instance was faster.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            read(&maps.get(ORIGIN_CONFIG_MAP).await.map_err(failed)?)
        }
        Err(source) => Err(failed(source)),
    }
}

fn read(map: &ConfigMap) -> Result<String, OriginError> {
    let origin = map
        .data
        .as_ref()
        .and_then(|data| data.get(KEY))
        .ok_or(OriginError::Unusable)?;
    let usable =
        (1..=63).contains(&origin.len()) && origin.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if usable {
        Ok(origin.clone())
    } else {
        Err(OriginError::Unusable)
    }
}
