//! What the host must have before anything starts: the five kinds, no older than this operator, and the rights to use
//! them. Asked by `run`.
//!
//! A host that lacks something is asked again for a while, since installers apply everything at once; then the operator
//! ends with a code of its own: in a pod that shows as CrashLoopBackOff, and is tried again with backoff.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{StreamExt, stream};
use http::Request;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::Value;
use sky_crds::{names, schema};
use thiserror::Error;
use tokio::time::Instant;

use crate::settings::Settings;
use crate::{host, leader};

/// Exit code of an operator whose host is not as it must be.
pub const UNFIT: u8 = 78;

/// How long a host may lack something that is just being installed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_secs(2);

/// Why this operator cannot work on this host.
#[derive(Debug, Error)]
pub enum Unfit {
    /// It does not serve all kinds.
    #[error(
        "the host has no {}: apply the CustomResourceDefinitions of this version first (`kubectl apply -f crds/manifests`, \
         or the chart with crds.install=true)",
        .0.join(", ")
    )]
    NoKinds(Vec<String>),
    /// Its kinds lack fields that this operator writes or reads.
    #[error(
        "the CustomResourceDefinitions on the host are older than this operator {version}: they lack {}; apply those of \
         this version (`kubectl apply -f crds/manifests`, or upgrade the chart with crds.install=true)",
        .missing.join(", "), version = env!("CARGO_PKG_VERSION")
    )]
    OldKinds {
        /// The first of what is missing.
        missing: Vec<String>,
    },
    /// The operator's account may not do what it must.
    #[error(
        "the operator's account lacks rights on the host: {}; apply the roles of this version (`kubectl apply -f \
         dist/install.yaml`, or upgrade the chart with rbac.create=true), or bind it to a role that has them",
        .0.join(", ")
    )]
    NoRights(Vec<String>),
    /// It does not answer.
    #[error("failed to ask the host what it serves: {0}; is the address right, and the credential valid?")]
    Host(#[from] kube::Error),
}

