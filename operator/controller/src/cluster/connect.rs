//! Steps 1 to 3: finds the Secret, vets the credential, and seats the member in the fleet when either has changed. What is
//! Slurm's own of it is in `slurm`.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sky_core::naming;
use sky_core::observation::Trouble;
use sky_crds::cluster::{KubernetesAccess, Manager, SecretKey, SkyCluster};
use sky_crds::names;
use sky_member::kubernetes::{Kubernetes, kubeconfig};
use sky_member::slurm::Access;

use super::{Context, Memory, slurm};
use crate::fleet::Contact;
use crate::host;

/// A SkyCluster that is connected.
pub(super) struct Link {
    /// The Secret it is connected by.
    pub(super) secret: Secret,
    /// The key in it.
    pub(super) key: String,
    /// Bearer token, when that is the credential.
    pub(super) token: Option<String>,
    /// The vetted way.
    pub(super) way: Way,
}

/// How a member is reached.
pub(super) enum Way {
    /// By its kubeconfig.
    Kubernetes(Box<kubeconfig::Access>),
    /// By its slurmrestd.
    Slurm(Box<Access>),
}

impl Way {
    /// What is reached by it.
    pub(super) fn manager(&self) -> Manager {
        match self {
            Self::Kubernetes(_) => Manager::Kubernetes,
            Self::Slurm(_) => Manager::Slurm,
        }
    }
}

/// Why a SkyCluster is not connected.
#[derive(Clone, Debug)]
pub(super) struct Unlinked {
    /// CamelCase code.
    pub(super) reason: &'static str,
    /// What is wrong and what to do.
    pub(super) message: String,
}

/// The host did not let us read the Secret, or did not answer.
pub(super) const SECRET_UNREADABLE: &str = "SecretUnreadable";

pub(super) fn unlinked(reason: &'static str, message: String) -> Unlinked {
    Unlinked { reason, message }
}

/// Connects `cluster`, or finds it connected as it is to be.
pub(super) async fn connect(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
    memory: &mut Memory,
) -> Result<Link, Unlinked> {
    context.fleet.register(name);
    if context.fleet.member(name).is_none() {
        // Its SkyCluster was gone meanwhile.
        memory.fingerprint = None;
        memory.slurm = None;
    }
    let link = match link(context, cluster, name).await {
        Ok(link) => link,
        Err(unlinked) => {
            // A host that does not answer takes nothing away; a credential that is gone, or never was, does.
            let connected = memory.fingerprint.is_some();
            if !connected || unlinked.reason != SECRET_UNREADABLE {
                memory.fingerprint = None;
                memory.slurm = None;
                let trouble = Trouble {
                    reason: unlinked.reason.into(),
                    message: unlinked.message.clone(),
                };
                context.fleet.silence(name, trouble);
            }
            return Err(unlinked);
        }
    };
    let expected = cluster.annotations().get(names::CLUSTER_ID_ANNOTATION).cloned();
    // Who removes the annotation accepts the cluster that is there now.
    let accepted = expected.is_none() && is_another(context, name);
    match &link.way {
        Way::Kubernetes(access) => {
            let fingerprint = fingerprint(&link, cluster);
            if memory.fingerprint.as_ref() != Some(&fingerprint) || accepted {
                let client = access
                    .client(&context.agent, &context.gate)
                    .map_err(|error| unlinked("InvalidKubeconfig", error.to_string()))?;
                let member = Kubernetes::new(name, &context.origin, expected, client);
                context.fleet.seat(Arc::new(member));
                memory.fingerprint = Some(fingerprint);
                memory.version = None;
                tracing::info!(cluster = name, server = %access.server, "connecting");
            }
        }
        Way::Slurm(access) => {
            let token = link.token.as_deref().unwrap_or_default();
            slurm::seat(context, name, (access, token), expected, accepted, memory)?;
        }
    }
    let grace = cluster
        .spec
        .lost_after_seconds
        .unwrap_or(sky_convert::cluster::LOST_AFTER);
    context
        .fleet
        .set_lost_after(name, u64::try_from(grace).unwrap_or(0));
    Ok(link)
}

/// Whether the member turned out to be another cluster than before.
fn is_another(context: &Context, name: &str) -> bool {
    let contact = context.fleet.read(name, |view| view.contact().clone());
    matches!(contact, Some(Contact::Silent { trouble, .. }) if trouble.reason == "Conflict")
}

