//! Secrets that will not do: each says in its SkyCluster's status what is wrong and what to do, harms no other member,
//! and heals when the Secret is mended. Part of the suite `credentials`.

use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::try_join_all;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use sky_crds::SkyCluster;

use super::{B, kubeconfig, secrets, shared};
use crate::operator;
use crate::pki::Authority;
use crate::runner::Context;
use crate::suites::sky::{SOON, Sky, cluster_conditions, is_true, words};
use crate::wait;

/// One Secret that will not do.
struct Bad {
    name: &'static str,
    /// What is in the Secret; None: there is none.
    data: Option<Value>,
    labelled: bool,
    /// The reason of Ready=False.
    reason: &'static str,
    /// Whether nothing will change by itself.
    stalled: bool,
    /// What the message has to name.
    names: &'static str,
}

pub(super) async fn what_will_not_do_is_named_and_heals(context: &Context) -> Result<()> {
    let sky = shared(context).await?;
    let good = kubeconfig(&sky).await?;
    let bad = table(&good)?;
    try_join_all(bad.iter().map(|bad| write(&sky, bad))).await?;
    for bad in &bad {
        let cluster = sky
            .cluster_until(bad.name, bad.reason, |cluster| says(cluster, bad))
            .await?;
        let shown = words(&cluster_conditions(&cluster));
        ensure!(
            shown.contains(bad.names),
            "{} does not name {}: {shown}",
            bad.name,
            bad.names
        );
        context
            .reporter
            .result(format!("  {:18} {}", bad.name, message(&cluster)));
    }
    sky.create(
        "unharmed",
        json!({"run": "true", "replicas": 2, "resources": {"cpu": "10m"}}),
    )
    .await?;
    sky.complete("unharmed")
        .await
        .context("the other members go on")?;
    sky.delete("unharmed").await?;

    // Every one of them has the good kubeconfig now: it is noticed without anybody's doing.
    let healed = json!({"kubeconfig": good.to_string()});
    for bad in &bad {
        secret(&sky, bad.name, true, &healed).await?;
    }
    for bad in &bad {
        sky.cluster_until(bad.name, "Ready by itself", |cluster| {
            is_true(&cluster_conditions(cluster), "Ready")
        })
        .await?;
    }
    // The Secret goes last: a cluster that cannot be reached any more would be held.
    for bad in &bad {
        sky.clusters().delete(bad.name, &DeleteParams::default()).await?;
    }
    wait::until("them to go", SOON, async || {
        let left = sky.clusters().list(&ListParams::default()).await?.items;
        let left = left
            .iter()
            .filter(|cluster| bad.iter().any(|bad| cluster.name_any() == bad.name));
        match left.clone().next() {
            None => Ok(()),
            Some(cluster) => bail!(
                "{} are left: {}",
                left.count(),
                words(&cluster_conditions(cluster))
            ),
        }
    })
    .await?;
    for bad in &bad {
        secrets(&sky)
            .delete(&format!("of-{}", bad.name), &DeleteParams::default())
            .await?;
    }
    sky.cluster_until(B, "Ready all along", |cluster| {
        is_true(&cluster_conditions(cluster), "Ready")
    })
    .await?;
    Ok(())
}

/// Secrets that are refused as they are, and such that lead nowhere.
fn table(good: &Value) -> Result<Vec<Bad>> {
    let mut all = refused(good);
    all.extend(useless(good)?);
    Ok(all)
}

/// The good kubeconfig with another value in this place.
fn changed(good: &Value, path: &str, value: Value) -> Value {
    let mut changed = good.clone();
    if let Some(place) = changed.pointer_mut(path) {
        *place = value;
    }
    json!({"kubeconfig": changed.to_string()})
}

fn wrong(name: &'static str, data: Value, names: &'static str) -> Bad {
    Bad {
        name,
        data: Some(data),
        labelled: true,
        reason: "InvalidKubeconfig",
        stalled: true,
        names,
    }
}

