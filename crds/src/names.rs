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

/// Annotation on a SkyCluster: uid of its namespace kube-system when it was first reached. Another cluster under the same
/// name is not used.
pub const CLUSTER_ID_ANNOTATION: &str = "skymanager.io/cluster-id";
/// Annotation on a SkyCluster: `"true"` lets a dead cluster be deleted without withdrawing from it.
pub const ABANDON_ANNOTATION: &str = "skymanager.io/abandon";
/// Annotation on a SkyJob: a value given after its end, and not used before, runs it once more.
pub const RETRY_ANNOTATION: &str = "skymanager.io/retry";
/// Annotation on a SkyDeployment: when its pods were last asked to be started anew. Another value rolls them.
pub const RESTARTED_AT_ANNOTATION: &str = "skymanager.io/restarted-at";

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
