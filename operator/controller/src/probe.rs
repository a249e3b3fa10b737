//! `sky-operator probe`: asks every operator's pod of a release for /readyz and says what each answered. Run by the pod
//! of `helm test`: the image has no other program.

use std::time::Duration;

use anyhow::Context as _;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use sky_member::gate::Gate;
use tokio::time::{Instant, sleep, timeout};

use crate::host;
use crate::settings::Settings;

/// The longest that one answer may take.
const ONE: Duration = Duration::from_secs(5);
/// Between two looks at all of them.
const AGAIN: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(clap::Args, Clone, Debug)]
pub struct Probe {
    /// Namespace of the pods.
    #[arg(long)]
    pub namespace: String,
    /// Labels of the pods.
    #[arg(long)]
    pub selector: String,
    /// Port that answers.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Pods that have to answer.
    #[arg(long, default_value_t = 1)]
    pub replicas: usize,
    /// The longest wait for all of them.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

/// Asks until all of them are ready.
///
/// # Errors
/// When they are not in time; says what each answered last.
pub async fn run(settings: &Settings, probe: &Probe) -> anyhow::Result<()> {
    // Nothing is written: the gate stays shut.
    let (caller, _) = host::connect(settings, &host::identity(settings), &Gate::shut())
        .await
        .context("failed to connect to the host")?;
    let end = Instant::now() + Duration::from_secs(probe.wait);
    loop {
        match look(&caller.client, probe).await {
            Ok(answers) => {
                answers.iter().for_each(|answer| tracing::info!("{answer}"));
                return Ok(());
            }
            Err(error) if Instant::now() >= end => return Err(error),
            Err(error) => tracing::info!("not yet: {error:#}"),
        }
        sleep(AGAIN).await;
    }
}

/// What each of the pods answers; an error unless enough are there and all are ready.
async fn look(client: &Client, probe: &Probe) -> anyhow::Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &probe.namespace);
    let of_these = ListParams::default().labels(&probe.selector);
    let found = host::within(pods.list(&of_these))
        .await
        .with_context(|| format!("failed to list pods in {}", probe.namespace))?;
    let living = found
        .items
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let (mut answers, mut faults) = (Vec::new(), Vec::new());
    for pod in living {
        let name = pod.name_any();
        match ask(&pod, probe.port).await {
            Ok(()) => answers.push(format!("{name}: ready")),
            Err(error) => faults.push(format!("{name}: {error:#}")),
        }
    }
    anyhow::ensure!(faults.is_empty(), "{}", faults.join("; "));
    anyhow::ensure!(
        answers.len() >= probe.replicas,
        "{} pods of {} in {} answer, not {}",
        answers.len(),
        probe.selector,
        probe.namespace,
        probe.replicas
    );
    Ok(answers)
}

async fn ask(pod: &Pod, port: u16) -> anyhow::Result<()> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let address = address.context("has no address yet")?;
    // An IPv6 address stands in brackets.
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address
    };
    let url: http::Uri = format!("http://{address}:{port}/readyz").parse()?;
    let client = HttpClient::builder(TokioExecutor::new()).build_http::<Empty<&[u8]>>();
    let exchange = async {
        let answer = client.get(url.clone()).await?;
        let status = answer.status();
        let words = answer.into_body().collect().await?.to_bytes();
        anyhow::ensure!(
            status.is_success(),
            "{status}: {}",
            String::from_utf8_lossy(&words)
        );
        anyhow::Ok(())
    };
    let answered = timeout(ONE, exchange).await.context("no answer in time");
    answered
        .and_then(|answered| answered)
        .with_context(|| format!("failed to get {url}"))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use serde_json::json;

    use super::*;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap()
    }

    /// A pod on loopback that answers so, and its port.
    async fn serving(status: StatusCode, words: &'static str) -> (Pod, u16) {
        let routes = Router::new().route("/readyz", get(move || async move { (status, words) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (pod(json!({"podIP": "127.0.0.1"})), port)
    }

    #[tokio::test]
    async fn a_ready_operator_answers() {
        let (pod, port) = serving(StatusCode::OK, "ok").await;
        ask(&pod, port).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_not_ready_is_no_answer_and_its_words_are_told() {
        let (pod, port) = serving(StatusCode::SERVICE_UNAVAILABLE, "not all known yet").await;
        let error = format!("{:#}", ask(&pod, port).await.unwrap_err());
        assert!(
            error.contains("503") && error.contains("not all known yet"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_pod_without_an_address_is_no_answer() {
        let error = ask(&pod(json!({})), 8080).await.unwrap_err();
        assert_eq!(error.to_string(), "has no address yet");
    }
}
