//! Documents of the original system (`kind: Job` without an apiVersion) become objects of ours. Pure.
//!
//! Fed by `kubectl sky apply` and `convert` with one parsed document at a time; the result is what they write.
//! Guarantee: any value gives an object or an error, and converting a result again gives the same object.

mod fields;
mod placement;
mod spec;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use sky_crds::names::{GROUP, VERSION};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};
use thiserror::Error;

/// Why a document is refused; each fits after "failed to convert FILE, document N: ".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OriginalError {
    /// The document is a list, a text, a number…
    #[error("it is {0}, not an object with a `kind`")]
    NotAnObject(&'static str),
    /// There is no `kind`, or it is not a text.
    #[error("it has no `kind`")]
    NoKind,
    /// No apiVersion, and a kind the original system does not have.
    #[error(
        "kind {0} without an apiVersion is not of the original system, which has Cluster, Job, Deployment, Namespace and FilterPolicy"
    )]
    UnknownKind(String),
    /// An apiVersion that is not ours.
    #[error("{api_version} {kind} is not a kind of Sky Manager; use `kubectl apply` for it")]
    Foreign {
        /// What the document says.
        api_version: String,
        /// What the document says.
        kind: String,
    },
    /// Our group, but a version or kind that it does not have.
    #[error("{GROUP}/{VERSION} has no {api_version} {kind}")]
    NotServed {
        /// What the document says.
        api_version: String,
        /// What the document says.
        kind: String,
    },
    /// One field cannot be converted.
    #[error("{path}: {problem}")]
    Field {
        /// Dotted path, list positions in brackets.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl OriginalError {
    pub(crate) fn field(path: &str, problem: impl Into<String>) -> Self {
        Self::Field {
            path: path.to_owned(),
            problem: problem.into(),
        }
    }
}

/// The five kinds, by the original's name and ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cluster,
    Job,
    Deployment,
    Namespace,
    FilterPolicy,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Cluster,
        Self::Job,
        Self::Deployment,
        Self::Namespace,
        Self::FilterPolicy,
    ];

    fn original(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Job => "Job",
            Self::Deployment => "Deployment",
            Self::Namespace => "Namespace",
            Self::FilterPolicy => "FilterPolicy",
        }
    }

    fn ours(self) -> &'static str {
        match self {
            Self::Cluster => "SkyCluster",
            Self::Job => "SkyJob",
            Self::Deployment => "SkyDeployment",
            Self::Namespace => "SkyNamespace",
            Self::FilterPolicy => "FilterPolicy",
        }
    }

    fn namespaced(self) -> bool {
        matches!(self, Self::Job | Self::Deployment | Self::FilterPolicy)
    }
}

/// Turns one document into an object of ours.
///
/// A document of ours passes unchanged, but for a quoted `replicas` of a SkyDeployment, which becomes a number.
///
/// # Errors
/// When it is neither of the original system nor of ours, or has a field that has no meaning here.
pub fn convert(document: Value) -> Result<Value, OriginalError> {
    let mut document = match document {
        Value::Object(document) => document,
        other => return Err(OriginalError::NotAnObject(fields::type_name(&other))),
    };
    let Some(kind) = document.get("kind").and_then(Value::as_str).map(str::to_owned) else {
        return Err(OriginalError::NoKind);
    };
    match document.get("apiVersion") {
        None | Some(Value::Null) => {
            let kind = Kind::ALL
                .into_iter()
                .find(|known| known.original() == kind)
                .ok_or(OriginalError::UnknownKind(kind))?;
            from_original(kind, document)
        }
        Some(version) => {
            let version = version
                .as_str()
                .map_or_else(|| version.to_string(), str::to_owned);
            ours(&version, &kind, &mut document)?;
            Ok(Value::Object(document))
        }
    }
}

fn ours(api_version: &str, kind: &str, document: &mut Map<String, Value>) -> Result<(), OriginalError> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if group != GROUP {
        return Err(OriginalError::Foreign {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        });
    }
    if version != VERSION || !Kind::ALL.iter().any(|known| known.ours() == kind) {
        return Err(OriginalError::NotServed {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
        });
    }
    if kind == Kind::Deployment.ours()
        && let Some(replicas) = document.get_mut("spec").and_then(|spec| spec.get_mut("replicas"))
    {
        fields::unquote(replicas, "spec.replicas")?;
    }
    Ok(())
}