/// Waits until the host is as it must be.
///
/// # Errors
/// When it is not for longer than an installation takes.
pub async fn check(client: &Client, settings: &Settings) -> Result<(), Unfit> {
    let begun = Instant::now();
    let mut said = false;
    loop {
        match look(client, settings).await {
            Ok(()) => return Ok(()),
            Err(unfit) if begun.elapsed() >= PATIENCE => return Err(unfit),
            Err(unfit) if !said => {
                tracing::warn!("{unfit}; asked again for {} s", PATIENCE.as_secs());
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(client: &Client, settings: &Settings) -> Result<(), Unfit> {
    let wanted = schema::all();
    let served = match host::within(client.list_api_group_resources(&group_version())).await {
        Ok(list) => list.resources.into_iter().map(|resource| resource.name).collect(),
        Err(error) if host::is_gone(&error) => BTreeSet::new(),
        Err(error) => return Err(error.into()),
    };
    let plurals = wanted.iter().map(|crd| crd.spec.names.plural.clone());
    let missing: Vec<String> = plurals.filter(|plural| !served.contains(plural)).collect();
    if !missing.is_empty() {
        return Err(Unfit::NoKinds(missing));
    }
    match fields(client).await? {
        Some(document) => {
            let missing: Vec<String> = wanted
                .iter()
                .flat_map(|crd| lacking(crd, &document))
                .take(5)
                .collect();
            if !missing.is_empty() {
                return Err(Unfit::OldKinds { missing });
            }
        }
        None => tracing::warn!(
            "the host does not tell the fields of its kinds: whether they are old is not known"
        ),
    }
    let refused = refused(client, settings).await?;
    if refused.is_empty() {
        Ok(())
    } else {
        Err(Unfit::NoRights(refused))
    }
}

fn group_version() -> String {
    format!("{}/v1alpha1", names::GROUP)
}

/// What the host says of the fields of our kinds; `None` when it tells nobody, or not us.
async fn fields(client: &Client) -> Result<Option<Value>, kube::Error> {
    let path = format!("/openapi/v3/apis/{}", group_version());
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    match host::within(client.request::<Value>(request)).await {
        Ok(document) => Ok(Some(document)),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fields of `crd` that the host's document does not have, as `SkyJob.spec.runId`.
fn lacking(crd: &CustomResourceDefinition, document: &Value) -> Vec<String> {
    let kind = &crd.spec.names.kind;
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    let is_it = |schema: &&Value| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|one| one["kind"] == *kind.as_str()))
    };
    let Some(served) = schemas.and_then(|schemas| schemas.values().find(is_it)) else {
        return vec![kind.clone()];
    };
    let versions = crd.spec.versions.iter();
    let root = versions
        .filter_map(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .next();
    let ours = root
        .and_then(|root| serde_json::to_value(root).ok())
        .unwrap_or_default();
    let mut missing = Vec::new();
    for part in ["spec", "status"] {
        let at = format!("/properties/{part}");
        if let Some(ours) = ours.pointer(&at) {
            let theirs = served.pointer(&at).unwrap_or(&Value::Null);
            compare(ours, theirs, &format!("{kind}.{part}"), &mut missing);
        }
    }
    missing
}

/// Adds the paths of properties that `ours` has and `theirs` has not.
fn compare(ours: &Value, theirs: &Value, path: &str, missing: &mut Vec<String>) {
    for (name, property) in ours["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match theirs["properties"].get(name) {
            None => missing.push(path),
            Some(found) => compare(property, found, &path, missing),
        }
    }
    for inner in ["items", "additionalProperties"] {
        if ours[inner].is_object() && theirs[inner].is_object() {
            compare(&ours[inner], &theirs[inner], &format!("{path}[]"), missing);
        }
    }
}

/// A right: verbs, group, resource and subresource, and for what.
type Right = (
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
    Reach,
);

/// What a right is for.
#[derive(Clone, Copy, Debug)]
enum Reach {
    /// Every namespace.
    Host,
    /// The operator's own namespace.
    Own,
    /// The one object of this name there.
    Named(&'static str),
}
use Reach::{Host, Named, Own};

const READ: &[&str] = &["list", "watch"];

/// Rights without which nothing works.
const RIGHTS: &[Right] = &[
    (READ, names::GROUP, "skyclusters", "", Host),
    (READ, names::GROUP, "skyjobs", "", Host),
    (READ, names::GROUP, "skydeployments", "", Host),
    (READ, names::GROUP, "skynamespaces", "", Host),
    (READ, names::GROUP, "filterpolicies", "", Host),
    (&["patch"], names::GROUP, "skyclusters", "", Host),
    (&["patch"], names::GROUP, "skyjobs", "", Host),
    (&["patch"], names::GROUP, "skydeployments", "", Host),
    (&["patch"], names::GROUP, "skynamespaces", "", Host),
    (&["update"], names::GROUP, "skyclusters", "status", Host),
    (&["update"], names::GROUP, "skyjobs", "status", Host),
    (&["update"], names::GROUP, "skydeployments", "status", Host),
    (&["update"], names::GROUP, "skynamespaces", "status", Host),
    (&["update"], names::GROUP, "filterpolicies", "status", Host),
    (
        &["list", "create", "patch", "delete"],
        "apps",
        "controllerrevisions",
        "",
        Host,
    ),
    (
        &["list", "watch", "get", "create", "patch", "delete"],
        "",
        "namespaces",
        "",
        Host,
    ),
    (&["get", "list", "watch", "update"], "", "secrets", "", Own),
    // What is to be created has no name yet.
    (&["create"], "", "configmaps", "", Own),
    (&["get"], "", "configmaps", "", Named(names::ORIGIN_CONFIG_MAP)),
];

/// Rights of an operator that elects who leads.
const ELECTION: &[Right] = &[
    (&["create"], LEASES, "leases", "", Own),
    (&["get", "update"], LEASES, "leases", "", Named(leader::LEASE)),
];
const LEASES: &str = "coordination.k8s.io";

/// Rights that this account does not have, in words. A host that does not answer such questions of this account is
/// believed to give them.
async fn refused(client: &Client, settings: &Settings) -> Result<Vec<String>, kube::Error> {
    let election = if settings.leader_elect { ELECTION } else { &[] };
    let asked = RIGHTS.iter().chain(election);
    let each = asked.flat_map(|right| right.0.iter().map(move |verb| (*verb, right)));
    let answers = stream::iter(each.map(|(verb, right)| may(client, settings, verb, right)));
    let answers: Vec<_> = answers.buffered(8).collect().await;
    let mut refused = Vec::new();
    for answer in answers {
        refused.extend(answer?);
    }
    Ok(refused)
}

/// The right in words when it is not given.
async fn may(
    client: &Client,
    settings: &Settings,
    verb: &str,
    (_, group, resource, subresource, reach): &Right,
) -> Result<Option<String>, kube::Error> {
    let (namespace, name) = match reach {
        Host => (None, None),
        Own => (Some(&settings.namespace), None),
        Named(name) => (Some(&settings.namespace), Some(*name)),
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some((*group).to_owned()),
                resource: Some((*resource).to_owned()),
                subresource: (!subresource.is_empty()).then(|| (*subresource).to_owned()),
                namespace: namespace.cloned(),
                name: name.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = match host::within(reviews.create(&PostParams::default(), &review)).await {
        Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
        other => other?,
    };
    if answer.status.is_some_and(|status| status.allowed) {
        return Ok(None);
    }
    let slash = if subresource.is_empty() { "" } else { "/" };
    let place = namespace.map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    Ok(Some(format!(
        "{verb} {resource}{slash}{subresource}{name}{place}"
    )))
}

#[cfg(test)]
mod tests;
