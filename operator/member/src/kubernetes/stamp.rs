//! The stamp of a share as labels and annotations of its object, and back.

use std::collections::BTreeMap;

use kube::ResourceExt;
use sky_core::Seconds;
use sky_core::marks;
use sky_core::share::Stamp;
use sky_core::workload::Kind;

/// Labels of the object and of its pods.
pub(super) fn labels(stamp: &Stamp, object: &str) -> BTreeMap<String, String> {
    let pairs = [(marks::ORIGIN, &stamp.origin), (marks::UID, &stamp.uid)];
    let mut labels: BTreeMap<String, String> = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect();
    labels.insert(marks::SHARE.to_owned(), object.to_owned());
    labels
}

/// Annotations of the object.
pub(super) fn annotations(stamp: &Stamp) -> BTreeMap<String, String> {
    [
        (marks::KIND, stamp.kind.as_str().to_owned()),
        (marks::NAMESPACE, stamp.namespace.clone()),
        (marks::NAME, stamp.name.clone()),
        (marks::RUN, stamp.run.clone()),
        (marks::SHARE_ID, stamp.share.clone()),
        (marks::ATTEMPT, stamp.attempt.to_string()),
        (marks::SPEC_HASH, stamp.spec_hash.clone()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

/// Since when an object is a tombstone. A time that cannot be read was changed by somebody: it is one all the same, and
/// as if it were new for ever, so that nobody takes it for one that has served its time.
pub(super) fn tombstone(object: &impl ResourceExt) -> Option<Seconds> {
    let since = object.annotations().get(marks::TOMBSTONE)?;
    Some(since.parse().unwrap_or(Seconds::MAX))
}

/// The stamp of an object; `None` when it is not ours.
pub(super) fn read(object: &impl ResourceExt) -> Option<Stamp> {
    let label = |key: &str| object.labels().get(key).cloned();
    let annotation = |key: &str| object.annotations().get(key).cloned();
    let kind = match annotation(marks::KIND)?.as_str() {
        "SkyJob" => Kind::SkyJob,
        "SkyDeployment" => Kind::SkyDeployment,
        _ => return None,
    };
    Some(Stamp {
        origin: label(marks::ORIGIN)?,
        kind,
        namespace: annotation(marks::NAMESPACE)?,
        name: annotation(marks::NAME)?,
        uid: label(marks::UID)?,
        run: annotation(marks::RUN)?,
        share: annotation(marks::SHARE_ID)?,
        attempt: annotation(marks::ATTEMPT)?.parse().ok()?,
        spec_hash: annotation(marks::SPEC_HASH)?,
    })
}
