//! What of a SkyDeployment is worth an Event: that it is stalled, an eviction, and what is in the way on a member.

use kube::Resource;
use sky_core::deployment::Status;
use sky_crds::SkyDeployment;

use super::Context;
use crate::event::{self, Trouble};

/// Tells what `wanted` says of trouble that `stored` did not.
pub(super) async fn tell(
    context: &Context,
    deployment: &SkyDeployment,
    stored: Option<&Status>,
    wanted: &Status,
) {
    let known = stored.map(troubles).unwrap_or_default();
    let regarding = deployment.object_ref(&());
    event::tell(&context.events, &regarding, &known, troubles(wanted)).await;
}

fn troubles(status: &Status) -> Vec<Trouble> {
    let conditions = status.conditions.iter();
    let stalled = conditions.filter(|condition| condition.kind == "Stalled" && condition.status);
    let mut troubles: Vec<Trouble> = stalled
        .map(|condition| (condition.reason.clone(), condition.message.clone()))
        .collect();
    for cluster in &status.clusters {
        let conflict = event::conflict(&cluster.cluster, cluster.trouble.as_ref());
        // Where the whole is stalled for it, that is told already.
        let told = troubles.iter().any(|(reason, _)| reason == "Conflict");
        troubles.extend(conflict.filter(|_| !told));
    }
    troubles.extend(event::evictions(&status.evictions));
    troubles
}
