//! Each of the five kinds is created, read, listed, updated, watched and deleted, by the same lines.
//! Run with a kubeconfig of the host: `cargo run -p sky-crds --example five_kinds`.

use std::fmt::Debug;

use anyhow::{Context, Result, bail, ensure};
use futures::TryStreamExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sky_crds::{FilterPolicy, SkyCluster, SkyDeployment, SkyJob, SkyNamespace};

const NAME: &str = "example";
/// Of a write: the operator writes status meanwhile, and the newer version is to be read again.
const TRIES: u32 = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let client = Client::try_default().await?;
    let secret =
        json!({"manager": "kubernetes", "kubernetes": {"kubeconfigSecretRef": {"name": "no-such-secret"}}});
    life::<SkyCluster>(Api::all(client.clone()), secret).await?;
    life::<SkyNamespace>(Api::all(client.clone()), json!({"labels": {"team": "a"}})).await?;
    let policy = json!({"clusterFilter": {"exclude": ["eu-1"]}, "labelsSelector": {"only": "example"}});
    life::<FilterPolicy>(Api::default_namespaced(client.clone()), policy).await?;
    let job = json!({"run": "true", "suspend": true});
    life::<SkyJob>(Api::default_namespaced(client.clone()), job).await?;
    let deployment = json!({"replicas": 0, "run": "sleep 600"});
    life::<SkyDeployment>(Api::default_namespaced(client), deployment).await
}

async fn life<K>(api: Api<K>, spec: Value) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let kind = K::kind(&());
    let object: K = serde_json::from_value(json!({
        "apiVersion": K::api_version(&()), "kind": kind, "metadata": {"name": NAME}, "spec": spec,
    }))?;
    let created = api
        .create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("create {kind}"))?;
    ensure!(api.get(NAME).await?.uid() == created.uid(), "{kind}: another one");
    let listed = api.list(&ListParams::default()).await?;
    ensure!(
        listed.iter().any(|found| found.uid() == created.uid()),
        "{kind}: not listed"
    );

    let updated = label(&api).await?;
    let version = updated.resource_version().unwrap_or_default();
    // A namespace that was made is left idle for a minute before it goes.
    let only = WatchParams::default()
        .fields(&format!("metadata.name={NAME}"))
        .timeout(200);
    let mut events = Box::pin(api.watch(&only, &version).await?);
    api.delete(NAME, &DeleteParams::default()).await?;
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Deleted(last) => {
                ensure!(
                    last.labels().contains_key("example"),
                    "{kind}: the update is lost"
                );
                println!("{kind}: created, read, listed, updated, watched, deleted");
                return Ok(());
            }
            WatchEvent::Error(status) => bail!("watch {kind}: {}", status.message),
            _ => {}
        }
    }
    bail!("{kind} is not gone in time")
}

/// Adds a label to the object as it is now.
async fn label<K>(api: &Api<K>) -> Result<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    for _ in 0..TRIES {
        let mut object = api.get(NAME).await?;
        object.labels_mut().insert("example".into(), "updated".into());
        match api.replace(NAME, &PostParams::default(), &object).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            other => return Ok(other?),
        }
    }
    bail!("changed by others {TRIES} times in a row")
}
