//! What of the host the user may list: clusters and rules, and the workloads that hold or wait for room. What may not
//! be listed is told, never taken for empty.

use std::collections::BTreeSet;

use kube::api::ListParams;
use serde_json::Value;

use super::Fleet;
use crate::client::Host;
use crate::errors::{At, is_forbidden, is_not_found};
use crate::kinds::Kind;
use crate::subject::Subject;

/// Clusters and rules, or the first right that the user lacks to see them.
#[derive(Debug)]
pub enum Rules {
    /// All that decisions about the namespaces asked for depend on.
    Seen(Fleet),
    /// What may not be listed, as in "you may not list skyclusters".
    Denied(String),
}

/// Unfinished and waiting workloads of the host.
#[derive(Debug, Default)]
pub struct Workloads {
    /// The workloads, those that have ended left out.
    pub subjects: Vec<Subject>,
    /// What could not be seen of them, in words; `None`: nothing.
    pub gap: Option<String>,
}

/// Reads clusters and the rules of `namespaces`.
///
/// # Errors
/// When the API server cannot be asked, or refuses for another reason than the user's rights.
pub async fn rules(host: &Host, namespaces: &BTreeSet<String>) -> anyhow::Result<Rules> {
    let mut fleet = Fleet::default();
    let Some(clusters) = list(host, Kind::Cluster, None).await? else {
        return Ok(Rules::Denied("list skyclusters".to_owned()));
    };
    clusters
        .iter()
        .for_each(|object| fleet.take_stored(Kind::Cluster, object));
    for namespace in namespaces {
        let Some(policies) = list(host, Kind::Policy, Some(namespace)).await? else {
            return Ok(Rules::Denied(format!(
                "list filterpolicies in namespace {namespace}"
            )));
        };
        policies
            .iter()
            .for_each(|object| fleet.take_stored(Kind::Policy, object));
        match get(host, Kind::Namespace, namespace).await? {
            Got::Object(object) => fleet.take_stored(Kind::Namespace, &object),
            Got::Nothing => {}
            Got::Forbidden => fleet.remark(format!(
                "you may not get skynamespace {namespace}: the answer does not know whether one restricts it"
            )),
        }
    }
    Ok(Rules::Seen(fleet))
}

/// Reads the workloads of every namespace; where that is forbidden, those of `namespaces`.
///
/// # Errors
/// When the API server cannot be asked, or refuses for another reason than the user's rights.
pub async fn workloads(host: &Host, namespaces: &BTreeSet<String>) -> anyhow::Result<Workloads> {
    let mut all = Workloads::default();
    let mut gaps = Vec::new();
    for kind in [Kind::Job, Kind::Deployment] {
        let plural = kind.resource().plural;
        if let Some(objects) = list(host, kind, None).await? {
            all.take(kind, &objects);
            continue;
        }
        let mut seen = Vec::new();
        for namespace in namespaces {
            if let Some(objects) = list(host, kind, Some(namespace)).await? {
                all.take(kind, &objects);
                seen.push(namespace.as_str());
            }
        }
        gaps.push(match seen.as_slice() {
            [] => format!("{plural} of any namespace"),
            seen => format!("{plural} of other namespaces than {}", seen.join(", ")),
        });
    }
    all.gap = (!gaps.is_empty()).then(|| format!("you may not list {}", gaps.join(" or ")));
    Ok(all)
}

impl Workloads {
    /// One that cannot be read asks for nothing, as the operator sees it.
    fn take(&mut self, kind: Kind, objects: &[Value]) {
        let read = objects
            .iter()
            .filter_map(|object| Subject::read(kind, object, "").ok());
        self.subjects
            .extend(read.filter(|subject| subject.record.ended.is_none()));
    }
}

/// The objects of a kind; `None` when the user may not list them.
///
/// # Errors
/// When the API server cannot be asked, or refuses for another reason.
pub async fn list(host: &Host, kind: Kind, namespace: Option<&str>) -> anyhow::Result<Option<Vec<Value>>> {
    let at = &host.connection;
    let api = kind.api(at.client.clone(), namespace);
    match api.list(&ListParams::default()).await {
        Err(error) if is_forbidden(&error) => Ok(None),
        other => {
            let listed = other.at(at, format!("list {}", kind.resource().plural))?;
            let values: Result<Vec<Value>, _> = listed.items.iter().map(serde_json::to_value).collect();
            Ok(Some(values?))
        }
    }
}

/// An object that may not be there, or not be seen.
pub enum Got {
    /// It is there.
    Object(Value),
    /// There is none.
    Nothing,
    /// The user may not see it.
    Forbidden,
}

/// Gets one object.
///
/// # Errors
/// When the API server cannot be asked, or refuses for another reason.
pub async fn get(host: &Host, kind: Kind, name: &str) -> anyhow::Result<Got> {
    let at = &host.connection;
    match kind.api(at.client.clone(), Some(&host.namespace)).get(name).await {
        Err(error) if is_forbidden(&error) => Ok(Got::Forbidden),
        Err(error) if is_not_found(&error) => Ok(Got::Nothing),
        other => {
            let object = other.at(at, format!("get {}", kind.reference(name)))?;
            Ok(Got::Object(serde_json::to_value(object)?))
        }
    }
}
