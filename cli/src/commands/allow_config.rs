//! `kubectl sky allow-config`: lets the operator read ConfigMaps and Secrets of one namespace of the host, by name and
//! nothing else, so that they follow the workloads that name them; or takes that back.

use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding, RoleRef, Subject};
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use serde_json::json;

use crate::client::{self, Connection, FIELD_MANAGER, Global, Patience};
use crate::commands::OPERATOR_NAMESPACE;
use crate::errors::{At, usage};
use crate::output;

/// The role, and its binding in each namespace where it is allowed.
const NAME: &str = "sky-follow";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Let ConfigMaps and Secrets of a namespace follow its workloads to member clusters.
///
/// The operator may then read the ConfigMaps and Secrets of this namespace of the host that the pods of a SkyJob or
/// SkyDeployment name; it cannot list them. It makes a RoleBinding sky-follow there of the ClusterRole sky-follow, which is
/// created if it is missing. Running it again changes nothing. Whoever may create workloads in the namespace can then
/// have any of its Secrets copied to the member clusters that their workloads may use.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Namespace of the host
    #[arg(value_name = "NAMESPACE")]
    allowed: String,
    /// Take it back
    #[arg(long)]
    remove: bool,
    /// Namespace of the operator
    #[arg(long, value_name = "NAMESPACE", default_value = OPERATOR_NAMESPACE)]
    operator_namespace: String,
    /// Service account of the operator
    #[arg(long, value_name = "NAME", default_value = "sky-operator")]
    service_account: String,
}

/// Allows, or takes it back.
///
/// # Errors
/// When the user lacks a right to it, or the namespace is the operator's own.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    if args.allowed == args.operator_namespace {
        return Err(usage(format!(
            "{} is the operator's own namespace: nothing is copied from there; name another one",
            args.allowed
        )));
    }
    let host = client::host(global, Patience::Calls).await?;
    let done = if args.remove {
        forbid(&host.connection, &args).await?
    } else {
        allow(&host.connection, &args).await?
    };
    for line in done {
        output::line(&line)?;
    }
    Ok(())
}

/// What was done, a line each.
async fn allow(at: &Connection, args: &Args) -> anyhow::Result<Vec<String>> {
    let mut done = vec![ensure_role(at).await?];
    let namespace = &args.allowed;
    let bindings: Api<RoleBinding> = Api::namespaced(at.client.clone(), namespace);
    let doing = format!("write RoleBinding {NAME} in namespace {namespace}");
    let verb = match look(at, &bindings, namespace).await? {
        None => {
            let binding = RoleBinding {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                role_ref: role(),
                subjects: Some(vec![account(args)]),
            };
            bindings.create(&params(), &binding).await.at(at, doing)?;
            "created"
        }
        Some(present) if has(&present, args) => "unchanged",
        Some(mut present) => {
            present.subjects.get_or_insert_default().push(account(args));
            bindings.replace(NAME, &params(), &present).await.at(at, doing)?;
            "changed"
        }
    };
    done.push(format!(
        "rolebinding.{RBAC}/{NAME} {verb} in namespace {namespace}"
    ));
    done.push(format!(
        "the operator {}:{} may read ConfigMaps and Secrets of namespace {namespace} by name",
        args.operator_namespace, args.service_account
    ));
    Ok(done)
}

async fn forbid(at: &Connection, args: &Args) -> anyhow::Result<Vec<String>> {
    let namespace = &args.allowed;
    let bindings: Api<RoleBinding> = Api::namespaced(at.client.clone(), namespace);
    let found = look(at, &bindings, namespace).await?;
    let Some(mut present) = found.filter(|present| has(present, args)) else {
        return Ok(vec![format!(
            "it was not allowed in namespace {namespace}; nothing was changed"
        )]);
    };
    let account = account(args);
    let left: Vec<Subject> = present.subjects.take().unwrap_or_default();
    let left: Vec<Subject> = left.into_iter().filter(|one| !is(one, &account)).collect();
    let verb = if left.is_empty() {
        let as_seen = DeleteParams {
            preconditions: Some(Preconditions {
                uid: present.metadata.uid.clone(),
                resource_version: present.metadata.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let deleted = bindings.delete(NAME, &as_seen).await;
        deleted.at(at, format!("delete RoleBinding {NAME} in namespace {namespace}"))?;
        "deleted"
    } else {
        present.subjects = Some(left);
        let doing = format!("write RoleBinding {NAME} in namespace {namespace}");
        bindings.replace(NAME, &params(), &present).await.at(at, doing)?;
        "changed"
    };
    Ok(vec![
        format!("rolebinding.{RBAC}/{NAME} {verb} in namespace {namespace}"),
        "copies on members stay until the workloads that use them go; they are kept in step no more"
            .to_owned(),
    ])
}

/// Makes the ClusterRole when there is none; one that is there is its administrator's.
async fn ensure_role(at: &Connection) -> anyhow::Result<String> {
    let roles: Api<ClusterRole> = Api::all(at.client.clone());
    let doing = format!("read ClusterRole {NAME}");
    if roles.get_opt(NAME).await.at(at, doing)?.is_some() {
        return Ok(format!("clusterrole.{RBAC}/{NAME} unchanged"));
    }
    let role = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "rules": [{"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["get"]}],
    }))?;
    let created = roles.create(&params(), &role).await;
    created.at(at, format!("create ClusterRole {NAME}"))?;
    Ok(format!("clusterrole.{RBAC}/{NAME} created"))
}

/// The binding that is there; it must be of our role.
async fn look(
    at: &Connection,
    bindings: &Api<RoleBinding>,
    namespace: &str,
) -> anyhow::Result<Option<RoleBinding>> {
    let found = bindings.get_opt(NAME).await;
    let found = found.at(at, format!("read RoleBinding {NAME} in namespace {namespace}"))?;
    match found {
        Some(other) if other.role_ref.name != NAME || other.role_ref.kind != "ClusterRole" => anyhow::bail!(
            "namespace {namespace} has a RoleBinding {NAME} of {} {}, not of ClusterRole {NAME}; delete it first",
            other.role_ref.kind,
            other.role_ref.name
        ),
        found => Ok(found),
    }
}

fn role() -> RoleRef {
    RoleRef {
        api_group: Some(RBAC.to_owned()),
        kind: "ClusterRole".to_owned(),
        name: NAME.to_owned(),
    }
}

fn account(args: &Args) -> Subject {
    Subject {
        api_group: None,
        kind: "ServiceAccount".to_owned(),
        name: args.service_account.clone(),
        namespace: Some(args.operator_namespace.clone()),
    }
}

fn is(one: &Subject, account: &Subject) -> bool {
    (&one.kind, &one.name, &one.namespace) == (&account.kind, &account.name, &account.namespace)
}

fn has(binding: &RoleBinding, args: &Args) -> bool {
    let account = account(args);
    let subjects = binding.subjects.iter().flatten();
    subjects.into_iter().any(|one| is(one, &account))
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

#[cfg(test)]
mod tests;
