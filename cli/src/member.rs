//! Reaching a member with rights that the user has anyway: a context of the user's own kubeconfig for the member's
//! server, else the member's Secret on the host where the user may read it. Used by logs.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::{Api, ResourceExt as _};
use sky_core::marks;
use sky_crds::SkyCluster;
use sky_crds::cluster::Manager;
use sky_crds::names::{SECRET_MEMBER_LABEL, SERVER_ANNOTATION};

use crate::client::{self, Connection, Host, Patience};
use crate::errors::{explain, is_forbidden, is_not_found};
use crate::kubeconfig;

/// Pods of one workload on one member, and the connection that may read them.
pub struct Pods {
    /// The connection.
    pub connection: Connection,
    /// The pods, of every share and try.
    pub pods: Vec<Pod>,
}

/// Lists a workload's pods on a member, by the first way that works.
///
/// # Errors
/// Says for every way why it does not work, and which right would open it.
pub async fn pods(
    host: &Host,
    operator_namespace: &str,
    cluster: &SkyCluster,
    namespace: &str,
    uid: &str,
) -> anyhow::Result<Pods> {
    let name = cluster.name_any();
    anyhow::ensure!(
        cluster.spec.manager == Manager::Kubernetes,
        "cluster {name} is a Slurm cluster: it has no pods"
    );
    let mut tried = Vec::new();
    let server = cluster.annotations().get(SERVER_ANNOTATION);
    let contexts = server.map(|server| kubeconfig::contexts_of(&host.kubeconfig, server));
    for context in contexts.unwrap_or_default() {
        match client::connect(&host.kubeconfig, &context, Patience::Streams).await {
            Ok((connection, _)) => match list(&connection, namespace, uid).await {
                Ok(pods) => return Ok(Pods { connection, pods }),
                Err(error) => tried.push(format!(
                    "by context {context:?}: {}",
                    explain(&error, &connection)
                )),
            },
            Err(error) => tried.push(format!("{error:#}")),
        }
    }
    if tried.is_empty() {
        let server = server.map_or_else(|| "its server".to_owned(), Clone::clone);
        tried.push(format!("no context of your kubeconfig reaches {server}"));
    }
    match by_secret(host, operator_namespace, cluster).await {
        Ok(connection) => match list(&connection, namespace, uid).await {
            Ok(pods) => return Ok(Pods { connection, pods }),
            Err(error) => tried.push(format!(
                "by the member's Secret: {}",
                explain(&error, &connection)
            )),
        },
        Err(error) => tried.push(format!("{error:#}")),
    }
    anyhow::bail!(
        "failed to reach cluster {name}{}: {}",
        unready(cluster),
        tried.join("; ")
    )
}

async fn list(connection: &Connection, namespace: &str, uid: &str) -> Result<Vec<Pod>, kube::Error> {
    let params = ListParams::default().labels(&format!("{}={uid}", marks::UID));
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    Ok(api.list(&params).await?.items)
}

/// A connection from the member's Secret, read with the user's own rights and vetted as the operator vets it.
async fn by_secret(host: &Host, namespace: &str, cluster: &SkyCluster) -> anyhow::Result<Connection> {
    let access = cluster.spec.kubernetes.as_ref();
    let Some(reference) = access.map(|access| &access.kubeconfig_secret_ref) else {
        anyhow::bail!("the SkyCluster names no Secret");
    };
    let place = format!("Secret {namespace}/{}", reference.name);
    let api: Api<Secret> = Api::namespaced(host.connection.client.clone(), namespace);
    let secret = api.get(&reference.name).await.map_err(|error| {
        if is_forbidden(&error) {
            anyhow::anyhow!(
                "you may not get {place} on the host; ask for that right, or for one to get pods/log on the member"
            )
        } else if is_not_found(&error) {
            anyhow::anyhow!("{place} is not there; join the cluster again, or name the operator's namespace by --operator-namespace")
        } else {
            anyhow::anyhow!("failed to read {place}: {}", explain(&error, &host.connection))
        }
    })?;
    let name = cluster.name_any();
    anyhow::ensure!(
        secret.labels().get(SECRET_MEMBER_LABEL) == Some(&name),
        "{place} is not labelled {SECRET_MEMBER_LABEL}: {name}"
    );
    let key = reference.key.as_deref().unwrap_or("kubeconfig");
    let data = secret.data.as_ref().and_then(|data| data.get(key));
    let Some(text) = data.and_then(|data| std::str::from_utf8(&data.0).ok()) else {
        anyhow::bail!("{place} has no text under {key}");
    };
    let member: Kubeconfig =
        kubeconfig::vetted(text).map_err(|error| anyhow::anyhow!("{place}: {error:#}"))?;
    let context = access
        .and_then(|access| access.context.clone())
        .or_else(|| member.current_context.clone());
    let (mut connection, _) =
        client::connect(&member, &context.unwrap_or_default(), Patience::Streams).await?;
    connection.context = place;
    Ok(connection)
}

/// What the operator says of a cluster that is not ready, to go with an error.
fn unready(cluster: &SkyCluster) -> String {
    let conditions = cluster.status.as_ref().map(|status| status.conditions.as_slice());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status != "True" => {
            format!(
                " (not Ready since {}: {})",
                ready.last_transition_time.0, ready.message
            )
        }
        _ => String::new(),
    }
}
