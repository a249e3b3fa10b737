//! A create that was on its way when its share was moved. Part of the suite `evictions`.

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::ledger::Ledger;
use super::{eviction, is_tombstone, shares, tombstone};
use crate::network::Network;
use crate::operator;
use crate::runner::Context;
use crate::suites::counts::tally::{Mark, is_ours};
use crate::suites::jobs::{CLOUD, KWOK, ONPREM, on, shared, simulated};
use crate::suites::sky::{self, SOON, Sky, phase, summary};
use crate::wait;

/// How often a create is to be caught. One escapes when it takes a new connection, as it does when all that there are
/// are in use.
const TRIES: u32 = 5;

/// A true freeze: the network keeps the operator's own request to create the share, and the operator itself is stopped.
/// Another operator moves the share. Then the network delivers the request.
pub(super) async fn a_create_that_was_frozen_on_its_way_runs_into_the_tombstone(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    let ledger = Ledger::of(&sky);
    let (host, member) = (sky.lab.host()?, sky.lab.member(ONPREM)?);
    let first = host.daemon(operator::NAME)?;
    let mark = Mark::now(&sky.lab)?;
    let [name, later] = caught(&sky, &ledger).await?;
    first.stop()?;

    host.apply(
        "apiVersion: skymanager.io/v1alpha1\nkind: FilterPolicy\nmetadata: {name: elsewhere}\nspec:\n  \
         clusterFilter: {exclude: [mluo-onprem]}\n  labelsSelector: {lab: frozen}\n",
    )
    .await?;
    let second = operator::second(&sky.lab)?;
    let job = sky.complete(&name).await?;
    ensure!(summary(&job) == "mluo-cloud:1", "{}", sky::describe(&job));
    let eviction = eviction(&job)?;
    ensure!(
        eviction.cluster == ONPREM && eviction.reason == "FilterPolicy",
        "{eviction:?}"
    );
    let object = tombstone(&sky, &name, ONPREM).await?;
    ensure!(
        creates(&sky, &mark, &object)? == [201],
        "the tombstone alone is created"
    );
    second.discard().await?;

    member.network(Network::Pass).await?;
    let answers = wait::until("the answer to the frozen create", SOON, async || {
        let codes = creates(&sky, &mark, &object)?;
        ensure!(codes.len() == 2, "creates of {object} were answered {codes:?}");
        Ok(codes)
    })
    .await?;
    ensure!(
        answers == [201, 409],
        "creates of {object} were answered {answers:?}"
    );
    // The first operator goes on with what it knew. When it has served another job there, it has caught up.
    first.cont()?;
    host.kubectl(&["delete", "fpol", "elsewhere"]).await?;
    let spec = json!({"template": ledger.template("true"), "placement": on(&[ONPREM])});
    sky.create("afterwards", spec).await?;
    sky.complete("afterwards").await?;
    tombstone(&sky, &name, ONPREM).await?;
    let starts = ledger.starts(&name)?;
    ensure!(starts == ["0 on mluo-cloud"], "started: {starts:?}");
    let job = sky.job(&name).await?;
    ensure!(
        phase(&job) == "Complete" && summary(&job) == "mluo-cloud:1",
        "{}",
        sky::describe(&job)
    );
    for name in ["afterwards", &later, &name] {
        sky.delete(name).await?;
    }
    Ok(())
}

/// A SkyJob that is bound to a member while the create of its share is kept by the network, and another by which that
/// is known.
async fn caught(sky: &Sky, ledger: &Ledger) -> Result<[String; 2]> {
    let member = sky.lab.member(ONPREM)?;
    for number in 1..=TRIES {
        let (name, later) = (format!("frozen-{number}"), format!("later-{number}"));
        let spec = json!({"template": ledger.template("true"), "placement": on(&[ONPREM, CLOUD])});
        member.network(Network::Freeze).await?;
        sky.create_labelled(&name, json!({"lab": "frozen"}), spec).await?;
        let bound = |job: &sky_crds::SkyJob| shares(job).iter().any(|share| share.cluster == ONPREM);
        sky.until(&name, "bound", bound).await?;
        // The share is created right after its bind is stored: before a job that is written only now is anywhere.
        sky.create(&later, simulated("1s")).await?;
        wait::until(&format!("{later} to be created"), SOON, async || {
            let count = sky.shares(&later, KWOK).await?.len();
            ensure!(count == 1, "{count} Jobs");
            Ok(())
        })
        .await?;
        let escaped = sky.shares(&name, ONPREM).await?;
        if escaped.is_empty() {
            return Ok([name, later]);
        }
        ensure!(!escaped.iter().any(is_tombstone), "evicted before its time");
        member.network(Network::Pass).await?;
        sky.delete(&name).await?;
        sky.delete(&later).await?;
    }
    bail!("no create was caught in {TRIES} tries")
}

/// How the member's server answered creates of the Job `object` by operators, in order.
fn creates(sky: &Sky, mark: &Mark, object: &str) -> Result<Vec<u16>> {
    let entries = mark.entries(&sky.lab.member(ONPREM)?)?.into_iter();
    let ours = entries.filter(|entry| {
        is_ours(entry) && entry.verb == "create" && entry.resource == "jobs" && entry.name == object
    });
    Ok(ours.map(|entry| entry.code).collect())
}
