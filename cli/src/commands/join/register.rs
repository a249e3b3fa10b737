//! The host's side of join: is it ready to take a member, the member's Secret, the SkyCluster. Also used by unjoin.

use std::collections::BTreeMap;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sky_crds::SkyCluster;
use sky_crds::names::{
    GROUP, SECRET_MEMBER_LABEL, SERVER_ANNOTATION, SERVICE_ACCOUNT_ANNOTATION, TOKEN_SECONDS_ANNOTATION,
    VERSION,
};

use super::Options;
use crate::client::{Connection, FIELD_MANAGER};
use crate::errors::{At, is_not_found};
use crate::kubeconfig::same_server;

/// Key of the Secret that holds the kubeconfig.
pub const KUBECONFIG_KEY: &str = "kubeconfig";

/// Name of a member's Secret.
#[must_use]
pub fn secret_name(cluster: &str) -> String {
    format!("member-{cluster}")
}

/// How the operator renews a token.
pub struct Renewal {
    /// `NAMESPACE/NAME` on the member.
    pub service_account: &'static str,
    /// Life that is asked for.
    pub token_seconds: i64,
}

/// The clusters that are members already, with the servers that join recorded.
#[derive(Clone, Debug, Default)]
pub struct Joined(BTreeMap<String, Option<String>>);

impl<const N: usize> From<[(String, Option<String>); N]> for Joined {
    fn from(clusters: [(String, Option<String>); N]) -> Self {
        Self(BTreeMap::from(clusters))
    }
}

impl Joined {
    /// The name under which a server is a member.
    #[must_use]
    pub fn name_of(&self, server: &str) -> Option<&str> {
        let of = |known: &Option<String>| known.as_ref().is_some_and(|known| same_server(known, server));
        self.0
            .iter()
            .find(|(_, known)| of(known))
            .map(|(name, _)| name.as_str())
    }

    /// Whether this server may have this name: a server counted twice would be filled twice, and a name that changed
    /// its server would take its shares with it.
    ///
    /// # Errors
    /// Says which cluster is in the way and what to do.
    pub fn allows(&self, name: &str, server: &str) -> anyhow::Result<()> {
        if let Some(Some(known)) = self.0.get(name)
            && !same_server(known, server)
        {
            anyhow::bail!(
                "cluster {name} is joined already, to {known}; choose another name, or unjoin it first. If {known} moved to {server}: kubectl annotate skycluster {name} {SERVER_ANNOTATION}={server} --overwrite, and join again"
            );
        }
        match self.name_of(server) {
            Some(other) if other != name => {
                anyhow::bail!("{server} is a member already, under the name {other}")
            }
            _ => Ok(()),
        }
    }
}

/// Checks that the host has our kinds, that the user may write what join writes, and that the operator's namespace is
/// there; makes it when missing. The members so far are the result.
///
/// # Errors
/// Says what is missing and how to get it.
pub async fn check(host: &Connection, operator_namespace: &str) -> anyhow::Result<Joined> {
    host.client
        .list_api_group_resources(&format!("{GROUP}/{VERSION}"))
        .await
        .at(host, "look for Sky Manager on the host")?;
    let clusters = Api::<SkyCluster>::all(host.client.clone())
        .list_metadata(&ListParams::default())
        .await
        .at(host, "list skyclusters")?;
    let namespaces: Api<Namespace> = Api::all(host.client.clone());
    match namespaces.get_metadata(operator_namespace).await {
        Err(error) if is_not_found(&error) => {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": operator_namespace}});
            let params = PatchParams::apply(FIELD_MANAGER);
            namespaces
                .patch(operator_namespace, &params, &Patch::Apply(&namespace))
                .await
                .at(
                    host,
                    format!("make the operator's namespace {operator_namespace}"),
                )?;
        }
        // Who may not read namespaces may still write the Secret.
        _ => rights(host, operator_namespace).await?,
    }
    let servers = clusters.items.into_iter().map(|cluster| {
        let server = cluster.annotations().get(SERVER_ANNOTATION).cloned();
        (cluster.name_any(), server)
    });
    Ok(Joined(servers.collect()))
}

