//! Steps 1 to 3: finds the Secret, vets the kubeconfig, and seats the member in the fleet when either has changed.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use sky_core::naming;
use sky_core::observation::Trouble;
use sky_crds::cluster::{KubernetesAccess, Manager, SkyCluster};
use sky_crds::names;
use sky_member::kubernetes::{Kubernetes, kubeconfig};

use super::{Context, Memory};
use crate::fleet::Contact;
use crate::host::{self, AGENT};

/// A SkyCluster that is connected.
pub(super) struct Link {
    /// The Secret it is connected by.
    pub(super) secret: Secret,
    /// The key in it.
    pub(super) key: String,
    /// The vetted way.
    pub(super) access: kubeconfig::Access,
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

fn unlinked(reason: &'static str, message: String) -> Unlinked {
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
    let (link, text, picked) = match link(context, cluster, name).await {
        Ok(linked) => linked,
        Err(unlinked) => {
            // A host that does not answer takes nothing away; a credential that is gone, or never was, does.
            let connected = memory.fingerprint.is_some();
            if !connected || unlinked.reason != SECRET_UNREADABLE {
                memory.fingerprint = None;
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
    let fingerprint = naming::hash(&[&text, &picked], 64);
    // Who removes the annotation accepts the cluster that is there now.
    let accepted = expected.is_none() && is_another(context, name);
    if memory.fingerprint.as_ref() != Some(&fingerprint) || accepted {
        let client = link
            .access
            .client(AGENT)
            .map_err(|error| unlinked("InvalidKubeconfig", error.to_string()))?;
        context
            .fleet
            .seat(Arc::new(Kubernetes::new(name, &context.origin, expected, client)));
        memory.fingerprint = Some(fingerprint);
        memory.version = None;
        tracing::info!(cluster = name, server = %link.access.server, "connecting");
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

async fn link(
    context: &Context,
    cluster: &SkyCluster,
    name: &str,
) -> Result<(Link, String, String), Unlinked> {
    let access = section(cluster)?;
    let reference = &access.kubeconfig_secret_ref;
    let key = reference.key.clone().unwrap_or_else(|| "kubeconfig".into());
    let secret = secret(context, name, &reference.name).await?;
    let place = format!("Secret {}/{}", context.namespace, reference.name);
    let bytes = secret.data.as_ref().and_then(|data| data.get(&key));
    let bytes = bytes.ok_or_else(|| {
        unlinked(
            "SecretKeyMissing",
            format!("{place} has no key {key}; put a kubeconfig there"),
        )
    })?;
    let text = String::from_utf8(bytes.0.clone())
        .map_err(|_| unlinked("InvalidKubeconfig", format!("{place}, key {key}: is not text")))?;
    let picked = access.context.clone().unwrap_or_default();
    let access = kubeconfig::vet(&text, access.context.as_deref())
        .await
        .map_err(|error| {
            unlinked(
                "InvalidKubeconfig",
                format!("{place}, key {key}: failed to {error}"),
            )
        })?;
    Ok((Link { secret, key, access }, text, picked))
}

fn section(cluster: &SkyCluster) -> Result<&KubernetesAccess, Unlinked> {
    match (&cluster.spec.manager, &cluster.spec.kubernetes) {
        (Manager::Kubernetes, Some(access)) => Ok(access),
        (Manager::Kubernetes, None) => Err(unlinked(
            "InvalidSpec",
            "spec.kubernetes is missing: say how to reach the cluster".into(),
        )),
        (Manager::Slurm, _) => {
            let words = "spec.manager: slurm is not supported yet; remove this SkyCluster";
            Err(unlinked("NotSupported", words.into()))
        }
    }
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
