//! The leader is killed, frozen or stopped in the middle of a burst, or its lease is taken. Part of the suite `leader`.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::replicas::{Replicas, holds};
use super::story::Story;
use crate::operator::{NAME, NAMESPACE, TERMS};
use crate::runner::Context;
use crate::suites::counts;
use crate::suites::counts::tally::Mark;
use crate::suites::faults::{burst, ledger};
use crate::suites::sky::{SOON, Sky};
use crate::wait;

/// SkyJobs of a burst.
const JOBS: usize = 100;
/// Writes of the leader after which it is struck: it is in the middle of the burst, which takes some 700.
const STRUCK_AT: usize = 200;
const BOUND: Duration = Duration::from_secs(300);
/// Exit code of an operator that lost its lease.
const LOST: i32 = 75;

/// Two operators, a burst of jobs, and the moment in it.
struct Scene {
    sky: Sky,
    mark: Mark,
    replicas: Replicas,
}

/// Returns when the leader is in the middle of the burst.
async fn scene(context: &Context, prefix: &str) -> Result<Scene> {
    let sky = Sky::on(context, &counts::plan()).await?;
    let replicas = Replicas::start(&sky).await?;
    let mark = Mark::now(&sky.lab)?;
    let before = Story::since(&mark, &sky)?.count(&replicas.leader);
    burst(&sky, prefix, JOBS, &counts::tiny("2s")).await?;
    wait::until("the leader to be busy", SOON, async || {
        let count = Story::since(&mark, &sky)?.count(&replicas.leader) - before;
        ensure!(count >= STRUCK_AT, "{count} writes");
        Ok(())
    })
    .await?;
    Ok(Scene { sky, mark, replicas })
}

impl Scene {
    /// Each job runs once, only who leads writes, and the lab is as it was. Answers how long the lease was not written.
    async fn close(self, context: &Context) -> Result<SignedDuration> {
        let jobs = self.sky.all_complete(BOUND).await?;
        ensure!(jobs.len() == JOBS, "{} jobs", jobs.len());
        ledger::once(&self.sky, &self.mark, &jobs).await?;
        let story = Story::since(&self.mark, &self.sky)?;
        let Replicas { leader, standby } = &self.replicas;
        let gap = story.shows_one_writer(leader, standby)?;
        context.remark(format!(
            "{} and {} writes, {:.1} s between",
            story.count(leader),
            story.count(standby),
            gap.as_secs_f64()
        ));
        self.sky.delete_all().await?;
        ledger::empty(&self.sky).await?;
        self.replicas.end(&self.sky).await?;
        Ok(gap)
    }
}

fn lease() -> SignedDuration {
    let [duration, ..] = TERMS;
    SignedDuration::from_secs(i64::try_from(duration).unwrap_or(i64::MAX))
}

pub(super) async fn a_leader_that_is_killed_is_followed_after_the_lease(context: &Context) -> Result<()> {
    let scene = scene(context, "killed").await?;
    scene.replicas.leader.kill().await?;
    holds(&scene.sky, &scene.replicas.standby).await?;
    let gap = scene.close(context).await?;
    ensure!(
        gap >= lease(),
        "taken over after {gap}, while the lease was in force"
    );
    Ok(())
}

pub(super) async fn a_leader_that_was_frozen_past_its_lease_writes_nothing_and_ends(
    context: &Context,
) -> Result<()> {
    let scene = scene(context, "frozen").await?;
    let Replicas { leader, standby } = &scene.replicas;
    leader.stop()?;
    holds(&scene.sky, standby).await?;
    wait::until("the other to write", SOON, async || {
        let count = Story::since(&scene.mark, &scene.sky)?.count(standby);
        ensure!(count > 0, "nothing yet");
        Ok(())
    })
    .await?;
    let code = leader.exit(SOON, |leader| leader.cont()).await?;
    let log = leader.log_tail(5);
    ensure!(code == LOST, "it ended with {code}: {log}");
    ensure!(log.contains("the lease was lost"), "{log}");
    scene.close(context).await?;
    Ok(())
}

pub(super) async fn a_clean_stop_hands_over_at_once(context: &Context) -> Result<()> {
    let scene = scene(context, "stopped").await?;
    let leader = &scene.replicas.leader;
    let code = leader.exit(SOON, |leader| leader.ask_to_end()).await?;
    let log = leader.log_tail(5);
    ensure!(code == 0, "it ended with {code}: {log}");
    holds(&scene.sky, &scene.replicas.standby).await?;
    let gap = scene.close(context).await?;
    ensure!(gap < lease(), "the lease was not given back: {gap}");
    Ok(())
}

pub(super) async fn a_leader_whose_lease_another_takes_says_so_once_and_ends(
    context: &Context,
) -> Result<()> {
    let sky = Sky::on(context, &counts::plan()).await?;
    let replicas = Replicas::start(&sky).await?;
    let leases: Api<Lease> = Api::namespaced(sky.client(), NAMESPACE);
    let taken = json!({"spec": {"holderIdentity": "somebody", "renewTime": "2099-01-01T00:00:00.000000Z"}});
    leases
        .patch(NAME, &PatchParams::default(), &Patch::Merge(taken))
        .await?;
    let leader = &replicas.leader;
    let code = leader.exit(SOON, |_| Ok(())).await?;
    let log = leader.log_tail(20);
    ensure!(code == LOST, "it ended with {code}: {log}");
    // What it said in cases before stands above.
    let now = log.rsplit("leading identity").next().unwrap_or_default();
    let told = now.matches("the lease was lost").count();
    ensure!(
        told == 1 && now.contains("somebody holds it"),
        "told {told} times: {log}"
    );
    replicas.end(&sky).await
}
