//! `kubectl sky unjoin`: takes a member out: its SkyCluster, its Secret, and its account on the member.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::DeleteParams;
use kube::config::Kubeconfig;
use kube::{Api, ResourceExt as _};
use sky_crds::names::SERVER_ANNOTATION;
use tokio::time::Instant;

use super::OPERATOR_NAMESPACE;
use super::delete::{still_there, wait_gone};
use super::join::{account, register};
use crate::client::{self, Connection, Global, Host, Patience};
use crate::errors::{At, is_not_found};
use crate::kinds::Kind;
use crate::{kubeconfig, output};

/// Remove a member.
///
/// Deletes the SkyCluster and waits until the operator has withdrawn its shares, then deletes the Secret with the
/// credential, then the service account and its roles on the member, when a context of the kubeconfig reaches it.
/// Another host that joined the same cluster uses the same account: keep it there with --keep-member-account.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Name of the cluster
    name: String,
    /// Leave the service account and its roles on the member
    #[arg(long)]
    keep_member_account: bool,
    /// Context that reaches the member [default: one with the server that join recorded]
    #[arg(long, value_name = "CONTEXT")]
    from_context: Option<String>,
    /// Kubeconfig with that context [default: the host's kubeconfig]
    #[arg(long, value_name = "FILE")]
    kubeconfig_from: Option<PathBuf>,
    /// Namespace of the operator on the host
    #[arg(long, value_name = "NAMESPACE", default_value = OPERATOR_NAMESPACE)]
    operator_namespace: String,
    /// Longest wait for the SkyCluster to go
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    timeout: u64,
}

/// Removes the member; a second run goes on where the first stopped.
///
/// # Errors
/// When the SkyCluster stays, or something cannot be deleted.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let host = client::host(global, Patience::Calls).await?;
    let from = match &args.kubeconfig_from {
        Some(file) => client::read_kubeconfig(Some(file))?,
        None => host.kubeconfig.clone(),
    };
    let server = delete_cluster(&host.connection, &args).await?;
    let recorded = delete_secret(&host.connection, &args).await?;
    let server = server.or(recorded);
    if args.keep_member_account {
        return Ok(output::line(&format!(
            "{}: service account {} left on the member",
            args.name,
            account::REFERENCE
        ))?);
    }
    match member(&host, &from, &args, server.as_deref()).await? {
        Some(member) => {
            account::remove(&member).await?;
            output::line(&format!(
                "{}: service account {} and its roles deleted on {}; the namespace {} is left",
                args.name,
                account::REFERENCE,
                member.server,
                account::NAMESPACE
            ))?;
        }
        None => output::note(&format!(
            "{}: no context of the kubeconfig reaches the member{}; left there: service account {}, ClusterRole {} and its binding. Name a context by --from-context to delete them",
            args.name,
            server.map(|server| format!(" ({server})")).unwrap_or_default(),
            account::REFERENCE,
            account::NAME
        )),
    }
    Ok(())
}

/// Deletes the SkyCluster and waits; its server is the result. The Secret must outlive it: withdrawing needs it.
async fn delete_cluster(host: &Connection, args: &Args) -> anyhow::Result<Option<String>> {
    let api = Kind::Cluster.api(host.client.clone(), None);
    let name = &args.name;
    let reference = Kind::Cluster.reference(name);
    let Some(cluster) = api.get_opt(name).await.at(host, format!("get {reference}"))? else {
        output::note(&format!("{name}: there is no SkyCluster of this name"));
        return Ok(None);
    };
    match api.delete(name, &DeleteParams::default()).await {
        Err(error) if !is_not_found(&error) => {
            Err::<(), _>(error).at(host, format!("delete {reference}"))?;
        }
        _ => {}
    }
    let end = Instant::now() + Duration::from_secs(args.timeout);
    let uid = cluster.uid().unwrap_or_default();
    if let Some(object) = wait_gone(host, &api, name, &uid, end).await? {
        anyhow::bail!(
            "{}. Then run unjoin again; for a cluster that will not return: kubectl annotate skycluster {name} skymanager.io/abandon=true",
            still_there(Kind::Cluster, &object)
        );
    }
    output::line(&format!("{name}: SkyCluster deleted"))?;
    Ok(cluster.annotations().get(SERVER_ANNOTATION).cloned())
}

/// Deletes the Secret; the server that join recorded on it is the result, when the user may read it.
async fn delete_secret(host: &Connection, args: &Args) -> anyhow::Result<Option<String>> {
    let secret = register::secret_name(&args.name);
    let place = format!("{}/{secret}", args.operator_namespace);
    let api: Api<Secret> = Api::namespaced(host.client.clone(), &args.operator_namespace);
    let recorded = match api.get_metadata(&secret).await {
        Ok(metadata) => metadata.annotations().get(SERVER_ANNOTATION).cloned(),
        Err(_) => None,
    };
    match api.delete(&secret, &DeleteParams::default()).await {
        Ok(_) => output::line(&format!("{}: Secret {place} deleted", args.name))?,
        Err(error) if is_not_found(&error) => {}
        Err(error) => Err(error).at(host, format!("delete Secret {place}"))?,
    }
    Ok(recorded)
}

/// A connection to the member, by the context named, else by one of the same server.
async fn member(
    host: &Host,
    from: &Kubeconfig,
    args: &Args,
    server: Option<&str>,
) -> anyhow::Result<Option<Connection>> {
    let context = match (&args.from_context, server) {
        (Some(context), _) => {
            let reached = kubeconfig::server(from, context)?;
            if let Some(server) = server
                && !kubeconfig::same_server(&reached, server)
            {
                anyhow::bail!(
                    "context {context:?} reaches {reached}, but {} is {server}",
                    args.name
                );
            }
            Some(context.clone())
        }
        (None, Some(server)) => kubeconfig::contexts_of(from, server).into_iter().next(),
        (None, None) => None,
    };
    let Some(context) = context else {
        return Ok(None);
    };
    let (member, _) = client::connect(from, &context, Patience::Calls).await?;
    if kubeconfig::same_server(&member.server, &host.connection.server) {
        output::note("this member is the host itself");
    }
    Ok(Some(member))
}
