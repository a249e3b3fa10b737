//! A stand-in for an external metrics API: one number, served over TLS to the host's API server, which forwards
//! `external.metrics.k8s.io` to it. Autoscalers of the host read it. Used by the suite `deployments`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::pki::Authority;

const GROUP: &str = "/apis/external.metrics.k8s.io/v1beta1";
/// Of the Service by which the API server reaches it.
const SERVICE: &str = "stand-in-metrics";
/// Longest request that is read.
const LONGEST: usize = 64 * 1024;

/// The API.
pub struct MetricsApi {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    authority: String,
    port: u16,
    metric: &'static str,
    value: AtomicU64,
}

impl MetricsApi {
    /// Listens on loopback for questions about `metric`, which is 0.
    pub async fn open(metric: &'static str) -> Result<Self> {
        let authority = Authority::new("stand-in metrics")?;
        let name = format!("{SERVICE}.default.svc");
        let identity = authority.sign(&name, None, &[&name])?;
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority: authority.certificate,
            metric,
            value: AtomicU64::new(0),
        })
    }

    pub fn set(&self, value: u64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// What registers it at an API server: `Endpoints` may not hold loopback addresses, so that the Service is a name.
    pub fn manifest(&self) -> String {
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVICE, "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.port}]},
        });
        let registration = json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
            "spec": {
                "group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100,
                "versionPriority": 100, "caBundle": STANDARD.encode(&self.authority),
                "service": {"name": SERVICE, "namespace": "default", "port": self.port},
            },
        });
        format!("{service}\n---\n{registration}\n")
    }

    /// Answers until it is dropped.
    pub async fn serve(&self) -> Result<()> {
        let mut open = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => open.push(self.converse(accepted?.0)),
                // What goes wrong with one connection is the caller's to try again.
                Some(_) = open.next() => {}
            }
        }
    }

    /// Answers one request, and closes.
    async fn converse(&self, stream: TcpStream) -> Result<()> {
        let mut stream = self.acceptor.accept(stream).await?;
        let mut request = Vec::new();
        while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < LONGEST {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await?;
            anyhow::ensure!(read > 0, "the request broke off");
            request.extend_from_slice(&piece[..read]);
        }
        let text = String::from_utf8_lossy(&request);
        let path = text.split_whitespace().nth(1).context("no path")?;
        let (status, body) = self.answer(path.split('?').next().unwrap_or(path));
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.shutdown().await?;
        Ok(())
    }

    fn answer(&self, path: &str) -> (&'static str, Value) {
        let group_version = GROUP.trim_start_matches("/apis/");
        let rest = path.strip_prefix(GROUP).map(|rest| rest.trim_matches('/'));
        match rest {
            Some("") => (
                "200 OK",
                json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": []}),
            ),
            Some(rest) if rest.ends_with(&format!("/{}", self.metric)) => {
                let item = json!({
                    "metricName": self.metric, "metricLabels": {}, "timestamp": Timestamp::now().to_string(),
                    "value": self.value.load(Ordering::Relaxed).to_string(),
                });
                (
                    "200 OK",
                    json!({"kind": "ExternalMetricValueList", "apiVersion": group_version, "metadata": {}, "items": [item]}),
                )
            }
            _ => (
                "404 Not Found",
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound"}),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_its_metric_is_answered() {
        let api = MetricsApi::open("queue_length").await.unwrap();
        api.set(60);
        let (status, list) = api.answer(&format!("{GROUP}/namespaces/default/queue_length"));
        assert_eq!((status, &list["items"][0]["value"]), ("200 OK", &json!("60")));
        assert_eq!(api.answer(GROUP).0, "200 OK");
        assert_eq!(
            api.answer(&format!("{GROUP}/namespaces/default/other")).0,
            "404 Not Found"
        );
        assert_eq!(api.answer("/openapi/v2").0, "404 Not Found");
    }
}
