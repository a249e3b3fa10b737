//! `kubectl sky rollout`: how a changed template of a SkyDeployment goes over the clusters, and its revisions. kubectl's
//! own refuses custom resources. One file for those that look, one for those that change.

mod change;
mod history;
mod status;
mod undo;

use clap::Subcommand;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::Api;
use kube::api::ListParams;
use sky_convert::revision::{self, Kept};
use sky_crds::SkyDeployment;

use crate::client::{self, Global, Host, Patience};
use crate::errors::At;
use crate::kinds::{Kind, deployment_name};

/// Watch, undo, restart, pause or resume how a deployment's template rolls out.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Status(status::Args),
    History(history::Args),
    Undo(undo::Args),
    /// Start all replicas anew, cluster by cluster, as a changed template does
    Restart(Named),
    /// Let a changed template wait
    Pause(Named),
    /// Roll out what has waited
    Resume(Named),
}

#[derive(clap::Args, Debug)]
struct Named {
    /// The deployment: skyd/NAME or NAME
    #[arg(value_name = "skyd/NAME")]
    deployment: String,
}

/// Does it.
///
/// # Errors
/// When there is no such deployment, the host refuses, or a rollout that is watched has stopped.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let deployment = match &args.command {
        Command::Status(args) => &args.named,
        Command::History(args) => &args.named,
        Command::Undo(args) => &args.named,
        Command::Restart(named) | Command::Pause(named) | Command::Resume(named) => named,
    };
    let name = deployment_name(&deployment.deployment)?;
    let target = Target {
        host: client::host(global, Patience::Calls).await?,
        name,
    };
    match args.command {
        Command::Status(args) => status::run(&target, &args).await,
        Command::History(args) => history::run(&target, &args).await,
        Command::Undo(args) => undo::run(&target, &args).await,
        Command::Restart(_) => change::restart(&target, jiff::Timestamp::now()).await,
        Command::Pause(_) => change::pause(&target, true).await,
        Command::Resume(_) => change::pause(&target, false).await,
    }
}

/// The deployment that a command is about.
struct Target {
    host: Host,
    name: String,
}

impl Target {
    fn reference(&self) -> String {
        Kind::Deployment.reference(&self.name)
    }

    async fn get(&self) -> anyhow::Result<SkyDeployment> {
        let at = &self.host.connection;
        let api: Api<SkyDeployment> = Api::namespaced(at.client.clone(), &self.host.namespace);
        let doing = format!("get {} in namespace {}", self.reference(), self.host.namespace);
        api.get(&self.name).await.at(at, doing)
    }

    /// Its revisions, the oldest first.
    async fn revisions(&self, uid: &str) -> anyhow::Result<Vec<Kept>> {
        let at = &self.host.connection;
        let api: Api<ControllerRevision> = Api::namespaced(at.client.clone(), &self.host.namespace);
        let of = ListParams::default().labels(&revision::selector(uid));
        let listed = api
            .list(&of)
            .await
            .at(at, format!("list the revisions of {}", self.reference()))?;
        let mut kept: Vec<Kept> = listed
            .items
            .iter()
            .filter_map(|api| revision::from_api(api, uid))
            .collect();
        kept.sort_by_key(|kept| kept.revision.number);
        Ok(kept)
    }
}

/// The revision of this number.
fn numbered<'k>(kept: &'k [Kept], number: i64, reference: &str) -> anyhow::Result<&'k Kept> {
    let found = kept.iter().find(|kept| kept.revision.number == number);
    found.ok_or_else(|| {
        let numbers: Vec<String> = kept.iter().map(|kept| kept.revision.number.to_string()).collect();
        match numbers.as_slice() {
            [] => anyhow::anyhow!("{reference} has no revisions: no operator has rolled it out yet"),
            _ => anyhow::anyhow!(
                "revision {number} of {reference} is not kept; there are {}",
                numbers.join(", ")
            ),
        }
    })
}

#[cfg(test)]
mod tests;
