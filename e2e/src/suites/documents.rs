//! Suite `documents`: a real API server takes the manifests as they are, and judges each document of
//! `crds/tests/documents` as the offline tests of the kinds did. Needs neither members nor the operator.

#[path = "../../../crds/tests/documents/mod.rs"]
mod folder;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures::FutureExt;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::core::Status;
use kube::{Api, Client};
use serde_json::Value;
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};
use tokio::time::timeout;

use super::{Case, Suite};
use crate::lab::Lab;
use crate::plan::Plan;
use crate::runner::Context;
use crate::workspace;
use folder::Document;

pub const SUITE: Suite = Suite {
    name: "documents",
    about: "a real API server accepts and refuses what the kinds say",
    cases: &[
        Case {
            name: "plain_kubectl_applies_the_manifests_twice",
            run: |context| manifests(context).boxed_local(),
        },
        Case {
            name: "accepted_documents_are_stored",
            run: |context| judged(context, true).boxed_local(),
        },
        Case {
            name: "refused_documents_are_refused_with_their_message",
            run: |context| judged(context, false).boxed_local(),
        },
        Case {
            name: "get_sky_lists_every_kind",
            run: |context| listed(context).boxed_local(),
        },
    ],
};

const KINDS: [&str; 5] = [
    "filterpolicy",
    "skycluster",
    "skydeployment",
    "skyjob",
    "skynamespace",
];
const CALL: Duration = Duration::from_secs(30);

/// The host with the five kinds.
async fn host_with_kinds(context: &Context) -> Result<Lab> {
    let lab = context.lab(&Plan::bare(Vec::new())).await?;
    apply(&lab).await?;
    let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
    let crds = sky_crds::schema::all()
        .into_iter()
        .map(|crd| format!("crd/{}", crd.metadata.name.unwrap_or_default()))
        .collect::<Vec<_>>();
    let arguments: Vec<&str> = wait.into_iter().chain(crds.iter().map(String::as_str)).collect();
    lab.host()?.kubectl(&arguments).await?;
    Ok(lab)
}

async fn apply(lab: &Lab) -> Result<String> {
    let manifests = workspace::root().join("crds/manifests");
    lab.host()?
        .kubectl(&["apply", "-f", &manifests.display().to_string()])
        .await
}

async fn manifests(context: &Context) -> Result<()> {
    let lab = host_with_kinds(context).await?;
    let again = apply(&lab).await?;
    let unchanged = again.lines().filter(|line| line.ends_with(" unchanged")).count();
    ensure!(
        unchanged == KINDS.len() && again.lines().count() == KINDS.len(),
        "applied again: {again}"
    );
    Ok(())
}

async fn judged(context: &Context, accepted: bool) -> Result<()> {
    let client = host_with_kinds(context).await?.host()?.client().await?;
    let folder: PathBuf = workspace::root().join("crds/tests/documents");
    let mut documents = folder::load(&folder).map_err(|error| anyhow!("{error}"))?;
    documents.retain(|document| document.accepted == accepted);
    ensure!(!documents.is_empty(), "no documents in {}", folder.display());
    let mut faults = Vec::new();
    for document in &documents {
        let verdict = judge(&client, document).await;
        faults.extend(
            verdict
                .err()
                .map(|error| format!("{}: {error:#}", document.path.display())),
        );
    }
    ensure!(faults.is_empty(), "{}", faults.join("\n"));
    let updates = documents.iter().filter(|document| document.update.is_some());
    context.remark(format!(
        "{} documents, {} of them updates",
        documents.len(),
        updates.count()
    ));
    Ok(())
}

/// Ok when the API server says of the document what its file says.
async fn judge(client: &Client, document: &Document) -> Result<()> {
    let answer = write(client, document).await?;
    match (document.accepted, answer) {
        (true, Ok(())) => Ok(()),
        (true, Err(refusal)) => bail!("refused: {}", refusal.message),
        (false, Ok(())) => bail!("accepted"),
        (false, Err(refusal)) => {
            ensure!(refusal.code == 422, "{}: {}", refusal.code, refusal.message);
            for wanted in &document.wanted {
                ensure!(
                    refusal.message.contains(wanted),
                    "no `{wanted}` in {}",
                    refusal.message
                );
            }
            Ok(())
        }
    }
}

/// What the API server says of the document's last object; its first must be accepted.
async fn write(client: &Client, document: &Document) -> Result<Result<(), Status>> {
    let api = api(client, &document.create)?;
    let params = PostParams::default();
    let create: DynamicObject = serde_json::from_value(document.create.clone())?;
    let created = answer(timeout(CALL, api.create(&params, &create)).await?)?;
    let Some(update) = &document.update else {
        return Ok(created.map(drop));
    };
    let created = created.map_err(|refusal| anyhow!("the first object is refused: {}", refusal.message))?;
    let mut update: DynamicObject = serde_json::from_value(update.clone())?;
    update.metadata.resource_version = created.metadata.resource_version;
    let name = update.metadata.name.clone().unwrap_or_default();
    let updated = if document.updates_status() {
        timeout(CALL, api.replace_status(&name, &params, &update)).await?
    } else {
        timeout(CALL, api.replace(&name, &params, &update)).await?
    };
    Ok(answer(updated)?.map(drop))
}

/// Tells a refusal from an API server that did not answer.
fn answer<T>(result: kube::Result<T>) -> Result<Result<T, Status>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(kube::Error::Api(refusal)) => Ok(Err(*refusal)),
        Err(error) => Err(error).context("no answer"),
    }
}

fn api(client: &Client, object: &Value) -> Result<Api<DynamicObject>> {
    let namespaced = |resource| Api::default_namespaced_with(client.clone(), &resource);
    let cluster_wide = |resource| Api::all_with(client.clone(), &resource);
    Ok(match object["kind"].as_str().unwrap_or_default() {
        "FilterPolicy" => namespaced(ApiResource::erase::<FilterPolicy>(&())),
        "SkyDeployment" => namespaced(ApiResource::erase::<SkyDeployment>(&())),
        "SkyJob" => namespaced(ApiResource::erase::<SkyJob>(&())),
        "SkyCluster" => cluster_wide(ApiResource::erase::<SkyCluster>(&())),
        "SkyNamespace" => cluster_wide(ApiResource::erase::<SkyNamespace>(&())),
        other => bail!("no kind of ours: {other:?}"),
    })
}

async fn listed(context: &Context) -> Result<()> {
    let lab = host_with_kinds(context).await?;
    let host = lab.host()?;
    host.apply(ONE_OF_EACH).await?;
    let listed = host.kubectl(&["get", "sky"]).await?;
    for kind in KINDS {
        let line = format!("{kind}.skymanager.io/one-of-each ");
        ensure!(listed.contains(&line), "no {line}in\n{listed}");
    }
    Ok(())
}

const ONE_OF_EACH: &str = "\
apiVersion: skymanager.io/v1alpha1
kind: FilterPolicy
metadata: {name: one-of-each}
spec: {clusterFilter: {exclude: [a]}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyCluster
metadata: {name: one-of-each}
spec: {manager: kubernetes, kubernetes: {kubeconfigSecretRef: {name: member-one}}}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyDeployment
metadata: {name: one-of-each}
spec: {replicas: 1, run: sleep infinity}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyJob
metadata: {name: one-of-each}
spec: {run: echo Sky!}
---
apiVersion: skymanager.io/v1alpha1
kind: SkyNamespace
metadata: {name: one-of-each}
spec: {}
";
