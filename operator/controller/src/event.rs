//! Events on the host's objects: they tell trouble, once when it begins. A life without trouble has none. What is worth one
//! is said by `job::event` and `deployment::event`.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use sky_core::eviction::Eviction;

/// The longest that an Event may take: it explains, nothing waits for it.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Reason code and words.
pub(crate) type Trouble = (String, String);

/// What writes Events under the operator's name.
pub(crate) fn recorder(client: Client) -> Recorder {
    let reporter = Reporter {
        controller: "skymanager.io/sky-operator".into(),
        instance: None,
    };
    Recorder::new(client, reporter)
}

/// Tells what of `wanted` is not `known` yet.
pub(crate) async fn tell(
    events: &Recorder,
    regarding: &ObjectReference,
    known: &[Trouble],
    wanted: Vec<Trouble>,
) {
    for (reason, message) in wanted {
        let told = |(before, words): &Trouble| {
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
        let told = tokio::time::timeout(DEADLINE, events.publish(&event, regarding)).await;
        if !matches!(told, Ok(Ok(()))) {
            tracing::debug!(?told, "failed to tell {reason}");
        }
    }
}

/// What is in the way on a member, if that is its trouble.
pub(crate) fn conflict(cluster: &str, trouble: Option<&sky_core::observation::Trouble>) -> Option<Trouble> {
    let trouble = trouble.filter(|trouble| trouble.reason == "Conflict")?;
    Some((
        trouble.reason.clone(),
        format!("on {cluster}: {}", trouble.message),
    ))
}

/// Each eviction in words of its own.
pub(crate) fn evictions(evictions: &[Eviction]) -> impl Iterator<Item = Trouble> {
    evictions.iter().map(|eviction| {
        let (at, cluster) = (eviction.at, &eviction.cluster);
        let words = format!(
            "{} replicas from {cluster} ({}, attempt {}, {at}): {}",
            eviction.replicas, eviction.reason, eviction.attempt, eviction.message
        );
        ("Evicted".to_owned(), words)
    })
}

fn cut(message: &str) -> String {
    let end = message.floor_char_boundary(LONGEST_NOTE);
    message[..end].to_owned()
}
