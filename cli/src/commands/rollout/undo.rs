//! Undo: takes a deployment's template back to a revision. Replicas, placement and all else of its spec stay.

use kube::ResourceExt as _;
use kube::api::PostParams;
use sky_convert::revision::{self, Kept};
use sky_core::revision::hash;
use sky_crds::SkyDeployment;

use super::{Named, Target, numbered};
use crate::errors::At;
use crate::kinds::Kind;
use crate::output;

/// Take the template back to the revision before, or to one that is named.
///
/// Only what makes up the pods goes back; replicas, placement and strategy stay. A tool that keeps the deployment as Git
/// has it will undo the undo: change it in Git there.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) named: Named,
    /// The revision [default: the one before]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    to_revision: Option<i64>,
}

pub(super) async fn run(target: &Target, args: &Args) -> anyhow::Result<()> {
    let at = &target.host.connection;
    let reference = target.reference();
    // As it is stored, with fields that this version does not know.
    let api = Kind::Deployment.api(at.client.clone(), Some(&target.host.namespace));
    let doing = format!("get {reference} in namespace {}", target.host.namespace);
    let stored = api.get(&target.name).await.at(at, doing)?;
    let deployment: SkyDeployment = stored
        .clone()
        .try_parse()
        .map_err(|error| anyhow::anyhow!("failed to read {reference}: {error}"))?;
    anyhow::ensure!(
        deployment.spec.paused != Some(true),
        "{reference} is paused: nothing would be rolled out; kubectl sky rollout resume skyd/{} first",
        target.name
    );
    let kept = target.revisions(&deployment.uid().unwrap_or_default()).await?;
    let wanted = choose(&kept, &deployment, args.to_revision, &reference)?;
    let mut object = serde_json::to_value(&stored)?;
    revision::restore(&mut object, &wanted.template);
    // The version it was read at is in it: a change meanwhile is not overwritten.
    api.replace(
        &target.name,
        &PostParams::default(),
        &serde_json::from_value(object)?,
    )
    .await
    .at(at, format!("undo {reference}"))?;
    output::line(&format!(
        "{reference} rolled back to revision {} ({})",
        wanted.revision.number,
        revision::change(&wanted.template)
    ))?;
    Ok(())
}

/// The revision to go back to: the one asked for, else the newest whose template is not the present one.
pub(super) fn choose<'k>(
    kept: &'k [Kept],
    deployment: &SkyDeployment,
    number: Option<i64>,
    reference: &str,
) -> anyhow::Result<&'k Kept> {
    let present = hash(&revision::template(deployment));
    let wanted = match number {
        Some(number) => numbered(kept, number, reference)?,
        None => {
            let mut others = kept.iter().rev().filter(|kept| kept.revision.hash != present);
            others
                .next()
                .ok_or_else(|| anyhow::anyhow!("{reference} has no revision before the present one"))?
        }
    };
    anyhow::ensure!(
        wanted.revision.hash != present,
        "{reference} has the template of revision {} already",
        wanted.revision.number
    );
    Ok(wanted)
}
