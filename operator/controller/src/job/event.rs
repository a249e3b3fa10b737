//! Events of a SkyJob: they tell trouble, once when it begins. A life without trouble has none.

use std::time::Duration;

use kube::Resource;
use kube::runtime::events::{Event, EventType};
use sky_core::job::Status;
use sky_crds::SkyJob;

use super::Context;

/// The longest that an Event may take: it explains, nothing waits for it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Tells what `wanted` says of trouble that `stored` did not.
pub(super) async fn tell(context: &Context, job: &SkyJob, stored: Option<&Status>, wanted: &Status) {
    let known = stored.map(troubles).unwrap_or_default();
    for (reason, message) in troubles(wanted) {
        let told = |(before, words): &(String, String)| {
            // Each eviction is news of its own; the words of other trouble may change while it lasts.
            *before == reason && (reason != "Evicted" || *words == message)
        };
        if known.iter().any(told) {
            continue;
        }
        let event = Event {
            type_: EventType::Warning,
            reason: reason.clone(),
            note: Some(cut(&message)),
            action: "Reconcile".into(),
            secondary: None,
        };
        let regarding = job.object_ref(&());
        let told = tokio::time::timeout(DEADLINE, context.events.publish(&event, &regarding)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(?told, "failed to tell {reason}");
        }
    }
}

/// What is worth an Event: a failure of the whole, an eviction, and a foreign object in the way on a member.
fn troubles(status: &Status) -> Vec<(String, String)> {
    let failed = status
        .conditions
        .iter()
        .filter(|condition| condition.kind == "Failed" && condition.status);
    let failed = failed.map(|condition| (condition.reason.clone(), condition.message.clone()));
    let conflicts = status.clusters.iter().filter_map(|cluster| {
        let trouble = cluster
            .trouble
            .as_ref()
            .filter(|trouble| trouble.reason == "Conflict")?;
        Some((
            trouble.reason.clone(),
            format!("on {}: {}", cluster.cluster, trouble.message),
        ))
    });
    let evictions = status.evictions.iter().map(|eviction| {
        let (at, cluster) = (eviction.at, &eviction.cluster);
        (
            "Evicted".to_owned(),
            format!(
                "{} replicas from {cluster} ({}, attempt {}, {at}): {}",
                eviction.replicas, eviction.reason, eviction.attempt, eviction.message
            ),
        )
    });
    failed.chain(conflicts).chain(evictions).collect()
}

fn cut(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_NOTE);
    message[..end].to_owned()
}
