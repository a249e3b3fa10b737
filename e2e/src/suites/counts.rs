//! Suite `counts`: what a SkyJob costs in requests. Never times. One life, as the audit logs show it (`LIFE`):
//! the user creates it; 1. we add the finalizer, before anything exists that would have to be withdrawn; 2. we bind it:
//! placement and Scheduled in one write of the status, fenced; 3. on each member we create its Job; (4. replicas that
//! run for more than 5 s are shown running, in one write;) 5. we write the result. The user deletes it; 6. on each
//! member we delete its Job; 7. when that is seen gone, we remove the finalizer. `tally` counts.

pub(super) mod tally;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::{FutureExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::tally::{Mark, Tally};
use super::sky::{self, Sky};
use super::{Case, Suite};
use crate::plan::{MemberSpec, Plan};
use crate::runner::Context;
use crate::wait;

/// SkyJobs of each length.
const JOBS: usize = 100;
/// What we write about SkyClusters comes at most every 10 s: after this long without a write nothing is due.
const SETTLED: Duration = Duration::from_secs(13);
const BOUND: Duration = Duration::from_secs(300);

pub const SUITE: Suite = Suite {
    name: "counts",
    about: "requests that the operator makes, counted by the API servers",
    cases: &[
        Case {
            name: "one_life_is_these_requests_and_no_other",
            run: |context| life(context).boxed_local(),
        },
        Case {
            name: "a_hundred_short_and_a_hundred_long_jobs_cost_what_the_design_says",
            run: |context| burst(context).boxed_local(),
        },
    ],
};

/// Two members that hold the whole burst at once.
pub(super) fn plan() -> Plan {
    let member = |name| MemberSpec::kwok(name).sized(2, 8, "16Gi");
    Plan {
        members: vec![member("cloud-1"), member("cloud-2")],
        ..Plan::default()
    }
}

/// Two replicas that fit anywhere and run this long.
pub(super) fn tiny(run_for: &str) -> Value {
    json!({
        "replicas": 2, "run": "true", "resources": {"cpu": "10m", "memory": "1Mi"},
        "env": [{"name": "LAB_RUN_FOR", "value": run_for}],
    })
}

/// What we ask for in the life of one SkyJob of 10 s that is on one member: the server, and the request.
const LIFE: [(&str, &str); 7] = [
    ("host", "patch skyjobs"),
    ("host", "update skyjobs/status"),
    ("cloud", "create jobs"),
    ("host", "update skyjobs/status"),
    ("host", "update skyjobs/status"),
    ("cloud", "delete jobs"),
    ("host", "patch skyjobs"),
];

async fn life(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &plan()).await?;
    let mark = Mark::now(&sky.lab)?;
    sky.create("life", tiny("10s")).await?;
    let job = sky.complete("life").await?;
    ensure!(
        !sky::summary(&job).contains(','),
        "on one member: {}",
        sky::describe(&job)
    );
    sky.delete("life").await?;
    let told = mark.story(&sky.lab, &["skyjobs", "jobs", "namespaces", "events", "pods"])?;
    let lines = told
        .iter()
        .map(|(cluster, request)| format!("  {cluster:8} {request}"));
    context.reporter.result(lines.collect::<Vec<_>>().join("\n"));
    let found: Vec<(&str, &str)> = told
        .iter()
        .map(|(cluster, request)| {
            let server = if cluster == "host" { "host" } else { "cloud" };
            (server, request.as_str())
        })
        .collect();
    ensure!(found == LIFE, "expected {LIFE:?}");
    Ok(())
}

async fn burst(context: &Context) -> Result<()> {
    let sky = Sky::on(context, &plan()).await?;
    let servers = tally::metered(&sky.lab).await?;
    let begin = Mark::now(&sky.lab)?;

    let mut phases = Vec::new();
    let mut most = [0; 2];
    for (index, (name, run_for)) in [("short", "1s"), ("long", "10s")].into_iter().enumerate() {
        let mark = Mark::now(&sky.lab)?;
        run(&sky, name, run_for).await?;
        settle(&mark, &sky).await?;
        let tally = mark.tally(&sky.lab)?;
        most[index] = tally.most_per_object("skyjobs");
        phases.push((format!("{JOBS} of {run_for}"), tally));
    }
    let shares = placed_shares(&sky).await?;
    let mark = Mark::now(&sky.lab)?;
    sky.delete_all().await?;
    sky.all_gone(BOUND).await?;
    settle(&mark, &sky).await?;
    phases.push(("deletion".to_owned(), mark.tally(&sky.lab)?));
    phases.push(("quiet minute".to_owned(), quiet_minute(&sky).await?));
    context.reporter.result(tally::table(&phases));
    context.reporter.result(format!(
        "  at most {} host writes for a job of 1 s, {} for one of 10 s; {shares} shares",
        most[0], most[1]
    ));

    judge(context, &phases, most, shares)?;
    tally::agree(&begin, &servers, &sky.lab).await
}

