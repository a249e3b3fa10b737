//! `kubectl sky join`: makes a cluster a member. Steps, each safe to repeat, so that a second run mends a half one:
//! check the host → account on the member → token → Secret on the host → SkyCluster → wait for Ready.

pub mod account;
mod contexts;
mod ready;
pub mod register;
pub mod slurm;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use kube::config::{AuthInfo, Kubeconfig};
use tokio::time::{Instant, timeout};

use super::OPERATOR_NAMESPACE;
use crate::client::{self, Connection, Global, Host, Patience};
use crate::errors::At;
use crate::{kubeconfig, output, pairs};
use contexts::Candidate;
use register::Renewal;

/// Clusters that are joined at once by --all-contexts.
const AT_ONCE: usize = 8;
/// Seconds for one cluster's steps, so that a server that hangs does not hold up the others.
const ONE: Duration = Duration::from_secs(60);

/// Make a cluster a member.
///
/// On the member, join makes the namespace sky-system and in it the service account sky-manager, which may run jobs,
/// read pods, their logs, events and nodes, make namespaces, and issue tokens for itself; it may not read Secrets or
/// run commands in pods. On the host, join writes the Secret member-NAME with a kubeconfig for that account, and the
/// SkyCluster NAME. Join again at any time: it mends what is missing and renews the token.
///
/// A Slurm cluster is joined by --slurm URL --user USER and its user's token; docs/slurm.md says what it needs.
///
/// With --all-contexts every context of the kubeconfig becomes a member, but those of the host itself. Context names
/// are made into cluster names: lower case, everything but letters, digits and `-` becomes `-`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Name of the cluster
    #[arg(required_unless_present = "all_contexts", conflicts_with = "all_contexts")]
    name: Option<String>,
    /// Context that reaches the cluster
    #[arg(
        long,
        value_name = "CONTEXT",
        required_unless_present_any = ["all_contexts", "slurm"],
        conflicts_with = "all_contexts"
    )]
    from_context: Option<String>,
    /// Join every context except the host's
    #[arg(long)]
    all_contexts: bool,
    #[command(flatten)]
    slurm: slurm::Slurm,
    #[command(flatten)]
    options: Options,
}

/// Flags that `join` and `create cluster` share.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Kubeconfig with the cluster's context [default: the host's kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig_from: Option<PathBuf>,
    /// Labels of the cluster for placement, such as `--labels purpose dev`; labels it has are kept
    #[arg(long, num_args = 2, value_names = ["KEY", "VALUE"])]
    pub labels: Vec<String>,
    /// Namespace of the operator on the host; made when missing
    #[arg(long, value_name = "NAMESPACE", default_value = OPERATOR_NAMESPACE)]
    pub operator_namespace: String,
    /// Give the operator the context's own credential instead of an account with least rights
    #[arg(long)]
    pub admin_credential: bool,
    /// Life of the account's token; the operator renews it in time
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(i64).range(600..))]
    pub token_seconds: i64,
    /// Longest wait for the cluster to be Ready; 0: do not wait
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub wait: u64,
}

/// One member to be, and what it is to be called.
struct Wanted<'a> {
    name: &'a str,
    context: &'a str,
    options: &'a Options,
    labels: &'a BTreeMap<String, String>,
}

/// Joins one context, or all.
///
/// # Errors
/// When the host cannot be used, or any cluster was not joined.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if let (Some(name), Some(endpoint)) = (&args.name, &args.slurm.slurm) {
        return slurm::run(global, (name, endpoint), &args.slurm, &args.options).await;
    }
    match (&args.name, &args.from_context) {
        (Some(name), Some(context)) => one(global, name, context, &args.options).await,
        _ => all(global, &args.options).await,
    }
}

/// Joins one context under a name.
///
/// # Errors
/// When a step fails; those before it stay, and the next run goes on from there.
pub async fn one(global: &Global, name: &str, context: &str, options: &Options) -> anyhow::Result<()> {
    let labels = pairs::map("--labels", &options.labels)?;
    let host = client::host(global, Patience::Calls).await?;
    let from = source(&host, options)?;
    kubeconfig::cluster(&from, context)?;
    let joined = register::check(&host.connection, &options.operator_namespace).await?;
    let wanted = Wanted {
        name,
        context,
        options,
        labels: &labels,
    };
    steps(&host.connection, &from, &wanted, &joined).await?;
    ready::tell(&host.connection, &[name], Duration::from_secs(options.wait)).await
}

/// The kubeconfig that has the contexts to join.
fn source(host: &Host, options: &Options) -> anyhow::Result<Kubeconfig> {
    match &options.kubeconfig_from {
        Some(file) => client::read_kubeconfig(Some(file)),
        None => Ok(host.kubeconfig.clone()),
    }
}

