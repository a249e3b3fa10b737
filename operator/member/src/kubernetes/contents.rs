//! Whether a namespace on a Kubernetes member holds anything, of anybody, of any kind. Asked by `namespace` before it
//! deletes one.
//!
//! Nothing is read for it, and no right to read is needed: the member counts by itself. A ResourceQuota of ours counts
//! every kind that the member serves, custom kinds too, and limits none. The API server adds to the count before it
//! stores an object. Pods and Jobs are listed instead: a count of them would slow the creation of replicas.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota, ServiceAccount};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::errors::classify;
use super::namespace::FIELD_MANAGER;
use crate::{Class, MemberError};

/// The ResourceQuota that counts.
const NAME: &str = "sky-contents";
/// As good as no limit. A kind that was just defined is counted when the member's quota controller has noticed it, within
/// half a minute; a quota that named it before is looked at again after five minutes, or when its limits change. So they
/// get one less each time that the count is asked for anew.
const NO_LIMIT: i64 = 1_000_000_000;
/// How often a count is asked for.
const REQUESTS: i64 = 6;
/// The longest name that a quota takes behind `count/`.
const LONGEST_KIND: usize = 63;

/// Listed, or said to happen by what is listed.
const NOT_COUNTED: [&str; 4] = ["pods", "jobs.batch", "events", "events.events.k8s.io"];
/// What a cluster puts into every namespace by itself, one of each; and the quota that counts.
const CONFIG_MAP: (&str, &str) = ("configmaps", "kube-root-ca.crt");
const ACCOUNT: (&str, &str) = ("serviceaccounts", "default");
const QUOTA: &str = "resourcequotas";

/// Has the member count what is in the namespace.
pub(super) async fn count(client: &Client, namespace: &str) -> Result<(), MemberError> {
    let kinds = kinds(client).await?;
    if look(client, namespace)
        .await?
        .is_some_and(|quota| counts(&quota, &kinds))
    {
        return Ok(());
    }
    request(client, namespace, &kinds, NO_LIMIT).await
}

async fn request(
    client: &Client,
    namespace: &str,
    kinds: &BTreeSet<String>,
    limit: i64,
) -> Result<(), MemberError> {
    let hard: BTreeMap<String, String> = kinds.iter().map(|kind| (key(kind), limit.to_string())).collect();
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": NAME, "annotations": {
            "skymanager.io/purpose": "counts what is here, so that the namespace is not deleted with it; limits nothing",
        }},
        "spec": {"hard": hard},
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    quotas(client, namespace)
        .patch(NAME, &params, &Patch::Apply(quota))
        .await
        .map_err(|error| classify(&error))?;
    Ok(())
}

