//! Labels and annotations on what we create on members, by which it is known again. Written and read by sky-member;
//! the plugin finds pods by them.

/// Label: identity of the host that created it.
pub const ORIGIN: &str = "skymanager.io/origin";
/// Label: uid of the workload on the host.
pub const UID: &str = "skymanager.io/uid";
/// Label: name of the share's object.
pub const SHARE: &str = "skymanager.io/share";
/// Annotation: kind of the workload.
pub const KIND: &str = "skymanager.io/kind";
/// Annotation: namespace of the workload.
pub const NAMESPACE: &str = "skymanager.io/namespace";
/// Annotation: name of the workload.
pub const NAME: &str = "skymanager.io/name";
/// Annotation: run of the workload.
pub const RUN: &str = "skymanager.io/run";
/// Annotation: share id within the workload.
pub const SHARE_ID: &str = "skymanager.io/share-id";
/// Annotation: attempt of the share's ranks.
pub const ATTEMPT: &str = "skymanager.io/attempt";
/// Annotation: hash of the spec it was made from.
pub const SPEC_HASH: &str = "skymanager.io/spec-hash";
/// Annotation: since when it is a tombstone, in seconds since 1970. Who has it is never resumed.
pub const TOMBSTONE: &str = "skymanager.io/tombstone";

/// Annotation on a namespace: identity of the host that created it. A namespace without it was there before us: it is
/// never deleted.
pub const CREATED_BY: &str = "skymanager.io/created-by";
/// Annotation on a namespace: hash of the labels and annotations that were last put onto it.
pub const APPLIED: &str = "skymanager.io/applied";
/// Annotation on a namespace that we created: since when nothing of ours needs it, in seconds since 1970. Whoever puts
/// something into it takes this off first, which makes a deletion that is on its way fail.
pub const IDLE_SINCE: &str = "skymanager.io/idle-since";

/// Annotation on the copy of a ConfigMap or Secret: uid of the host's object that it is a copy of. With the label of the
/// origin it makes the copy ours; any other object of the name is foreign.
pub const COPY_OF: &str = "skymanager.io/copy-of";