async fn rights(host: &Connection, operator_namespace: &str) -> anyhow::Result<()> {
    let wanted = [
        ("create", GROUP, "skyclusters", None),
        ("patch", GROUP, "skyclusters", None),
        ("create", "", "secrets", Some(operator_namespace)),
        ("patch", "", "secrets", Some(operator_namespace)),
    ];
    let mut missing = Vec::new();
    for (verb, group, resource, namespace) in wanted {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    namespace: namespace.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = Api::<SelfSubjectAccessReview>::all(host.client.clone())
            .create(&PostParams::default(), &review)
            .await
            .at(host, "ask what you may do on the host")?;
        if !answer.status.is_some_and(|status| status.allowed) {
            let place = namespace.map(|namespace| format!(" in namespace {namespace}"));
            missing.push(format!("{verb} {resource}{}", place.unwrap_or_default()));
        }
    }
    anyhow::ensure!(
        missing.is_empty(),
        "context {:?} may not {} on the host; ask an administrator of {} for that right",
        host.context,
        missing.join(", "),
        host.server
    );
    Ok(())
}

/// Writes the Secret. The credential is join's to set: a token that the operator renewed is replaced.
///
/// # Errors
/// When the API server refuses.
pub async fn write(
    host: &Connection,
    options: &Options,
    (name, server): (&str, &str),
    kubeconfig: &Kubeconfig,
    renewal: Option<&Renewal>,
) -> anyhow::Result<()> {
    let text = serde_saphyr::to_string(kubeconfig).context("failed to write the member's kubeconfig")?;
    let mut secret = secret(&options.operator_namespace, name, &text, renewal);
    // So that unjoin finds the member also when the SkyCluster is gone.
    secret["metadata"]["annotations"][SERVER_ANNOTATION] = json!(server);
    let name = secret_name(name);
    Api::<Secret>::namespaced(host.client.clone(), &options.operator_namespace)
        .patch(
            &name,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(&secret),
        )
        .await
        .at(
            host,
            format!("write Secret {}/{name}", options.operator_namespace),
        )?;
    Ok(())
}

fn secret(namespace: &str, cluster: &str, kubeconfig: &str, renewal: Option<&Renewal>) -> Value {
    let annotations = match renewal {
        Some(renewal) => json!({
            SERVICE_ACCOUNT_ANNOTATION: renewal.service_account,
            TOKEN_SECONDS_ANNOTATION: renewal.token_seconds.to_string(),
        }),
        None => json!({}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(cluster),
            "namespace": namespace,
            "labels": {SECRET_MEMBER_LABEL: cluster},
            "annotations": annotations,
        },
        "type": "Opaque",
        "data": {KUBECONFIG_KEY: STANDARD.encode(kubeconfig)},
    })
}

/// Writes the SkyCluster: made when missing, else only the Secret's name, the server and these labels are set.
///
/// # Errors
/// When it is of another manager, or the API server refuses.
pub async fn cluster(
    host: &Connection,
    name: &str,
    server: &str,
    labels: &BTreeMap<String, String>,
) -> anyhow::Result<()> {
    let api: Api<SkyCluster> = Api::all(host.client.clone());
    let access = json!({"kubeconfigSecretRef": {"name": secret_name(name), "key": KUBECONFIG_KEY}});
    let metadata = json!({"name": name, "labels": labels, "annotations": {SERVER_ANNOTATION: server}});
    let doing = format!("write SkyCluster {name}");
    let present = api.get_metadata_opt(name).await.at(host, &doing)?;
    if present.is_some_and(|present| present.metadata.deletion_timestamp.is_some()) {
        anyhow::bail!("SkyCluster {name} is being deleted; wait until it is gone and join again");
    }
    // A merge patch keeps what others wrote; apply would drop the labels of an earlier join.
    let patch = json!({"metadata": metadata, "spec": {"kubernetes": access}});
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(name, &params, &Patch::Merge(&patch)).await {
        Err(error) if is_not_found(&error) => {
            let object = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "SkyCluster", "metadata": metadata,
                "spec": {"manager": "kubernetes", "kubernetes": access}});
            let params = PostParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PostParams::default()
            };
            api.create(&params, &serde_json::from_value(object)?)
                .await
                .at(host, &doing)?;
        }
        other => {
            other.at(host, &doing)?;
        }
    }
    Ok(())
}
