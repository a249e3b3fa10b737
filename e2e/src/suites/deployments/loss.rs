//! A member that falls silent. Part of the suite `deployments`.

use anyhow::{Result, ensure};
use serde_json::json;

use super::{create, delete, describe, every, serves, status, uid, web};
use crate::network::Network;
use crate::runner::Context;
use crate::suites::jobs::{CLOUD, shared};
use crate::suites::sky::{self, SOON};
use crate::wait;

pub(super) async fn the_replicas_of_a_lost_member_move_and_what_it_kept_goes_when_it_returns(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    sky.patch_cluster(CLOUD, json!({"spec": {"lostAfterSeconds": 5}}))
        .await?;
    create(&sky, "moved", web(4)).await?;
    serves(&sky, "moved", "mluo-cloud:2,mluo-onprem:2").await?;
    let member = sky.lab.member(CLOUD)?;
    member.network(Network::Refuse).await?;
    let found = serves(&sky, "moved", "mluo-onprem:4").await?;
    let evictions = status(&found).evictions;
    ensure!(
        evictions.len() == 1 && evictions[0].reason == "ClusterLost" && evictions[0].replicas == 2,
        "{evictions:?}"
    );
    member.network(Network::Pass).await?;
    let uid = uid(&sky, "moved").await?;
    wait::until("what it kept to go", SOON, async || {
        let left = every(&sky, &uid, CLOUD).await?.len() + sky.pods(&uid, CLOUD).await?.len();
        ensure!(left == 0, "{left} objects");
        Ok(())
    })
    .await?;
    let found = serves(&sky, "moved", "mluo-onprem:4").await?;
    ensure!(status(&found).replicas == Some(4), "{}", describe(&found));
    sky.patch_cluster(CLOUD, json!({"spec": {"lostAfterSeconds": null}}))
        .await?;
    delete(&sky, "moved").await
}
