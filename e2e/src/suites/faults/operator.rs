//! The operator is killed or stopped, or its host goes away. Part of the suite `faults`.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::{A, B, burst, ledger, pinned, report, shared, tried};
use crate::operator as daemon;
use crate::runner::Context;
use crate::suites::counts;
use crate::suites::counts::tally::Mark;
use crate::suites::sky::{SOON, Sky};
use crate::wait;

/// Kills while the burst runs, and while it is deleted.
const KILLS: [u64; 2] = [10, 4];

/// The moments are counted in requests of ours, from this seed: a moment that once did harm can be had again.
const SEED: u64 = 20_251_123;

pub(super) async fn killed_at_any_moment_every_job_runs_once(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let mark = Mark::now(&sky.lab)?;
    // More than fits at once, so that jobs are split and queue.
    let mut spec = counts::tiny("2s");
    spec["resources"] = json!({"cpu": "1500m", "memory": "1Mi"});
    burst(&sky, "killed", 20, &spec).await?;
    let mut random = Random(SEED);
    for _ in 0..KILLS[0] {
        kill_after(&sky, random.below(14), random.below(300)).await?;
    }
    daemon::ready(&sky.lab.host()?).await?;
    let jobs = sky.all_complete(Duration::from_secs(240)).await?;
    ensure!(jobs.len() == 20, "{} jobs", jobs.len());
    ledger::once(&sky, &mark, &jobs).await?;
    sky.delete_all().await?;
    for _ in 0..KILLS[1] {
        kill_after(&sky, random.below(10), random.below(300)).await?;
    }
    daemon::ready(&sky.lab.host()?).await?;
    ledger::empty(&sky).await?;
    report(context);
    Ok(())
}

/// Kills the operator when it has made this many requests since it is ready, and a little later; starts it again.
async fn kill_after(sky: &Sky, requests: u64, millis: u64) -> Result<()> {
    let operator = sky.lab.host()?.daemon(daemon::NAME)?;
    let mark = Mark::now(&sky.lab)?;
    let enough = async || {
        let made = mark.tally(&sky.lab)?.all() as u64;
        ensure!(made >= requests, "{made} requests of {requests}");
        Ok(())
    };
    // It may have no more to do: then it is killed at rest.
    let _ = wait::until("its requests", Duration::from_secs(8), enough).await;
    // Not to wait for something, but to hit any moment.
    sleep(Duration::from_millis(millis)).await;
    operator.restart().await?;
    tried();
    Ok(())
}

pub(super) async fn stopped_and_continued_it_goes_on(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let mark = Mark::now(&sky.lab)?;
    let operator = sky.lab.host()?.daemon(daemon::NAME)?;
    burst(&sky, "before", 5, &pinned(A, "1s")).await?;
    operator.stop()?;
    tried();
    burst(&sky, "meanwhile", 5, &pinned(B, "1s")).await?;
    let begun = sky.lab.member(A)?.kubectl(&["get", "jobs", "-o", "name"]).await?;
    for job in begun.lines() {
        let member = sky.lab.member(A)?;
        member
            .kubectl(&["wait", "--for=condition=Complete", "--timeout=60s", job])
            .await?;
    }
    operator.cont()?;
    ledger::close(&sky, &mark).await?;
    report(context);
    Ok(())
}

pub(super) async fn a_host_that_restarts_is_waited_for(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let host = sky.lab.host()?;
    let mark = Mark::now(&sky.lab)?;
    let operator = host.daemon(daemon::NAME)?;
    let before = operator.found();
    burst(&sky, "host", 10, &counts::tiny("3s")).await?;
    for program in ["kube-apiserver", "etcd"] {
        host.daemon(program)?.restart().await?;
        tried();
        host.api_ready(SOON).await?;
    }
    ensure!(operator.found() == before, "the operator did not live through it");
    ledger::close(&sky, &mark).await?;
    report(context);
    Ok(())
}

/// A small generator: the same moments each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // Knuth's multiplier; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}
