//! `kubectl sky scale`: sets the replicas of a SkyDeployment through its scale subresource, so that it needs no more
//! right than that.

use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sky_crds::SkyDeployment;

use crate::client::{self, Connection, Global, Patience};
use crate::errors::At;
use crate::kinds::{Kind, deployment_name};
use crate::output;

/// Set how many replicas of a deployment run.
///
/// The operator adds or removes them on the members; those that run stay where they are.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The deployment: skyd/NAME or NAME
    #[arg(value_name = "skyd/NAME")]
    deployment: String,
    /// How many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    replicas: i32,
}

/// Scales.
///
/// # Errors
/// When there is no such deployment, or the host refuses the number.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let name = deployment_name(&args.deployment)?;
    let host = client::host(global, Patience::Calls).await?;
    scale(&host.connection, &host.namespace, &name, args.replicas).await?;
    output::line(&format!("{} scaled", Kind::Deployment.reference(&name)))?;
    Ok(())
}

async fn scale(at: &Connection, namespace: &str, name: &str, replicas: i32) -> anyhow::Result<()> {
    let api: Api<SkyDeployment> = Api::namespaced(at.client.clone(), namespace);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    api.patch_scale(name, &PatchParams::default(), &patch).await.at(
        at,
        format!(
            "scale {} in namespace {namespace}",
            Kind::Deployment.reference(name)
        ),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock;
    use crate::mock::{failure, lines, serve};

    #[tokio::test]
    async fn only_the_scale_subresource_is_written() {
        let (host, server) = mock("host");
        let served = tokio::spawn(serve(server, |call| {
            (
                200,
                json!({"metadata": {"name": "web"}, "spec": call.body["spec"]}),
            )
        }));
        scale(&host, "shop", "web", 7).await.unwrap();
        drop(host);
        let calls = served.await.unwrap();
        assert_eq!(
            lines(&calls),
            ["PATCH /apis/skymanager.io/v1alpha1/namespaces/shop/skydeployments/web/scale"]
        );
        assert_eq!(calls[0].body, json!({"spec": {"replicas": 7}}));
    }

    #[tokio::test]
    async fn what_the_host_refuses_is_told_with_its_words() {
        let (host, server) = mock("host");
        tokio::spawn(serve(server, |_| {
            failure(404, "NotFound", "skydeployments.skymanager.io \"web\" not found")
        }));
        let error = scale(&host, "shop", "web", 7).await.unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to scale skydeployment.skymanager.io/web in namespace shop: skydeployments.skymanager.io \"web\" \
             not found"
        );
    }
}
