//! Well-known names: the API group, finalizers, labels and annotations. Read by every crate that marks or finds objects.

/// API group of the five kinds.
pub const GROUP: &str = "skymanager.io";
/// Served and stored version.
pub const VERSION: &str = "v1alpha1";

/// Finalizer on host objects whose shares must be withdrawn before they go.
pub const FINALIZER: &str = "skymanager.io/withdraw";

/// Label on a Secret of the operator's namespace: the SkyCluster that may read it.
pub const SECRET_MEMBER_LABEL: &str = "skymanager.io/member";

/// Annotation on a member's Secret: `NAMESPACE/NAME` of the service account on the member that its token belongs to.
/// Absent: the credential is not renewed.
pub const SERVICE_ACCOUNT_ANNOTATION: &str = "skymanager.io/service-account";
/// Annotation on a member's Secret: seconds that a renewed token is asked for.
pub const TOKEN_SECONDS_ANNOTATION: &str = "skymanager.io/token-seconds";
/// Annotation on a SkyCluster: URL of the member's API server, by which the plugin finds a context of the user's own.
pub const SERVER_ANNOTATION: &str = "skymanager.io/server";

/// Every cluster counts as carrying this label with its own name.
pub const CLUSTER_NAME_LABEL: &str = "skymanager.io/cluster-name";
/// Every cluster counts as carrying this label with its manager.
pub const CLUSTER_MANAGER_LABEL: &str = "skymanager.io/manager";

/// ConfigMap in the operator's namespace that holds this host's random identity under the key `origin`.
pub const ORIGIN_CONFIG_MAP: &str = "sky-origin";

/// Label on what we create on members: the identity of the host that created it.
pub const ORIGIN_LABEL: &str = "skymanager.io/origin";
/// Label on what we create on members: uid of the workload on the host.
pub const UID_LABEL: &str = "skymanager.io/uid";
/// Label on what we create on members: the share's object name.
pub const SHARE_LABEL: &str = "skymanager.io/share";
/// Annotation on what we create on members: kind of the workload on the host.
pub const KIND_ANNOTATION: &str = "skymanager.io/kind";
/// Annotation on what we create on members: namespace of the workload on the host.
pub const NAMESPACE_ANNOTATION: &str = "skymanager.io/namespace";
/// Annotation on what we create on members: name of the workload on the host.
pub const NAME_ANNOTATION: &str = "skymanager.io/name";
/// Annotation on what we create on members: the run this share belongs to.
pub const RUN_ANNOTATION: &str = "skymanager.io/run";
/// Annotation on what we create on members: the share's id within its placement.
pub const SHARE_ID_ANNOTATION: &str = "skymanager.io/share-id";
/// Annotation on what we create on members: the attempt of these ranks.
pub const ATTEMPT_ANNOTATION: &str = "skymanager.io/attempt";
/// Annotation on what we create on members: hash of the spec it was made from.
pub const SPEC_HASH_ANNOTATION: &str = "skymanager.io/spec-hash";

/// Annotation on a SkyCluster: `"true"` lets a dead cluster be deleted without withdrawing from it.
pub const ABANDON_ANNOTATION: &str = "skymanager.io/abandon";
/// Annotation on a workload: a value not seen before asks for a retry of a failed run.
pub const RETRY_ANNOTATION: &str = "skymanager.io/retry";

/// Label keys of a user's object that are not copied to members.
pub const UNCOPIED_KEY_PREFIXES: [&str; 6] = [
    "skymanager.io/",
    "kubectl.kubernetes.io/",
    "argocd.argoproj.io/",
    "helm.sh/",
    "meta.helm.sh/",
    "kustomize.toolkit.fluxcd.io/",
];
/// Single keys of a user's object that are not copied to members.
pub const UNCOPIED_KEYS: [&str; 2] = ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by"];
