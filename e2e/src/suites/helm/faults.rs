//! What is said when an installation does not work: by Helm, by the operator's log, by the API server. Part of the suite
//! `helm`.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{BOUND, Stage};
use crate::helm::Helm;
use crate::operator::NAMESPACE;
use crate::runner::Context;
use crate::{wait, workspace};

/// A field that the operator writes.
const FIELD: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/evictions";

pub(super) async fn kinds_that_are_missing_or_old_and_rights_that_are_missing_are_named(
    context: &Context,
) -> Result<()> {
    let stage = Stage::on(context).await?;
    let manifests = workspace::root().join("crds/manifests").display().to_string();
    let kubectl = async |arguments: &[&str]| stage.host.kubectl(arguments).await;
    kubectl(&["delete", "--ignore-not-found", "--filename", &manifests]).await?;
    let chart = crate::chart::folder();
    let flags = ["--create-namespace", "--set", "crds.install=false"];
    stage.release(4, "install", &chart, &flags).await?;
    stage
        .log_says(NAMESPACE, "the host has no filterpolicies")
        .await?;

    kubectl(&["apply", "--filename", &manifests]).await?;
    let older = json!([{"op": "remove", "path": FIELD}]).to_string();
    kubectl(&[
        "patch",
        "crd",
        "skyjobs.skymanager.io",
        "--type=json",
        "--patch",
        &older,
    ])
    .await?;
    restart(&stage).await?;
    stage
        .log_says(NAMESPACE, "they lack SkyJob.status.evictions")
        .await?;

    // By the documented flag the release takes the kinds over, and brings them up to date.
    let flags = ["--take-ownership", "--force-conflicts", "--reset-values"];
    stage.release(4, "upgrade", &chart, &flags).await?;
    kubectl(&["delete", "clusterrolebinding", "sky-operator"]).await?;
    restart(&stage).await?;
    stage
        .log_says(
            NAMESPACE,
            "the operator's account lacks rights on the host: list skyclusters",
        )
        .await?;
    stage.uninstall(4).await?;

    // The same with Helm 3, from nothing.
    kubectl(&["delete", "--filename", &manifests]).await?;
    kubectl(&["apply", "--filename", &manifests]).await?;
    match stage.install(3, &[]).await {
        Ok(_) => bail!("Helm 3 takes kinds over that it did not make"),
        Err(refusal) => ensure!(refusal.to_string().contains("cannot be imported"), "{refusal}"),
    }
    stage.install(3, &["--take-ownership"]).await?;
    stage.uninstall(3).await?;
    Ok(())
}

pub(super) async fn a_second_release_a_bad_image_and_a_namespace_that_refuses_are_named(
    context: &Context,
) -> Result<()> {
    let stage = Stage::on(context).await?;
    stage.install(4, &["--set", "replicas=0"]).await?;
    for major in [3, 4] {
        let second = [
            "install",
            "second",
            "charts/sky",
            "--namespace",
            "other",
            "--create-namespace",
        ];
        match stage.helm(major, &second).await {
            Ok(_) => bail!("helm {major} installs a second release"),
            Err(refusal) => {
                let words = refusal.to_string();
                let told = words.contains("cannot be imported") && words.contains("current value is \"sky");
                ensure!(told, "helm {major}: {words}");
            }
        }
    }
    missing_image(&stage).await?;
    refusing_namespace(&stage).await?;
    stage.uninstall(4).await?;
    Ok(())
}

async fn missing_image(stage: &Stage) -> Result<()> {
    let chart = crate::chart::folder();
    let flags = ["--set", "image.tag=missing", "--wait", "--timeout", "10s"];
    match stage.release(4, "upgrade", &chart, &flags).await {
        Ok(_) => bail!("an image that is nowhere runs"),
        Err(refusal) => ensure!(refusal.to_string().contains("sky-operator"), "{refusal}"),
    }
    let path = "jsonpath={.items[*].status.containerStatuses[*].state.waiting}";
    wait::until("the pods to name the image", BOUND, async || {
        let waiting = stage
            .host
            .kubectl(&["get", "pods", "--namespace", NAMESPACE, "-o", path])
            .await?;
        ensure!(waiting.contains("sky-operator:missing"), "{waiting}");
        Ok(())
    })
    .await
}

/// The operator's pods as a namespace with the Pod Security level restricted judges them.
async fn refusing_namespace(stage: &Stage) -> Result<()> {
    let namespace = "strict";
    let kubectl = async |arguments: &[&str]| stage.host.kubectl(arguments).await;
    kubectl(&["create", "namespace", namespace]).await?;
    kubectl(&[
        "label",
        "namespace",
        namespace,
        "pod-security.kubernetes.io/enforce=restricted",
    ])
    .await?;
    kubectl(&[
        "create",
        "serviceaccount",
        "sky-operator",
        "--namespace",
        namespace,
    ])
    .await?;
    let helm = stage.helms.first().context("no Helm")?;
    judged(stage, namespace, helm, "hostNetwork=false").await?;
    match judged(stage, namespace, helm, "hostNetwork=true").await {
        Ok(()) => bail!("a restricted namespace takes the host's network"),
        Err(refusal) => {
            let words = refusal.to_string();
            ensure!(
                words.contains("violates PodSecurity") && words.contains("hostNetwork"),
                "{words}"
            );
        }
    }
    kubectl(&["delete", "namespace", namespace, "--wait=false"]).await?;
    Ok(())
}

async fn judged(stage: &Stage, namespace: &str, helm: &Helm, setting: &str) -> Result<()> {
    let flags = ["--show-only", "templates/deployment.yaml", "--set", setting];
    let deployment: Value = serde_saphyr::from_str(&helm.template(&flags).await?)?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "operator", "namespace": namespace},
        "spec": deployment["spec"]["template"]["spec"],
    });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), pod.to_string())?;
    let path = file.path().display().to_string();
    stage
        .host
        .kubectl(&["create", "--dry-run=server", "--filename", &path])
        .await?;
    Ok(())
}

async fn restart(stage: &Stage) -> Result<()> {
    let select = "--selector=app.kubernetes.io/name=sky-operator";
    stage
        .host
        .kubectl(&["delete", "pods", "--namespace", NAMESPACE, select])
        .await?;
    Ok(())
}
