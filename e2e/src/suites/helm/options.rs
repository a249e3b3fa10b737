//! A release with every option that the other cases leave alone, all at once: the API server takes what they render to,
//! and the operator goes by it. Part of the suite `helm`.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{BOUND, MEMBER, Stage};
use crate::operator::{self, NAMESPACE};
use crate::programs::Source;
use crate::runner::Context;
use crate::slot::Port;
use crate::suites::sky::Sky;
use crate::{image, wait};

const MONITORS: &str = "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml";
const ORIGIN: &str = "a-restored-host";
/// An image that is nowhere, so that a job shows whether the configuration's is used.
const NOWHERE: &str = "nowhere.example.com/none:1";

pub(super) async fn a_release_with_every_option_is_taken_and_gone_by(context: &Context) -> Result<()> {
    let stage = Stage::on(context).await?;
    let source = Source::of("prometheus-operator")?;
    let monitors = source.file(MONITORS, &context.reporter).await?;
    let monitors = monitors.display().to_string();
    let kubectl = async |arguments: &[&str]| stage.host.kubectl(arguments).await;
    kubectl(&["apply", "--server-side", "--filename", &monitors]).await?;
    let there = kubectl(&["get", "namespace", NAMESPACE, "--ignore-not-found"]).await?;
    if there.is_empty() {
        kubectl(&["create", "namespace", NAMESPACE]).await?;
    }
    let own = ["--namespace", NAMESPACE];
    let pull = [
        "create",
        "secret",
        "docker-registry",
        "pull",
        "--docker-server=nowhere.example.com",
        "--docker-username=nobody",
        "--docker-password=none",
    ];
    kubectl(&[&pull[..], &own].concat()).await?;
    // What an earlier case left is another host's here.
    let origin = ["delete", "configmap", "sky-origin", "--ignore-not-found"];
    kubectl(&[&origin[..], &own].concat()).await?;

    let port = stage.host.port(Port::Operator);
    let values = stage.lab.dir().join("options.yaml");
    let api_server = stage.host.port(Port::ApiServer);
    std::fs::write(&values, serde_saphyr::to_string(&options(port, api_server))?)?;
    stage
        .install(4, &["--values", &values.display().to_string()])
        .await?;
    for object in [
        "networkpolicy/sky-operator",
        "servicemonitor/sky-operator",
        "configmap/sky-argocd",
        "clusterrolebinding/sky-follow",
    ] {
        kubectl(&[&["get", object][..], &own].concat()).await?;
    }
    stage.helm(4, &[&["test", "sky"][..], &own].concat()).await?;

    let metrics = operator::get(port, "/metrics").await?;
    ensure!(metrics.contains("sky_build_info"), "{metrics}");
    stage.log_says(NAMESPACE, "only-near").await?;
    let origin = ["get", "configmap", "sky-origin", "-o", "jsonpath={.data.origin}"];
    let origin = kubectl(&[&origin[..], &own].concat()).await?;
    ensure!(origin == ORIGIN, "the origin is {origin}");
    follows(&stage).await?;
    stage.lab.sky(&["unjoin", MEMBER]).await?;
    stage.uninstall(4).await?;
    // Of another host than the cases after this one have.
    kubectl(&["delete", "namespace", NAMESPACE]).await?;
    kubectl(&["delete", "--filename", &monitors]).await?;
    Ok(())
}

/// What the golden file `everything` has and a lab can have. In the node's network, which is this machine's, the API
/// servers are where the lab's own programs find them.
fn options(port: u16, api_server: u16) -> Value {
    json!({
        "replicas": 1,
        "networkPolicy": {"enabled": true, "from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
        "metrics": {
            "service": {"annotations": {"example.com/scrape": "true"}},
            "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}, "interval": "15s"},
        },
        "hostNetwork": true,
        "port": port,
        "extraEnv": [
            {"name": "KUBERNETES_SERVICE_HOST", "value": "127.0.0.1"},
            {"name": "KUBERNETES_SERVICE_PORT", "value": api_server.to_string()},
        ],
        "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["registry.example.com"]}],
        "imagePullSecrets": [{"name": "pull"}],
        "configuration": {
            "scheduler": {"expressions": [{
                "name": "only-near", "message": "it is far", "filter": "cluster.name == \"member-1\"",
            }]},
            "defaults": {"image": image::NAMES[0]},
        },
        "defaultImage": NOWHERE,
        "origin": ORIGIN,
        "argocd": {"enabled": true},
        "followConfig": {"allNamespaces": true},
        "log": {"json": true},
        "podLabels": {"team": "platform"},
        "podAnnotations": {"example.com/note": "yes"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 1, "preference": {"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]},
        }]}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
        ],
        "serviceAccount": {"annotations": {"example.com/role": "sky"}},
    })
}

/// A job that names no image runs with the configuration's, and its ConfigMap is copied, though nobody allowed its
/// namespace.
async fn follows(stage: &Stage) -> Result<()> {
    let text = "greeting of the host";
    let literal = format!("--from-literal=text={text}");
    let create = ["create", "configmap", "greeting", &literal];
    stage.host.kubectl(&create).await?;
    let sky = Sky::of(stage.lab.clone()).await?;
    sky.join(MEMBER).await?;
    let env =
        json!([{"name": "TEXT", "valueFrom": {"configMapKeyRef": {"name": "greeting", "key": "text"}}}]);
    let spec = json!({"run": "echo \"$TEXT\"", "env": env, "resources": {"cpu": "10m", "memory": "16Mi"}});
    sky.create("greets", spec).await?;
    sky.complete("greets").await?;
    let said = wait::until("the job's words", BOUND, async || {
        stage.lab.sky(&["logs", "greets"]).await.context("its logs")
    })
    .await?;
    ensure!(said.contains(text), "it said {said}");
    sky.delete("greets").await?;
    stage.host.kubectl(&["delete", "configmap", "greeting"]).await?;
    Ok(())
}