/// Ok when there is nothing in the namespace but what a cluster puts there by itself.
///
/// `Conflict` names what there is; `Throttled`: it is still being counted.
pub(super) async fn none(client: &Client, namespace: &str) -> Result<(), MemberError> {
    let holds = |what: &str| Err(MemberError::new(Class::Conflict, format!("holds {what}")));
    if is_any::<Pod>(client, namespace).await? {
        return holds("pods");
    }
    if is_any::<Job>(client, namespace).await? {
        return holds("jobs.batch");
    }
    let kinds = kinds(client).await?;
    let throttled = || MemberError::new(Class::Throttled, "what it holds is still being counted");
    let quota = look(client, namespace).await?;
    let Some(quota) = quota.filter(|quota| counts(quota, &kinds)) else {
        request(client, namespace, &kinds, NO_LIMIT).await?;
        return Err(throttled());
    };
    let used = match counted(&quota, &kinds) {
        Ok(used) => used,
        // The count that was asked for last has not begun.
        Err(_) if !has_begun(&quota) => return Err(throttled()),
        Err(kind) => {
            let limit = limit(&quota).saturating_sub(1);
            if limit <= NO_LIMIT - REQUESTS {
                return holds(&format!("{kind}, perhaps: this cluster does not count them"));
            }
            request(client, namespace, &kinds, limit).await?;
            return Err(throttled());
        }
    };
    let mut found = Vec::new();
    for (kind, mut number) in used {
        let own = match kind {
            _ if number == 0 => false,
            _ if kind == CONFIG_MAP.0 => is_there::<ConfigMap>(client, namespace, CONFIG_MAP.1).await?,
            _ if kind == ACCOUNT.0 => is_there::<ServiceAccount>(client, namespace, ACCOUNT.1).await?,
            _ => kind == QUOTA,
        };
        number -= i64::from(own);
        if number > 0 {
            found.push(format!("{number} {kind}"));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    holds(&found.join(", "))
}

fn key(kind: &str) -> String {
    format!("count/{kind}")
}

fn quotas(client: &Client, namespace: &str) -> Api<ResourceQuota> {
    Api::namespaced(client.clone(), namespace)
}

async fn look(client: &Client, namespace: &str) -> Result<Option<ResourceQuota>, MemberError> {
    let found = quotas(client, namespace).get_opt(NAME).await;
    found.map_err(|error| classify(&error))
}

/// Whether the quota is to count exactly these kinds.
fn counts(quota: &ResourceQuota, kinds: &BTreeSet<String>) -> bool {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    hard.is_some_and(|hard| {
        hard.len() == kinds.len() && kinds.iter().all(|kind| hard.contains_key(&key(kind)))
    })
}

/// Whether the member has looked at the quota as it is now.
fn has_begun(quota: &ResourceQuota) -> bool {
    let wanted = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let taken_in = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    wanted == taken_in
}

/// The limit that the quota sets.
fn limit(quota: &ResourceQuota) -> i64 {
    let hard = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let limits = hard.into_iter().flat_map(BTreeMap::values);
    limits
        .filter_map(|limit| limit.0.parse().ok())
        .min()
        .unwrap_or(NO_LIMIT)
}

/// How many there are of each kind; else a kind that has not been counted.
fn counted<'k>(quota: &ResourceQuota, kinds: &'k BTreeSet<String>) -> Result<Vec<(&'k str, i64)>, &'k str> {
    let status = quota.status.as_ref();
    let used = status.and_then(|status| status.used.as_ref());
    let each = kinds.iter().map(|kind| {
        let Quantity(number) = used.and_then(|used| used.get(&key(kind))).ok_or(kind.as_str())?;
        // Whatever is no small number is many.
        Ok((kind.as_str(), number.parse().unwrap_or(i64::MAX)))
    });
    each.collect()
}

/// Kinds that the member counts in a namespace: all that can be created, listed, watched and deleted.
async fn kinds(client: &Client) -> Result<BTreeSet<String>, MemberError> {
    let found = Discovery::new(client.clone()).run_aggregated().await;
    let found = found.map_err(|error| classify(&error))?;
    let mut kinds = BTreeSet::new();
    for (resource, can) in found.groups().flat_map(|group| group.resources_by_stability()) {
        let countable = ["create", "list", "watch", "delete"];
        if can.scope != Scope::Namespaced || !countable.iter().all(|verb| can.supports_operation(verb)) {
            continue;
        }
        let kind = match resource.group.as_str() {
            "" => resource.plural,
            group => format!("{}.{group}", resource.plural),
        };
        if kind.len() > LONGEST_KIND {
            let words = format!("may hold {kind}, a kind whose name is too long to be counted");
            return Err(MemberError::new(Class::Conflict, words));
        }
        if !NOT_COUNTED.contains(&kind.as_str()) {
            kinds.insert(kind);
        }
    }
    Ok(kinds)
}

async fn is_any<K>(client: &Client, namespace: &str) -> Result<bool, MemberError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let all: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = all.list_metadata(&ListParams::default().limit(1)).await;
    Ok(!found.map_err(|error| classify(&error))?.items.is_empty())
}

async fn is_there<K>(client: &Client, namespace: &str, name: &str) -> Result<bool, MemberError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let all: Api<K> = Api::namespaced(client.clone(), namespace);
    let found = all.get_metadata_opt(name).await;
    Ok(found.map_err(|error| classify(&error))?.is_some())
}

#[cfg(test)]
mod tests;
