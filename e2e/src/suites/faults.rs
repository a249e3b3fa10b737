//! Suite `faults`: what breaks loses nothing and doubles nothing. Every case ends with `ledger`, which counts what
//! the members were asked to create. Cases: `operator` (killed, stopped, the host away), `network` (members cut),
//! `loss` (members lost, shares deleted, clusters and jobs that go).

pub(super) mod ledger;
mod loss;
mod network;
mod operator;

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use futures::{TryStreamExt, stream};
use serde_json::{Value, json};

use super::Suite;
use super::counts;
use super::sky::Sky;
use crate::runner::Context;

const A: &str = "cloud-1";
const B: &str = "cloud-2";

pub const SUITE: Suite = Suite {
    name: "faults",
    about: "what breaks loses nothing and doubles nothing",
    cases: &[
        case!(operator::killed_at_any_moment_every_job_runs_once),
        case!(operator::stopped_and_continued_it_goes_on),
        case!(operator::a_host_that_restarts_is_waited_for),
        case!(network::a_member_cut_at_any_time_delays_only_its_own),
        case!(network::a_member_whose_api_server_dies_is_found_again),
        case!(loss::a_lost_cluster_is_unknown_until_it_returns),
        case!(loss::a_lost_share_moves_and_exactly_one_attempt_survives),
        case!(loss::a_job_deleted_while_its_member_is_cut_is_held),
        case!(loss::a_share_deleted_on_its_member_fails_the_job),
        case!(loss::a_cluster_that_is_deleted_sends_its_jobs_away_and_goes),
    ],
};

/// Faults so far, over all cases.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// Counts one fault.
fn tried() {
    TRIED.fetch_add(1, Ordering::Relaxed);
}

/// Ends a case: says how many faults there were so far.
fn report(context: &Context) {
    let tried = TRIED.load(Ordering::Relaxed);
    context.reporter.result(format!("  {tried} faults tried so far"));
}

async fn shared(context: &Context) -> Result<Sky> {
    Sky::on(context, &counts::plan()).await
}

/// Two replicas on this cluster alone, which run this long.
fn pinned(cluster: &str, run_for: &str) -> Value {
    let mut spec = counts::tiny(run_for);
    spec["placement"] = json!({"filters": [{"matchLabels": {"skymanager.io/cluster-name": cluster}}]});
    spec
}

/// Writes SkyJobs `PREFIX-0`, `PREFIX-1`, … of this spec.
pub(super) async fn burst(sky: &Sky, prefix: &str, count: usize, spec: &Value) -> Result<()> {
    let names = (0..count).map(|index| format!("{prefix}-{index}"));
    stream::iter(names.map(Ok))
        .try_for_each_concurrent(10, async |name| sky.create(&name, spec.clone()).await)
        .await
}