fn refused(good: &Value) -> Vec<Bad> {
    let user = |value: Value| changed(good, "/users/0/user", value);
    let exec = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/true"}});
    let files = json!({"client-certificate": "/etc/ssl/a.crt", "client-key": "/etc/ssl/a.key"});
    let plain = changed(good, "/clusters/0/cluster/server", json!("http://127.0.0.1:1"));
    vec![
        Bad {
            data: None,
            reason: "SecretNotFound",
            ..wrong("no-secret", json!({}), "kubectl sky join")
        },
        Bad {
            reason: "SecretKeyMissing",
            ..wrong("no-key", json!({"other": "x"}), "has no key kubeconfig")
        },
        Bad {
            labelled: false,
            reason: "SecretNotLabelled",
            ..wrong(
                "no-label",
                json!({"kubeconfig": good.to_string()}),
                "skymanager.io/member",
            )
        },
        wrong("garbage", json!({"kubeconfig": "one: [two"}), "write it anew"),
        wrong("runs-a-program", user(exec), "exec"),
        wrong("reads-files", user(files), "-data"),
        wrong("no-tls", plain, "https://"),
        wrong(
            "no-context",
            changed(good, "/current-context", json!("nowhere")),
            "nowhere",
        ),
    ]
}

fn useless(good: &Value) -> Result<Vec<Bad>> {
    let user = |value: Value| changed(good, "/users/0/user", value);
    // The discard port: nobody listens there.
    let closed = changed(good, "/clusters/0/cluster/server", json!("https://127.0.0.1:9"));
    let stranger = STANDARD.encode(Authority::new("stranger")?.certificate);
    let stranger = changed(
        good,
        "/clusters/0/cluster/certificate-authority-data",
        json!(stranger),
    );
    Ok(vec![
        Bad {
            reason: "Unreachable",
            stalled: false,
            ..wrong(
                "nobody-there",
                closed,
                "check that the server of its kubeconfig is up",
            )
        },
        Bad {
            reason: "Unreachable",
            stalled: false,
            ..wrong("wrong-authority", stranger, "certificate-authority-data")
        },
        Bad {
            reason: "Unauthorized",
            ..wrong("wrong-token", user(json!({"token": "none"})), "kubectl sky join")
        },
        Bad {
            reason: "TokenExpired",
            ..wrong("old-token", user(json!({"token": OLD_TOKEN})), "kubectl sky join")
        },
    ])
}

/// A web token that ended in 2001: `{"iat":999990000,"exp":1000000000}`. Signed by nobody.
const OLD_TOKEN: &str = "e30.eyJpYXQiOjk5OTk5MDAwMCwiZXhwIjoxMDAwMDAwMDAwfQ.c2ln";

fn says(cluster: &SkyCluster, bad: &Bad) -> bool {
    let conditions = cluster_conditions(cluster);
    let ready = conditions.iter().any(|c| {
        c.type_ == "Ready" && c.status == "False" && c.reason == bad.reason && !c.message.is_empty()
    });
    ready && is_true(&conditions, "Stalled") == bad.stalled
}

fn message(cluster: &SkyCluster) -> String {
    let conditions = cluster_conditions(cluster);
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    ready
        .map(|c| format!("{}: {}", c.reason, c.message))
        .unwrap_or_default()
}

async fn write(sky: &Sky, bad: &Bad) -> Result<()> {
    if let Some(data) = &bad.data {
        secret(sky, bad.name, bad.labelled, data).await?;
    }
    let reference = json!({"kubeconfigSecretRef": {"name": format!("of-{}", bad.name)}});
    let cluster = json!({
        "apiVersion": "skymanager.io/v1alpha1", "kind": "SkyCluster", "metadata": {"name": bad.name},
        "spec": {"manager": "kubernetes", "kubernetes": reference, "unschedulable": true},
    });
    sky.lab.host()?.apply(&cluster.to_string()).await.map(|_| ())
}

async fn secret(sky: &Sky, cluster: &str, labelled: bool, data: &Value) -> Result<()> {
    let labels = if labelled {
        json!({"skymanager.io/member": cluster})
    } else {
        json!({})
    };
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "stringData": data,
        "metadata": {"name": format!("of-{cluster}"), "namespace": operator::NAMESPACE, "labels": labels},
    });
    sky.lab.host()?.apply(&secret.to_string()).await.map(|_| ())
}