/// Says of each claim whether it holds; fails if one does not.
fn judge(context: &Context, phases: &[(String, Tally)], most: [usize; 2], shares: usize) -> Result<()> {
    let [short, long, deletion, quiet] = phases else {
        bail!("{} phases", phases.len())
    };
    let over_all = |count: fn(&Tally) -> usize| phases.iter().map(|(_, tally)| count(tally)).sum::<usize>();
    let claims = [
        // One that its member starts late, or piece by piece, is told of once more.
        (
            most[0] <= 4 && short.1.objects_above("skyjobs", 3) <= JOBS / 20,
            "at most 3 host writes for a job of 1 s, 4 for one in twenty that its member holds up",
        ),
        (
            most[1] <= 5 && long.1.objects_above("skyjobs", 4) <= JOBS / 20,
            "at most 4 host writes for a job of 10 s, 5 for one in twenty that its member holds up",
        ),
        (
            over_all(Tally::refused) == 0,
            "no request was refused, none came too late (409)",
        ),
        (over_all(|tally| tally.of("create events")) == 0, "no Event"),
        (
            short.1.of("create jobs") + long.1.of("create jobs") == shares,
            "on members one create per share",
        ),
        (
            deletion.1.of("delete jobs") == shares,
            "and one delete per share when the jobs are deleted",
        ),
        (over_all(Tally::on_members) == 2 * shares, "and nothing else"),
        (
            deletion.1.of("patch skyjobs") == 2 * JOBS,
            "one write removes a finalizer",
        ),
        (quiet.1.all() == 0, "no write anywhere in a quiet minute"),
    ];
    for (holds, words) in claims {
        context
            .reporter
            .result(format!("  {} {words}", if holds { "ok" } else { "BROKEN" }));
    }
    let broken: Vec<_> = claims
        .iter()
        .filter(|(holds, _)| !holds)
        .map(|(_, words)| *words)
        .collect();
    ensure!(broken.is_empty(), "broken: {}", broken.join("; "));
    Ok(())
}

/// Runs the burst to its end.
async fn run(sky: &Sky, prefix: &str, run_for: &str) -> Result<()> {
    let names = (0..JOBS).map(|index| format!("{prefix}-{index}"));
    stream::iter(names.map(Ok))
        .try_for_each_concurrent(20, async |name| sky.create(&name, tiny(run_for)).await)
        .await?;
    sky.all_complete(BOUND).await.map(|_| ())
}

/// Shares of all SkyJobs, as their records have them.
async fn placed_shares(sky: &Sky) -> Result<usize> {
    let jobs = sky.all().await?;
    let placements = jobs
        .iter()
        .filter_map(|job| job.status.as_ref()?.placement.as_ref());
    Ok(placements.map(|placement| placement.shares.len()).sum())
}

/// Waits until we have written nothing for long enough that nothing is due any more.
pub(super) async fn settle(since: &Mark, sky: &Sky) -> Result<()> {
    let (mut known, mut changed) = (0, Instant::now());
    wait::until("the operator to come to rest", BOUND, async || {
        let count = since.tally(&sky.lab)?.all();
        if count != known {
            (known, changed) = (count, Instant::now());
        }
        ensure!(changed.elapsed() >= SETTLED, "{count} writes, the last just now");
        Ok(())
    })
    .await
}

/// A minute in which nothing happens; ends early at a write of ours.
pub(super) async fn quiet_minute(sky: &Sky) -> Result<Tally> {
    let (mark, begin) = (Mark::now(&sky.lab)?, Instant::now());
    wait::until("a minute to pass", BOUND, async || {
        let tally = mark.tally(&sky.lab)?;
        ensure!(
            tally.all() > 0 || begin.elapsed() >= Duration::from_secs(60),
            "not over"
        );
        Ok(tally)
    })
    .await
}