/// Hash of the kubeconfig and of the context picked from it.
fn fingerprint(link: &Link, cluster: &SkyCluster) -> String {
    let bytes = link.secret.data.as_ref().and_then(|data| data.get(&link.key));
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
    let section = cluster.spec.kubernetes.as_ref();
    let picked = section.and_then(|access| access.context.clone());
    naming::hash(&[&text.unwrap_or_default(), &picked.unwrap_or_default()], 64)
}

async fn link(context: &Context, cluster: &SkyCluster, name: &str) -> Result<Link, Unlinked> {
    match (
        &cluster.spec.manager,
        &cluster.spec.kubernetes,
        &cluster.spec.slurm,
    ) {
        (Manager::Kubernetes, Some(access), _) => by_kubeconfig(context, access, name).await,
        (Manager::Slurm, _, Some(access)) => {
            let (secret, key, token) =
                text(context, name, &access.token_secret_ref, "token", "InvalidToken").await?;
            Ok(Link {
                secret,
                key,
                token: Some(token.trim().to_owned()),
                way: Way::Slurm(Box::new(slurm::access(access))),
            })
        }
        (Manager::Kubernetes, None, _) => Err(unlinked(
            "InvalidSpec",
            "spec.kubernetes is missing: say how to reach the cluster".into(),
        )),
        (Manager::Slurm, _, None) => Err(unlinked(
            "InvalidSpec",
            "spec.slurm is missing: say how to reach the cluster".into(),
        )),
    }
}

async fn by_kubeconfig(context: &Context, access: &KubernetesAccess, name: &str) -> Result<Link, Unlinked> {
    let reference = &access.kubeconfig_secret_ref;
    let (secret, key, text) = text(context, name, reference, "kubeconfig", "InvalidKubeconfig").await?;
    let place = format!("Secret {}/{}", context.namespace, reference.name);
    let access = kubeconfig::vet(&text, access.context.as_deref())
        .await
        .map_err(|error| {
            unlinked(
                "InvalidKubeconfig",
                format!("{place}, key {key}: failed to {error}"),
            )
        })?;
    Ok(Link {
        secret,
        key,
        token: access.token.clone(),
        way: Way::Kubernetes(Box::new(access)),
    })
}

/// The Secret that `reference` names, the key in it, and the text there.
async fn text(
    context: &Context,
    cluster: &str,
    reference: &SecretKey,
    default_key: &'static str,
    invalid: &'static str,
) -> Result<(Secret, String, String), Unlinked> {
    let key = reference.key.clone().unwrap_or_else(|| default_key.into());
    let secret = secret(context, cluster, &reference.name).await?;
    let place = format!("Secret {}/{}", context.namespace, reference.name);
    let bytes = secret.data.as_ref().and_then(|data| data.get(&key));
    let bytes = bytes.ok_or_else(|| {
        unlinked(
            "SecretKeyMissing",
            format!("{place} has no key {key}; put a {default_key} there"),
        )
    })?;
    let text = String::from_utf8(bytes.0.clone())
        .map_err(|_| unlinked(invalid, format!("{place}, key {key}: is not text")))?;
    Ok((secret, key, text))
}

/// Only a Secret labelled for this very cluster is read: else anyone who may write a SkyCluster could have any Secret
/// sent to a server of theirs.
async fn secret(context: &Context, cluster: &str, secret_name: &str) -> Result<Secret, Unlinked> {
    let place = format!("Secret {}/{secret_name}", context.namespace);
    let found = host::within(context.secrets().get_opt(secret_name)).await;
    let found =
        found.map_err(|error| unlinked("SecretUnreadable", format!("{place} cannot be read: {error}")))?;
    let secret = found.ok_or_else(|| {
        unlinked(
            "SecretNotFound",
            format!("{place} is not there; run `kubectl sky join {cluster}`, or create it"),
        )
    })?;
    if secret
        .labels()
        .get(names::SECRET_MEMBER_LABEL)
        .map(String::as_str)
        == Some(cluster)
    {
        Ok(secret)
    } else {
        let label = names::SECRET_MEMBER_LABEL;
        let words = format!(
            "{place} is not labelled {label}={cluster}, so it is not read; label it so if it is meant"
        );
        Err(unlinked("SecretNotLabelled", words))
    }
}
