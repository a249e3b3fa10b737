//! Builds the clients of Kubernetes API servers, the host's and members': the gate is their innermost part, below what
//! sends a request again, so that no write gets round it.

use std::task::{Context, Poll};

use http::{Request, Response};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client as Connections};
use hyper_util::rt::TokioExecutor;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ConfigExt};
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, Service, ServiceBuilder};

use super::wire::Guarded;
use super::{Gate, Shut};

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Write while the gate is open, read always.
    WhileOpen,
    /// Write also while the gate is shut, until it ran out: for the lease itself, and for questions that are asked by
    /// POST.
    UntilRunOut,
}

/// A client by `config` that passes `gate`.
///
/// # Errors
/// When the credential or the certificates cannot be used, and for a proxy, which is not supported.
pub fn client(config: Config, gate: &Gate, writes: Writes) -> Result<Client, kube::Error> {
    if let Some(proxy) = &config.proxy_url {
        return Err(kube::Error::ProxyProtocolUnsupported {
            proxy_url: Box::new(proxy.clone()),
        });
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let tls = config.rustls_https_connector_with_connector(Guarded::new(tcp, gate.clone()))?;
    let mut connector = TimeoutConnector::new(tls);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let connections: Connections<_, Body> = Builder::new(TokioExecutor::new()).build(connector);
    let retry = config.default_retry.then(RetryPolicy::server_retry);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(retry.map(RetryLayer::new))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(Gated {
            inner: connections,
            gate: gate.clone(),
            writes,
        });
    Ok(Client::new(service, config.default_namespace))
}

/// Asks the gate before each request.
#[derive(Clone, Debug)]
pub struct Gated<S> {
    inner: S,
    gate: Gate,
    writes: Writes,
}

impl<S> Gated<S> {
    /// `inner` behind `gate`.
    pub fn new(inner: S, gate: Gate, writes: Writes) -> Self {
        Self { inner, gate, writes }
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Shut> {
        match self.writes {
            Writes::WhileOpen => self.gate.check(request.method()),
            Writes::UntilRunOut => self.gate.wire(),
        }
    }
}

impl<S, B, R> Service<Request<B>> for Gated<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError> + 'static,
    S::Future: Send + 'static,
    R: 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = futures::future::BoxFuture<'static, Result<Response<R>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Err(shut) = self.check(&request) {
            return Box::pin(async move { Err(shut.into()) });
        }
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map_err(Into::into) })
    }
}