async fn all(global: &Global, options: &Options) -> anyhow::Result<()> {
    let labels = pairs::map("--labels", &options.labels)?;
    let host = client::host(global, Patience::Calls).await?;
    let from = source(&host, options)?;
    let joined = register::check(&host.connection, &options.operator_namespace).await?;
    let candidates = contexts::candidates(&from, &host.connection.server, &joined);
    let (from, joined, labels) = (&from, &joined, &labels);
    let host = &host.connection;
    let mut outcomes = futures::stream::iter(&candidates)
        .map(|candidate| async move {
            (
                candidate,
                candidate_steps(host, from, candidate, options, labels, joined).await,
            )
        })
        .buffered(AT_ONCE);
    let mut names = Vec::new();
    let mut failed = 0_usize;
    while let Some((candidate, outcome)) = outcomes.next().await {
        match (outcome, &candidate.name) {
            (Ok(()), Ok(name)) => {
                output::line(&format!("context {:?}: joined as {name}", candidate.context))?;
                names.push(name.as_str());
            }
            (Ok(()), Err(skipped)) => {
                output::line(&format!("context {:?}: skipped, {skipped}", candidate.context))?;
            }
            (Err(error), _) => {
                failed += 1;
                output::note(&format!("context {:?}: not joined: {error:#}", candidate.context));
            }
        }
    }
    if candidates.is_empty() {
        output::note("the kubeconfig has no context besides the host's own, which is joined only when named");
    }
    let told = ready::tell(host, &names, Duration::from_secs(options.wait)).await;
    anyhow::ensure!(
        failed == 0,
        "{failed} of {} contexts were not joined",
        candidates.len()
    );
    told
}

async fn candidate_steps(
    host: &Connection,
    from: &Kubeconfig,
    candidate: &Candidate,
    options: &Options,
    labels: &BTreeMap<String, String>,
    joined: &register::Joined,
) -> anyhow::Result<()> {
    let Ok(name) = &candidate.name else {
        return Ok(());
    };
    let wanted = Wanted {
        name,
        context: &candidate.context,
        options,
        labels,
    };
    match timeout(ONE, steps(host, from, &wanted, joined)).await {
        Ok(outcome) => outcome,
        Err(_) => anyhow::bail!("its server does not answer in time"),
    }
}

/// Everything but the wait.
async fn steps(
    host: &Connection,
    from: &Kubeconfig,
    wanted: &Wanted<'_>,
    joined: &register::Joined,
) -> anyhow::Result<()> {
    let Wanted { name, context, .. } = *wanted;
    let cluster = kubeconfig::cluster(from, context)?;
    let inlined =
        kubeconfig::inline_cluster(cluster).with_context(|| format!("context {context:?} cannot be used"))?;
    let server = inlined.server.clone().unwrap_or_default();
    joined.allows(name, &server)?;
    let copied = match wanted.options.admin_credential {
        true => Some(
            kubeconfig::user(from, context)
                .and_then(kubeconfig::inline_user)
                .with_context(|| format!("the credential of context {context:?} cannot be copied"))?,
        ),
        false => None,
    };
    let (member, _) = client::connect(from, context, Patience::Calls).await?;
    let version = member
        .client
        .apiserver_version()
        .await
        .at(&member, format!("reach cluster {name}"))?;
    output::line(&format!("{name}: Kubernetes {} at {server}", version.git_version))?;
    let (user_name, user, renewal) = credential(&member, wanted, copied).await?;
    let kubeconfig = kubeconfig::for_member(name, &user_name, inlined, user);
    register::write(
        host,
        wanted.options,
        (name, &server),
        &kubeconfig,
        renewal.as_ref(),
    )
    .await?;
    register::cluster(host, name, &server, wanted.labels).await?;
    output::line(&format!(
        "{name}: written on the host: SkyCluster {name}, Secret {}/{}",
        wanted.options.operator_namespace,
        register::secret_name(name)
    ))?;
    Ok(())
}

/// The account's token, or what was copied of the context; the name goes with it.
async fn credential(
    member: &Connection,
    wanted: &Wanted<'_>,
    copied: Option<AuthInfo>,
) -> anyhow::Result<(String, AuthInfo, Option<Renewal>)> {
    let Wanted {
        name,
        context,
        options,
        ..
    } = *wanted;
    if let Some(user) = copied {
        output::line(&format!(
            "{name}: the operator gets the credential of context {context:?}, with all its rights; it is not renewed"
        ))?;
        return Ok((format!("{name}-admin"), user, None));
    }
    account::ensure(member).await?;
    let token = account::token(member, options.token_seconds).await?;
    output::line(&format!(
        "{name}: service account {} made on the member, its token ends {}",
        account::REFERENCE,
        token.expires
    ))?;
    let user = AuthInfo {
        token: Some(token.text.into()),
        ..AuthInfo::default()
    };
    let renewal = Renewal {
        service_account: account::REFERENCE,
        token_seconds: options.token_seconds,
    };
    Ok((account::NAME.to_owned(), user, Some(renewal)))
}

/// When a wait of this length ends.
fn end_of(wait: Duration) -> Instant {
    Instant::now() + wait
}
