//! Suite `config`: ConfigMaps and Secrets follow workloads to real containers, for an operator that may read them only
//! where it was allowed to. Its account on the host is the chart's; its rights are bounded for the time of a case.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::Suite;
use super::jobs::{CLOUD, ONPREM, on, shared};
use super::sky::{self, SOON, Sky, describe};
use crate::cluster::Cluster;
use crate::operator;
use crate::runner::Context;
use crate::wait;

pub const SUITE: Suite = Suite {
    name: "config",
    about: "ConfigMaps and Secrets follow workloads, where the operator may read them",
    cases: &[
        case!(self::what_is_forbidden_is_said_then_allowed_followed_and_removed),
        case!(self::what_is_foreign_on_a_member_is_left_alone),
    ],
};

const NAME: &str = "greeting";

/// What the operator needs on the host besides ConfigMaps and Secrets of users.
const BOUNDED: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sky-operator-bounded}
rules:
- {apiGroups: [skymanager.io], resources: ["*"], verbs: ["*"]}
- {apiGroups: [""], resources: [namespaces, events], verbs: ["*"]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: ["*"]}
- {apiGroups: [apps], resources: [controllerrevisions], verbs: ["*"]}
- {nonResourceURLs: ["*"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sky-operator-bounded}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sky-operator-bounded}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:serviceaccount:sky-system:sky-operator"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sky-operator-own, namespace: sky-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:serviceaccount:sky-system:sky-operator"}]
"#;

/// A job of one replica that prints what the ConfigMap and the Secret say, and runs on.
fn greeter(cluster: &str) -> Value {
    let from = |kind: &str| json!({kind: {"name": NAME, "key": "text"}});
    json!({
        "run": "echo \"$TEXT $SECRET\"; trap 'exit 0' TERM; sleep 600 & wait",
        "resources": {"cpu": "50m", "memory": "16Mi"}, "placement": on(&[cluster]),
        "env": [{"name": "TEXT", "valueFrom": from("configMapKeyRef")},
                {"name": "SECRET", "valueFrom": from("secretKeyRef")}],
    })
}

async fn text(member: &Cluster) -> Result<Option<String>> {
    let maps: Api<ConfigMap> = Api::namespaced(member.client().await?, "default");
    let found = maps.get_opt(NAME).await?;
    Ok(found.map(|map| map.data.unwrap_or_default().remove("text").unwrap_or_default()))
}

async fn reads(member: &Cluster, wanted: Option<&str>) -> Result<()> {
    let what = format!("ConfigMap {NAME} of {} to be {wanted:?}", member.name());
    wait::until(&what, 2 * SOON, async || {
        let found = text(member).await?;
        ensure!(found.as_deref() == wanted, "{found:?}");
        Ok(())
    })
    .await
}

/// Writes what the job names, on the host.
async fn write(host: &Cluster, text: &str) -> Result<()> {
    let documents = [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME, "namespace": "default"},
               "data": {"text": text}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME, "namespace": "default"},
               "stringData": {"text": "hush"}}),
    ];
    for document in documents {
        host.apply(&document.to_string()).await?;
    }
    Ok(())
}

/// The operator is the chart's account, with bounded rights, or the administrator that it otherwise is.
async fn bound(sky: &Sky, bounded: bool) -> Result<()> {
    let host = sky.lab.host()?;
    let user = if bounded {
        host.apply(BOUNDED).await?;
        "system:serviceaccount:sky-system:sky-operator"
    } else {
        operator::NAME
    };
    host.write_user(&sky.lab.dir().join("operator.kubeconfig"), user)?;
    host.daemon(operator::NAME)?.restart().await?;
    operator::ready(&host).await
}

pub(super) async fn what_is_forbidden_is_said_then_allowed_followed_and_removed(
    context: &Context,
) -> Result<()> {
    sky::need_real()?;
    let sky = shared(context).await?;
    bound(&sky, true).await?;
    let outcome = show(&sky).await;
    bound(&sky, false).await?;
    outcome
}

async fn show(sky: &Sky) -> Result<()> {
    let (host, member) = (sky.lab.host()?, sky.lab.member(ONPREM)?);
    write(&host, "hello").await?;
    sky.create("greeter", greeter(ONPREM)).await?;
    let waiting = sky.until_true("greeter", "Stalled", "ConfigForbidden").await?;
    let words = sky::message(&waiting, "Stalled");
    ensure!(words.contains("`kubectl sky allow-config default`"), "{words}");
    ensure!(text(&member).await?.is_none(), "copied without leave");

    let told = sky.lab.sky(&["allow-config", "default"]).await?;
    ensure!(
        told.contains("rolebinding.rbac.authorization.k8s.io/sky-follow created"),
        "{told}"
    );
    let again = sky.lab.sky(&["allow-config", "default"]).await?;
    ensure!(
        again.contains("sky-follow unchanged in namespace default"),
        "{again}"
    );
    sky.until("greeter", "running", |job| sky::phase(job) == "Running")
        .await?;
    wait::until("what the container sees", SOON, async || {
        let log = sky.lab.sky(&["logs", "job/greeter", "--rank", "0"]).await?;
        ensure!(log.contains("hello hush"), "{log}");
        Ok(())
    })
    .await?;

    write(&host, "hello again").await?;
    reads(&member, Some("hello again")).await?;
    sky.delete("greeter").await?;
    reads(&member, None).await?;

    super::deployments::create(sky, "greeter", super::deployments::web(2)).await?;
    let env = greeter(ONPREM)["env"].clone();
    super::deployments::patch(sky, "greeter", json!({"spec": {"env": env}})).await?;
    super::deployments::serves(sky, "greeter", "mluo-cloud:1,mluo-onprem:1").await?;
    for name in [ONPREM, CLOUD] {
        reads(&sky.lab.member(name)?, Some("hello again")).await?;
    }
    super::deployments::delete(sky, "greeter").await?;
    for name in [ONPREM, CLOUD] {
        reads(&sky.lab.member(name)?, None).await?;
    }
    let told = sky.lab.sky(&["allow-config", "default", "--remove"]).await?;
    ensure!(told.contains("deleted"), "{told}");
    Ok(())
}

pub(super) async fn what_is_foreign_on_a_member_is_left_alone(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let (host, member) = (sky.lab.host()?, sky.lab.member(ONPREM)?);
    write(&host, "hello").await?;
    member
        .kubectl(&["create", "configmap", NAME, "--from-literal=text=theirs"])
        .await?;
    sky.create("stranger", greeter(ONPREM)).await?;
    let found = sky
        .until("stranger", "sent back", |job| {
            let status = job.status.clone().unwrap_or_default();
            status.evictions.iter().any(|one| one.reason == "Conflict")
        })
        .await?;
    let words = found.status.clone().unwrap_or_default().evictions[0]
        .message
        .clone();
    ensure!(
        words
            .as_deref()
            .unwrap_or_default()
            .contains("ConfigMap greeting"),
        "{words:?}: {}",
        describe(&found)
    );
    sky.delete("stranger").await?;
    let maps: Api<ConfigMap> = Api::namespaced(member.client().await?, "default");
    let theirs = maps.get(NAME).await.context("theirs is gone")?;
    ensure!(
        theirs.labels().is_empty() && theirs.annotations().is_empty(),
        "touched"
    );
    reads(&member, Some("theirs")).await?;
    member.kubectl(&["delete", "configmap", NAME]).await.map(drop)
}