fn from_original(kind: Kind, mut document: Map<String, Value>) -> Result<Value, OriginalError> {
    let metadata = metadata(kind, document.remove("metadata"))?;
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut spec = match document.remove("spec") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(spec)) => spec,
        Some(other) => {
            let found = fields::type_name(&other);
            return Err(OriginalError::field(
                "spec",
                format!("it is {found}, not an object"),
            ));
        }
    };
    spec.retain(|_, value| !value.is_null());
    match kind {
        Kind::Cluster => spec::cluster(&mut spec, name)?,
        Kind::Job => spec::workload(&mut spec)?,
        Kind::Deployment => {
            spec::workload(&mut spec)?;
            if let Some(replicas) = spec.get_mut("replicas") {
                fields::unquote(replicas, "spec.replicas")?;
            }
        }
        Kind::FilterPolicy => spec::filter_policy(&mut spec)?,
        Kind::Namespace => spec::namespace(&mut spec)?,
    }
    // What the original's server filled in is not the user's.
    document.remove("status");
    document.remove("kind");
    if let Some(key) = document.keys().find(|key| *key != "apiVersion") {
        return Err(OriginalError::field(
            key,
            "the original system has no such field beside metadata and spec",
        ));
    }
    let object = serde_json::json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": kind.ours(),
        "metadata": metadata,
        "spec": spec,
    });
    check(kind, &object)?;
    Ok(object)
}

/// Keeps what the user wrote: name, namespace, labels, annotations.
fn metadata(kind: Kind, metadata: Option<Value>) -> Result<Map<String, Value>, OriginalError> {
    let mut given = match metadata {
        Some(Value::Object(metadata)) => metadata,
        _ => return Err(OriginalError::field("metadata", "it is needed, with a name")),
    };
    let mut kept = Map::new();
    match given.remove("name") {
        Some(Value::String(name)) if !name.is_empty() => kept.insert("name".to_owned(), Value::String(name)),
        _ => return Err(OriginalError::field("metadata.name", "a name is needed")),
    };
    if kind.namespaced()
        && let Some(namespace) = given.remove("namespace")
        && !namespace.is_null()
    {
        kept.insert("namespace".to_owned(), namespace);
    }
    for key in ["labels", "annotations"] {
        if let Some(mut map) = given.remove(key)
            && !map.is_null()
        {
            fields::text_values(&mut map, &format!("metadata.{key}"))?;
            kept.insert(key.to_owned(), map);
        }
    }
    Ok(kept)
}

/// Checks an object of ours as a strict API server would: it must be readable, and have no field that its kind does not
/// have. Its status is not looked at.
///
/// # Errors
/// When it is none of ours, or names the first field that is wrong.
pub fn check_strictly(object: &Value) -> Result<(), OriginalError> {
    let named = object
        .get("kind")
        .and_then(Value::as_str)
        .ok_or(OriginalError::NoKind)?;
    let kind = Kind::ALL.into_iter().find(|known| known.ours() == named);
    let kind = kind.ok_or_else(|| OriginalError::NotServed {
        api_version: format!("{GROUP}/{VERSION}"),
        kind: named.to_owned(),
    })?;
    let mut object = object.clone();
    object.as_object_mut().map(|fields| fields.remove("status"));
    check(kind, &object)
}

/// The object must be readable as our type, and nothing of it may be lost by that.
fn check(kind: Kind, object: &Value) -> Result<(), OriginalError> {
    let read = match kind {
        Kind::Cluster => fields::round_trip::<SkyCluster>(object),
        Kind::Job => fields::round_trip::<SkyJob>(object),
        Kind::Deployment => fields::round_trip::<SkyDeployment>(object),
        Kind::Namespace => fields::round_trip::<SkyNamespace>(object),
        Kind::FilterPolicy => fields::round_trip::<FilterPolicy>(object),
    }
    .map_err(|error| OriginalError::field("spec", error.to_string()))?;
    match fields::first_lost(object, &read, "") {
        Some(path) => Err(OriginalError::field(
            &path,
            format!("a {} has no such field", kind.ours()),
        )),
        None => Ok(()),
    }
}
