//! Suite `evictions`: a share that must go, or cannot start, moves; nothing runs that the status does not account for.
//! Cases: `forbidden` (policies, taints, cordons), `late` (room taken from outside; a start in the instant of holding
//! back), `turned_away` (by a node), `frozen` (a create that was on its way). What has run is told by the replicas themselves, in `ledger`.

mod forbidden;
mod frozen;
mod late;
mod ledger;
mod turned_away;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use sky_crds::SkyJob;
use sky_crds::status::{Eviction, Share};

use super::Suite;
use super::sky::Sky;

/// Annotation on a Job that takes the name of a share that is gone.
const TOMBSTONE: &str = "skymanager.io/tombstone";

pub const SUITE: Suite = Suite {
    name: "evictions",
    about: "shares that must go, or cannot start, move; nothing runs unaccounted for",
    cases: &[
        case!(forbidden::a_policy_moves_a_running_share_and_only_that_share),
        case!(forbidden::without_a_try_left_an_evicted_job_fails_and_says_why),
        case!(late::room_taken_from_outside_after_the_bind_sends_the_share_elsewhere_once),
        case!(late::a_replica_that_starts_while_it_is_held_back_is_a_failed_try_never_a_silent_second_run),
        case!(turned_away::a_pod_that_its_node_turned_away_is_no_start_and_the_share_moves),
        case!(frozen::a_create_that_was_frozen_on_its_way_runs_into_the_tombstone),
    ],
};

/// What the status says of the shares.
fn shares(job: &SkyJob) -> Vec<Share> {
    let placement = job.status.as_ref().and_then(|status| status.placement.clone());
    placement.map(|placement| placement.shares).unwrap_or_default()
}

/// What the status says of evictions.
fn evictions(job: &SkyJob) -> Vec<Eviction> {
    let status = job.status.as_ref();
    status.map(|status| status.evictions.clone()).unwrap_or_default()
}

/// The one eviction that the status tells of.
fn eviction(job: &SkyJob) -> Result<Eviction> {
    let all = evictions(job);
    ensure!(all.len() == 1, "one eviction, not {all:?}");
    all.into_iter().next().context("no eviction")
}

fn is_tombstone(job: &Job) -> bool {
    let suspended = job.spec.as_ref().and_then(|spec| spec.suspend);
    job.annotations().contains_key(TOMBSTONE) && suspended == Some(true)
}

/// The tombstone that is all that a member has of a SkyJob; its name.
async fn tombstone(sky: &Sky, name: &str, member: &str) -> Result<String> {
    let jobs = sky.shares(name, member).await?;
    let names: Vec<String> = jobs.iter().map(ResourceExt::name_any).collect();
    ensure!(
        jobs.len() == 1 && jobs.iter().all(is_tombstone),
        "{member} is to have one tombstone of {name}, and has {names:?}"
    );
    let uid = sky.job(name).await?.uid().unwrap_or_default();
    let pods = sky.pods(&uid, member).await?;
    ensure!(pods.is_empty(), "{member} has {} pods of {name}", pods.len());
    names.into_iter().next().context("no tombstone")
}
