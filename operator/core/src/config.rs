//! ConfigMaps and Secrets that a pod template names, and what is to be of their copies on members. The words between
//! sky-operator, which reads them on the host, and sky-member, which keeps the copies.
//!
//! A copy belongs to the shares that use it, and says so on its member: it goes with the last of them, whoever looks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::labels::Labels;
use crate::pod::{self, Parts};
use crate::share::{EnvValue, Program, Share, ShareKey};

/// What every cluster puts into every namespace by itself: never copied.
const OF_EVERY_NAMESPACE: &str = "kube-root-ca.crt";
/// The longest name of an object.
const LONGEST_NAME: usize = 253;

/// Reason codes of what a workload waits for.
pub mod reason {
    /// The operator may not read it on the host.
    pub const FORBIDDEN: &str = "ConfigForbidden";
    /// It is neither on the host nor on the member.
    pub const MISSING: &str = "ConfigMissing";
    /// It is never copied.
    pub const NOT_COPIED: &str = "ConfigNotCopied";
    /// The member refuses the copy.
    pub const REJECTED: &str = "ConfigRejected";

    /// Whether it takes a user to mend it: a share that waits for that is not late, and would wait elsewhere too.
    #[must_use]
    pub fn is_for_a_user(reason: &str) -> bool {
        [FORBIDDEN, MISSING, NOT_COPIED, REJECTED].contains(&reason)
    }

    /// Whether the workload is stuck until then. What is missing may be on its way, applied together with the workload.
    #[must_use]
    pub fn stalls(reason: &str) -> bool {
        is_for_a_user(reason) && reason != MISSING
    }
}

/// ConfigMap or Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigKind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl ConfigKind {
    /// As the API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }
}

/// A ConfigMap or Secret of the namespace that is spoken of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigName {
    /// Which of both.
    pub kind: ConfigKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ConfigName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.kind.as_str(), self.name)
    }
}

/// What a template names, and whether pods need it: without what is optional everywhere they start all the same.
pub type Named = BTreeMap<ConfigName, Need>;

/// Whether pods start without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// They do.
    Optional,
    /// They do not.
    Required,
}

/// A ConfigMap or Secret as the host has it. What it holds is in no output of `Debug`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Uid of the host's object.
    pub source: String,
    /// The user's labels that are copied.
    pub labels: Labels,
    /// The user's annotations that are copied.
    pub annotations: Labels,
    /// Texts by key; of a ConfigMap alone.
    pub texts: BTreeMap<String, String>,
    /// Bytes by key.
    pub bytes: BTreeMap<String, Vec<u8>>,
    /// Type of a Secret.
    pub secret_type: Option<String>,
    /// Its holder may not change it.
    pub immutable: bool,
}

impl fmt::Debug for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.texts.len() + self.bytes.len();
        write!(out, "Content({keys} keys of {})", self.source)
    }
}

/// What is to be of a ConfigMap or Secret on a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Identity of the host.
    pub origin: String,
    /// Its namespace, on the host and on the member.
    pub namespace: String,
    /// Which one.
    pub name: ConfigName,
    /// What is wanted.
    pub wanted: Wanted,
}

/// What is wanted of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is there with this content, and is used by this share.
    Held {
        /// What the host has.
        content: Arc<Content>,
        /// Who uses it.
        user: User,
    },
    /// Nothing is changed; only whether anything of the name is there is asked.
    There,
    /// The share does not use it any more. Without any user it is deleted, if it is ours. `None`: it is only asked
    /// whether anybody uses it.
    Released(Option<ShareKey>),
}

/// A share that uses a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its object.
    pub key: ShareKey,
    /// Identity of this very object; `None`: it is still to be created.
    pub instance: Option<String>,
}

/// What the pods of `share` name. A template that cannot be patched names nothing: its member's real create refuses it.
#[must_use]
pub fn of_share(share: &Share) -> Named {
    if share.patches.is_empty() {
        match &share.program {
            Program::Template(template) => return named(template),
            Program::Container(container) => {
                let from = |(_, value): &(String, EnvValue)| matches!(value, EnvValue::From(_));
                if container.pull_secrets.is_empty() && !container.env.iter().any(from) {
                    return Named::new();
                }
            }
        }
    }
    let parts = Parts {
        kind: share.key.kind,
        program: &share.program,
        requests: &share.requests,
        labels: &share.labels,
        annotations: &share.annotations,
    };
    pod::template(parts, &share.patches).map_or_else(|_| Named::new(), |template| named(&template))
}

/// What a pod template names.
#[must_use]
pub fn named(template: &Value) -> Named {
    let mut named = Named::new();
    let spec = &template["spec"];
    for list in ["initContainers", "containers"] {
        for container in items(&spec[list]) {
            of_container(container, &mut named);
        }
    }
    for volume in items(&spec["volumes"]) {
        of_volume(volume, &mut named);
    }
    for secret in items(&spec["imagePullSecrets"]) {
        add(&mut named, ConfigKind::Secret, secret, "name");
    }
    named
}

fn of_container(container: &Value, named: &mut Named) {
    for variable in items(&container["env"]) {
        let from = &variable["valueFrom"];
        add(named, ConfigKind::ConfigMap, &from["configMapKeyRef"], "name");
        add(named, ConfigKind::Secret, &from["secretKeyRef"], "name");
    }
    for source in items(&container["envFrom"]) {
        add(named, ConfigKind::ConfigMap, &source["configMapRef"], "name");
        add(named, ConfigKind::Secret, &source["secretRef"], "name");
    }
}

/// Volumes made of them, and credentials of volumes of other kinds.
fn of_volume(volume: &Value, named: &mut Named) {
    add(named, ConfigKind::ConfigMap, &volume["configMap"], "name");
    add(named, ConfigKind::Secret, &volume["secret"], "secretName");
    add(named, ConfigKind::Secret, &volume["azureFile"], "secretName");
    add(
        named,
        ConfigKind::Secret,
        &volume["csi"]["nodePublishSecretRef"],
        "name",
    );
    for source in volume.as_object().into_iter().flat_map(|volume| volume.values()) {
        add(named, ConfigKind::Secret, &source["secretRef"], "name");
    }
    for source in items(&volume["projected"]["sources"]) {
        add(named, ConfigKind::ConfigMap, &source["configMap"], "name");
        add(named, ConfigKind::Secret, &source["secret"], "name");
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn add(named: &mut Named, kind: ConfigKind, reference: &Value, field: &str) {
    let Some(name) = reference[field].as_str().filter(|name| is_name(name)) else {
        return;
    };
    if kind == ConfigKind::ConfigMap && name == OF_EVERY_NAMESPACE {
        return;
    }
    let need = if reference["optional"] == true {
        Need::Optional
    } else {
        Need::Required
    };
    let name = ConfigName {
        kind,
        name: name.to_owned(),
    };
    let known = named.entry(name).or_insert(need);
    *known = need.max(*known);
}

/// Whether an object can have this name. What is no name is never asked for: it would be part of a path.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.bytes().all(inner)
    };
    name.len() <= LONGEST_NAME && name.split('.').all(part)
}

#[cfg(test)]
mod tests;
