//! The operator's account on a member: what it may do there, and its token. Used by join and unjoin.

use std::fmt;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::{Connection, FIELD_MANAGER};
use crate::errors::{At, is_not_found};

/// Namespace of the account on the member.
pub const NAMESPACE: &str = "sky-system";
/// The account, its cluster role and the binding of both.
pub const NAME: &str = "sky-manager";
/// The account in one word.
pub const REFERENCE: &str = "sky-system/sky-manager";
/// The role that lets the account issue tokens for itself, and its binding.
const TOKEN_ROLE: &str = "sky-manager-token";

/// A token and when it ends.
pub struct Token {
    /// The token; secret.
    pub text: String,
    /// When it ends, as the API server says.
    pub expires: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Token(ends {})", self.expires)
    }
}

/// What dispatch, observation and logs need, and nothing else: no commands in pods. ConfigMaps and Secrets are copied
/// there: they are read, changed and deleted by name, and cannot be listed or watched. RBAC cannot bound that to copies of
/// ours, nor creation to any name: the operator does. Namespaces are labelled,
/// and deleted when they are ours and empty; that they are is told by a ResourceQuota that counts, so that no right to
/// read what others keep there is needed. RBAC cannot bound deletion to namespaces of ours: the operator does.
fn rules() -> Value {
    json!([
        {"apiGroups": ["batch"], "resources": ["jobs"],
         "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"]},
        {"apiGroups": ["apps"], "resources": ["deployments"],
         "verbs": ["get", "list", "watch", "create", "patch", "update", "delete"]},
        {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods", "events", "nodes"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["namespaces"],
         "verbs": ["get", "list", "watch", "create", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["resourcequotas"], "resourceNames": ["sky-contents"],
         "verbs": ["get", "create", "patch"]},
        {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get", "create", "update", "delete"]},
        {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["default"], "verbs": ["get"]},
    ])
}

fn subjects() -> Value {
    json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}])
}

/// Makes the account and its rights; what is there already is brought to this state.
///
/// # Errors
/// When the user lacks the right to one of them.
pub async fn ensure(member: &Connection) -> anyhow::Result<()> {
    let rbac = "rbac.authorization.k8s.io";
    let client = || member.client.clone();
    let v1 = |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    apply::<Namespace>(member, &Api::all(client()), v1("Namespace", NAMESPACE)).await?;
    let accounts = Api::namespaced(client(), NAMESPACE);
    apply::<ServiceAccount>(member, &accounts, v1("ServiceAccount", NAME)).await?;
    let role = |kind: &str, name: &str, rules: Value| json!({"apiVersion": format!("{rbac}/v1"), "kind": kind, "metadata": {"name": name}, "rules": rules});
    let binding = |kind: &str, name: &str, role: &str| {
        json!({"apiVersion": format!("{rbac}/v1"), "kind": kind, "metadata": {"name": name},
               "roleRef": {"apiGroup": rbac, "kind": role, "name": name}, "subjects": subjects()})
    };
    let tokens = json!([{"apiGroups": [""], "resources": ["serviceaccounts/token"], "resourceNames": [NAME],
                         "verbs": ["create"]}]);
    apply::<ClusterRole>(member, &Api::all(client()), role("ClusterRole", NAME, rules())).await?;
    let roles = Api::namespaced(client(), NAMESPACE);
    apply::<Role>(member, &roles, role("Role", TOKEN_ROLE, tokens)).await?;
    let all = Api::all(client());
    apply::<ClusterRoleBinding>(member, &all, binding("ClusterRoleBinding", NAME, "ClusterRole")).await?;
    let bindings = Api::namespaced(client(), NAMESPACE);
    apply::<RoleBinding>(member, &bindings, binding("RoleBinding", TOKEN_ROLE, "Role")).await
}

/// Server-side apply; these names are ours, so another manager's change of them is taken back.
async fn apply<K>(member: &Connection, api: &Api<K>, object: Value) -> anyhow::Result<()>
where
    K: Clone + DeserializeOwned + fmt::Debug,
{
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    api.patch(
        &name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&object),
    )
    .await
    .at(member, format!("write {kind} {name} on the member"))?;
    Ok(())
}

/// Issues a token for the account.
///
/// # Errors
/// When the API server refuses or answers without one.
pub async fn token(member: &Connection, seconds: i64) -> anyhow::Result<Token> {
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(seconds),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = Api::<ServiceAccount>::namespaced(member.client.clone(), NAMESPACE)
        .create_token_request(NAME, &PostParams::default(), &request)
        .await
        .at(member, format!("issue a token for {REFERENCE}"))?;
    let status = answer.status.unwrap_or_default();
    match (status.token, status.expiration_timestamp) {
        (Some(text), Some(expires)) if !text.is_empty() => Ok(Token {
            text,
            expires: expires.0.to_string(),
        }),
        _ => anyhow::bail!("{} issued no token for {REFERENCE}", member.server),
    }
}

/// Removes the account and its rights; the namespace stays, it may hold what is not ours.
///
/// # Errors
/// When one of them cannot be deleted.
pub async fn remove(member: &Connection) -> anyhow::Result<()> {
    let client = || member.client.clone();
    delete::<ClusterRoleBinding>(member, Api::all(client()), NAME).await?;
    delete::<RoleBinding>(member, Api::namespaced(client(), NAMESPACE), TOKEN_ROLE).await?;
    delete::<ClusterRole>(member, Api::all(client()), NAME).await?;
    delete::<Role>(member, Api::namespaced(client(), NAMESPACE), TOKEN_ROLE).await?;
    delete::<ServiceAccount>(member, Api::namespaced(client(), NAMESPACE), NAME).await
}

async fn delete<K>(member: &Connection, api: Api<K>, name: &str) -> anyhow::Result<()>
where
    K: Clone + DeserializeOwned + fmt::Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Err(error) if !is_not_found(&error) => Err(error).at(member, format!("delete {name} on the member")),
        _ => Ok(()),
    }
}
