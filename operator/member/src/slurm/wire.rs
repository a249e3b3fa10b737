//! How slurmrestd is connected to: by TCP, with TLS or without, or by its unix socket. Used by `http`.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::net::UnixStream;
use tower::Service;

use crate::gate::Gate;
use crate::gate::wire::Guarded;

/// The longest that connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// What requests are sent by. It makes a connection for each: on one that is kept, a submit might be sent a second time by
/// the client itself when the server closed it meanwhile.
pub(super) enum Wire {
    Tcp(Client<HttpsConnector<Guarded<HttpConnector>>, Full<Bytes>>),
    Unix(Client<Guarded<Socket>, Full<Bytes>>),
}

impl Wire {
    /// By TCP, through `gate`.
    pub(super) fn tcp(tls: ClientConfig, gate: Gate) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Guarded::new(connector, gate));
        Self::Tcp(builder().build(connector))
    }

    /// By the unix socket at `path`, through `gate`.
    pub(super) fn unix(path: &str, gate: Gate) -> Self {
        let socket = Socket(Arc::from(Path::new(path)));
        Self::Unix(builder().build(Guarded::new(socket, gate)))
    }

    pub(super) async fn request(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        match self {
            Self::Tcp(client) => client.request(request).await,
            Self::Unix(client) => client.request(request).await,
        }
    }
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_max_idle_per_host(0).retry_canceled_requests(false);
    builder
}

/// Connects to one unix socket, whatever the URL says.
#[derive(Clone, Debug)]
pub(super) struct Socket(Arc<Path>);

impl Service<Uri> for Socket {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move {
            let connected = match tokio::time::timeout(CONNECT, UnixStream::connect(&path)).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            };
            // The file is what its administrator looks for.
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            connected.map(TokioIo::new).map_err(named)
        })
    }
}
