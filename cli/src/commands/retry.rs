//! `kubectl sky retry`: runs an ended job once more, by an annotation that a Git repository does not own.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use sky_crds::{SkyJob, names};

use crate::client::{self, Global, Host, Patience};
use crate::errors::At;
use crate::kinds::{Kind, job_name};
use crate::output;

/// Run a job that has ended once more.
///
/// What is left of its last run is removed from the members first. Its spec stays as it is; to run a changed one, give it
/// another spec.runId.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The job: job/NAME or NAME
    #[arg(value_name = "job/NAME")]
    job: String,
}

/// Asks for another run.
///
/// # Errors
/// When there is no such job, or it has not ended.
pub async fn run(global: &Global, args: Args) -> anyhow::Result<()> {
    let name = job_name(&args.job)?;
    let host = client::host(global, Patience::Calls).await?;
    retry(&host, &name, Timestamp::now()).await?;
    output::line(&format!("{} retried", Kind::Job.reference(&name)))?;
    Ok(())
}

async fn retry(host: &Host, name: &str, now: Timestamp) -> anyhow::Result<()> {
    let at = &host.connection;
    let reference = Kind::Job.reference(name);
    let api: Api<SkyJob> = Api::namespaced(at.client.clone(), &host.namespace);
    let doing = format!("get {reference} in namespace {}", host.namespace);
    let job = api.get(name).await.at(at, doing)?;
    let phase = job.status.as_ref().and_then(|status| status.phase.as_deref());
    anyhow::ensure!(
        sky_convert::job::has_ended(&job),
        "{reference} has not ended, it is {}: only what is Failed or Complete is retried",
        phase.unwrap_or("not looked at yet")
    );
    // A second one within the same second is another one.
    let value = now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string();
    let patch = json!({"metadata": {
        "annotations": {names::RETRY_ANNOTATION: value},
        "resourceVersion": job.resource_version(),
    }});
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .at(at, format!("retry {reference}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use kube::config::Kubeconfig;

    use super::*;
    use crate::client::mock;
    use crate::mock::{Call, serve};

    fn job(status: &str) -> serde_json::Value {
        let conditions = json!([{"type": status, "status": "True", "reason": "R", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
        json!({"apiVersion": "skymanager.io/v1alpha1", "kind": "SkyJob", "spec": {},
            "metadata": {"name": "a", "namespace": "default", "resourceVersion": "7"},
            "status": {"phase": status, "conditions": conditions}})
    }

    async fn retried(status: &'static str) -> (anyhow::Result<()>, Vec<Call>) {
        let (connection, server) = mock("host");
        let served = tokio::spawn(serve(server, move |_| (200, job(status))));
        let host = Host {
            connection,
            namespace: "default".to_owned(),
            namespace_named: false,
            kubeconfig: Kubeconfig::default(),
        };
        let done = retry(&host, "a", Timestamp::from_second(0).unwrap()).await;
        drop(host);
        (done, served.await.unwrap())
    }

    #[tokio::test]
    async fn what_has_ended_gets_a_new_value_of_the_annotation() {
        let (done, calls) = retried("Failed").await;
        done.unwrap();
        assert_eq!(
            calls[1].body,
            json!({"metadata": {"annotations": {"skymanager.io/retry": "1970-01-01T00:00:00.000Z"}, "resourceVersion": "7"}})
        );
    }

    #[tokio::test]
    async fn what_still_runs_is_not_retried() {
        let (done, calls) = retried("Running").await;
        assert_eq!(
            done.unwrap_err().to_string(),
            "skyjob.skymanager.io/a has not ended, it is Running: only what is Failed or Complete is retried"
        );
        assert_eq!(calls.len(), 1, "nothing is written");
    }
}
