//! What of a SkyJob is worth an Event: a failure of the whole, an eviction, and a foreign object in the way on a member.

use kube::Resource;
use sky_core::job::Status;
use sky_crds::SkyJob;

use super::Context;
use crate::event::{self, Trouble};

/// Tells what `wanted` says of trouble that `stored` did not.
pub(super) async fn tell(context: &Context, job: &SkyJob, stored: Option<&Status>, wanted: &Status) {
    let known = stored.map(troubles).unwrap_or_default();
    event::tell(&context.events, &job.object_ref(&()), &known, troubles(wanted)).await;
}

fn troubles(status: &Status) -> Vec<Trouble> {
    let failed = status
        .conditions
        .iter()
        .filter(|condition| condition.kind == "Failed" && condition.status);
    let failed = failed.map(|condition| (condition.reason.clone(), condition.message.clone()));
    let clusters = status.clusters.iter();
    let conflicts =
        clusters.filter_map(|cluster| event::conflict(&cluster.cluster, cluster.trouble.as_ref()));
    let evictions = event::evictions(&status.evictions);
    failed.chain(conflicts).chain(evictions).collect()
}
