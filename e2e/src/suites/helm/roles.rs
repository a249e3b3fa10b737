//! Who may do what by the chart's roles and by the plugin's binding of one, as the API server itself says. Part of the suite `helm`.

use anyhow::{Result, ensure};

use super::{BOUND, Stage};
use crate::operator::NAMESPACE;
use crate::runner::Context;
use crate::wait;

/// A user, what is asked, and whether it is allowed.
const ASKED: &[(&str, &str, &str, bool)] = &[
    ("view", "get", "skyjobs", true),
    ("view", "watch", "skydeployments", true),
    ("view", "list", "filterpolicies", true),
    ("view", "create", "skyjobs", false),
    ("edit", "create", "skyjobs", true),
    ("edit", "delete", "skydeployments", true),
    ("edit", "patch", "skydeployments/scale", true),
    ("edit", "update", "skyjobs/status", false),
    ("edit", "create", "filterpolicies", false),
    ("edit", "create", "skynamespaces", false),
    ("admin", "create", "skyjobs", true),
    ("admin", "delete", "filterpolicies", false),
    ("admin", "create", "filterpolicies", false),
    ("admin", "update", "skyclusters", false),
    ("sky-view", "get", "skyclusters", true),
    ("sky-view", "create", "skyjobs", false),
    ("sky-edit", "create", "skyjobs", true),
    ("sky-edit", "create", "skyclusters", false),
    ("sky-edit", "patch", "filterpolicies", false),
    ("sky-admin", "create", "skyclusters", true),
    ("sky-admin", "delete", "skynamespaces", true),
    ("sky-admin", "update", "filterpolicies", true),
    ("sky-admin", "update", "skyclusters/status", false),
    ("sky-admin", "get", "secrets", false),
    ("sky-follow", "get", "secrets", true),
    ("sky-follow", "get", "configmaps", true),
    ("sky-follow", "list", "secrets", false),
    ("sky-follow", "get", "skyjobs", false),
];

/// What the operator's account may not do, in the namespace default.
const BEYOND: &[(&str, &str)] = &[
    ("get", "secrets"),
    ("list", "configmaps"),
    ("create", "pods"),
    ("delete", "skyjobs"),
    ("create", "skyjobs"),
    ("create", "clusterrolebindings"),
    ("escalate", "clusterroles"),
    ("create", "leases"),
    ("create", "pods/exec"),
];

/// What the operator's account may do in its own namespace, by name where it has one.
const OWN: &[(&str, &str, bool)] = &[
    ("list", "secrets", true),
    ("create", "secrets", false),
    ("delete", "secrets", false),
    ("create", "configmaps", true),
    ("get", "configmaps/sky-origin", true),
    ("get", "configmaps/another", false),
    ("update", "configmaps/sky-origin", false),
    ("create", "leases.coordination.k8s.io", true),
    ("update", "leases.coordination.k8s.io/sky-operator", true),
    ("get", "leases.coordination.k8s.io/another", false),
    ("update", "leases.coordination.k8s.io/another", false),
];

pub(super) async fn only_who_governs_may_write_rules(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    stage.install(4, &["--set", "replicas=0"]).await?;
    let mut faults = Vec::new();
    for role in [
        "view",
        "edit",
        "admin",
        "sky-view",
        "sky-edit",
        "sky-admin",
        "sky-follow",
    ] {
        let flags = [format!("--clusterrole={role}"), format!("--user=the-{role}")];
        let name = format!("test-{role}");
        let bind = ["create", "clusterrolebinding", &name, &flags[0], &flags[1]];
        stage.host.kubectl(&bind).await?;
    }
    wait::until("the roles to be aggregated", BOUND, async || {
        let asked = may(
            &stage,
            "create",
            "skyjobs",
            &["--as=the-edit", "--namespace=default"],
        );
        ensure!(asked.await?, "edit may not create skyjobs");
        Ok(())
    })
    .await?;
    for (role, verb, resource, wanted) in ASKED {
        let user = format!("--as=the-{role}");
        if may(&stage, verb, resource, &[&user, "--namespace=default"]).await? != *wanted {
            faults.push(format!("{role} {verb} {resource}: not {wanted}"));
        }
    }
    let account = format!("--as=system:serviceaccount:{NAMESPACE}:sky-operator");
    for (verb, resource) in BEYOND {
        if may(&stage, verb, resource, &[&account, "--namespace=default"]).await? {
            faults.push(format!("the operator may {verb} {resource} in default"));
        }
    }
    let own = format!("--namespace={NAMESPACE}");
    for (verb, object, wanted) in OWN {
        if can(&stage, &["auth", "can-i", verb, object, &account, &own]).await? != *wanted {
            faults.push(format!(
                "the operator {verb} {object} in {NAMESPACE}: not {wanted}"
            ));
        }
    }
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    allowed_by_the_plugin(&stage, &account).await?;
    stage
        .host
        .kubectl(&[
            "delete",
            "clusterrolebinding",
            "test-view",
            "test-edit",
            "test-admin",
            "test-sky-view",
            "test-sky-edit",
            "test-sky-admin",
            "test-sky-follow",
        ])
        .await?;
    stage.uninstall(4).await?;
    context.remark(format!("{} questions", ASKED.len() + BEYOND.len() + OWN.len()));
    Ok(())
}

/// `kubectl sky allow-config` binds the chart's own role, and nothing wider.
async fn allowed_by_the_plugin(stage: &Stage, account: &str) -> Result<()> {
    let place = [account, "--namespace=default"];
    let said = stage.sky(&["allow-config", "default"]).await?;
    ensure!(
        said.contains("clusterrole.rbac.authorization.k8s.io/sky-follow unchanged"),
        "the plugin has another role: {said}"
    );
    wait::until("the operator to be allowed", BOUND, async || {
        ensure!(may(stage, "get", "secrets", &place).await?, "not yet");
        Ok(())
    })
    .await?;
    ensure!(may(stage, "get", "configmaps", &place).await?, "no ConfigMaps");
    ensure!(
        !may(stage, "list", "secrets", &place).await?,
        "it may list Secrets"
    );
    stage.sky(&["allow-config", "default", "--remove"]).await?;
    wait::until("the right to be taken back", BOUND, async || {
        ensure!(!may(stage, "get", "secrets", &place).await?, "not yet");
        Ok(())
    })
    .await
}

async fn may(stage: &Stage, verb: &str, resource: &str, flags: &[&str]) -> Result<bool> {
    let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
    let group = match resource {
        kind if kind.starts_with("sky") || kind == "filterpolicies" => ".skymanager.io",
        _ => "",
    };
    let (resource, sub) = (format!("{resource}{group}"), format!("--subresource={sub}"));
    let ask = ["auth", "can-i", verb, &resource, &sub];
    can(stage, &[&ask[..], flags].concat()).await
}

/// What `kubectl auth can-i` says.
async fn can(stage: &Stage, ask: &[&str]) -> Result<bool> {
    // It says no by its exit code too.
    match stage.host.kubectl(ask).await {
        Ok(answer) => Ok(answer.trim() == "yes"),
        Err(error) if error.to_string().trim_end().ends_with("no") => Ok(false),
        Err(error) => Err(error),
    }
}
