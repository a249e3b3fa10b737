//! Sends one request to slurmrestd: the token, the deadline of connecting, the bound of the answer. Called by `client`.
//!
//! The token is a value that can be replaced while calls are under way, and that no error, log or Debug shows.

use std::fmt;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use super::wire::Wire;
use crate::gate::Gate;
use crate::{Class, MemberError};

/// Bytes that an answer may have: a list of 100,000 jobs of the most talkative version is below it.
const LONGEST_ANSWER: usize = 512 << 20;

const USER: HeaderName = HeaderName::from_static("x-slurm-user-name");
const TOKEN: HeaderName = HeaderName::from_static("x-slurm-user-token");

/// Why a Slurm member cannot be connected as its SkyCluster and Secret say.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccessError {
    /// The endpoint is no URL that is used.
    #[error("use spec.slurm.endpoint {endpoint:?}: {fix}")]
    Endpoint {
        /// As given.
        endpoint: String,
        /// What is wrong with it.
        fix: &'static str,
    },
    /// The CA bundle cannot be used.
    #[error("read spec.slurm.caBundle: it holds no PEM certificate that can be used")]
    Certificates,
    /// No certificates to verify the endpoint by.
    #[error("find certificates to verify the endpoint by; give spec.slurm.caBundle")]
    NoRoots,
    /// The token cannot be sent. Its text is not repeated.
    #[error("use the token: it is empty, or has characters that no token has")]
    Token,
    /// The user name cannot be sent.
    #[error("use spec.slurm.userName: it has characters that no user name has")]
    User,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Whether a request may be sent a second time when its connection ends before its answer: slurmrestd 22.05 closes one
/// now and then after it has read the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Twice is as good as once.
    Harmless,
    /// It may have been carried out, and would be again.
    Never,
}

/// One server and the credential for it.
pub(super) struct Http {
    wire: Wire,
    gate: Gate,
    base: String,
    user: HeaderValue,
    token: RwLock<HeaderValue>,
}

impl fmt::Debug for Http {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Http")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Http {
    /// Connects later, to `endpoint`, as `user`, through `gate`. Without `ca` the machine's certificates count.
    pub(super) fn new(
        endpoint: &str,
        user: &str,
        token: &str,
        ca: Option<&str>,
        gate: Gate,
    ) -> Result<Self, AccessError> {
        let (base, wire) = if let Some(path) = socket(endpoint)? {
            ("http://localhost".to_owned(), Wire::unix(path, gate.clone()))
        } else {
            let base = vet(endpoint)?;
            let tls = if base.starts_with("https:") {
                tls(ca)?
            } else {
                config(RootCertStore::empty())?
            };
            (base, Wire::tcp(tls, gate.clone()))
        };
        Ok(Self {
            wire,
            gate,
            base,
            user: HeaderValue::from_str(user).map_err(|_| AccessError::User)?,
            token: RwLock::new(header(token)?),
        })
    }

    /// Whether anything may be changed there now.
    pub(super) fn may_write(&self) -> bool {
        self.gate.is_open()
    }

    /// From now on calls carry `token`.
    pub(super) fn set_token(&self, token: &str) -> Result<(), AccessError> {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = header(token)?;
        Ok(())
    }

    /// Sends one request and reads the answer. No redirect is followed: the token goes nowhere else.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        repeat: Repeat,
    ) -> Result<Answer, MemberError> {
        let body = body.map(Bytes::from);
        let request = self.request(&method, path, body.clone())?;
        let lost = |error: &dyn std::error::Error| MemberError::new(Class::Unreachable, innermost(error));
        let answer = match self.wire.request(request).await {
            Err(error) if repeat == Repeat::Harmless && !error.is_connect() => {
                tracing::debug!(%method, path, error = innermost(&error), "a request got no answer; it is sent again");
                let request = self.request(&method, path, body)?;
                self.wire.request(request).await
            }
            answer => answer,
        };
        let answer = answer.map_err(|error| lost(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| lost(&*error))?.to_bytes();
        Ok(Answer { status, body })
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Request<Full<Bytes>>, MemberError> {
        let shut = |shut: crate::gate::Shut| MemberError::new(Class::Unreachable, shut.to_string());
        self.gate.check(method).map_err(shut)?;
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.base))
            .header(USER, self.user.clone())
            .header(TOKEN, token);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| MemberError::new(Class::Rejected, error.to_string()))
    }
}

/// The path of a unix socket, when `endpoint` names one.
fn socket(endpoint: &str) -> Result<Option<&str>, AccessError> {
    let Some(path) = endpoint.strip_prefix("unix://") else {
        return Ok(None);
    };
    if path.len() > 1 && path.starts_with('/') && !path.contains(['?', '#', '\0']) {
        return Ok(Some(path));
    }
    Err(AccessError::Endpoint {
        endpoint: endpoint.to_owned(),
        fix: "it must be unix:// and an absolute path",
    })
}

/// The URL that paths are put behind. The token must not be read on its way: http is for this very machine only.
fn vet(endpoint: &str) -> Result<String, AccessError> {
    let refused = |fix| {
        Err(AccessError::Endpoint {
            endpoint: endpoint.to_owned(),
            fix,
        })
    };
    let Ok(uri) = endpoint.parse::<Uri>() else {
        return refused("it is no URL");
    };
    let host = uri.host().unwrap_or_default();
    let own = matches!(host, "127.0.0.1" | "[::1]" | "localhost");
    match uri.scheme_str() {
        _ if host.is_empty() => refused("it names no host"),
        _ if uri.query().is_some() => refused("it must not have a query"),
        Some("https") => Ok(endpoint.trim_end_matches('/').to_owned()),
        Some("http") if own => Ok(endpoint.trim_end_matches('/').to_owned()),
        Some("http") => refused("the token would be sent in clear; it must be https://"),
        _ => refused("it must be https://, or unix:// and a path"),
    }
}

fn header(token: &str) -> Result<HeaderValue, AccessError> {
    let token = token.trim();
    let mut value = HeaderValue::from_str(token).map_err(|_| AccessError::Token)?;
    value.set_sensitive(true);
    if token.is_empty() {
        return Err(AccessError::Token);
    }
    Ok(value)
}

fn tls(ca: Option<&str>) -> Result<ClientConfig, AccessError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|_| AccessError::Certificates)?;
                roots.add(certificate).map_err(|_| AccessError::Certificates)?;
            }
            if roots.is_empty() {
                return Err(AccessError::Certificates);
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(AccessError::NoRoots);
            }
        }
    }
    config(roots)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, AccessError> {
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| AccessError::NoRoots)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The innermost cause says what happened; the outer ones repeat that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(endpoint: &str, used: bool) {
        let made = Http::new(endpoint, "sky", "token", None, Gate::always_open());
        let refused = matches!(made, Err(AccessError::Endpoint { .. }));
        assert_eq!(!refused, used, "{endpoint}");
    }

    #[test]
    fn the_token_is_sent_over_tls_or_not_beyond_this_machine() {
        check("https://slurm.example:6820", true);
        check("https://slurm.example/prefix/", true);
        check("http://127.0.0.1:6820", true);
        check("http://localhost:6820", true);
        check("http://slurm.example:6820", false);
        check("http://127.0.0.1.example:6820", false);
        check("ftp://slurm.example", false);
        check("slurm.example:6820", false);
        check("", false);
        check("unix:///run/slurmrestd/socket", true);
        check("unix://run/slurmrestd/socket", false);
        check("unix:///", false);
        check("unix:///a?b", false);
    }

    #[tokio::test]
    async fn by_a_unix_socket_requests_are_the_same_and_an_error_names_the_file() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let path = std::env::temp_dir().join(format!("sky-slurm-socket-{}", std::process::id()));
        let endpoint = format!("unix://{}", path.display());
        let http = Http::new(&endpoint, "sky", "t0ken", None, Gate::always_open()).expect("a client");
        let ask = || http.send(Method::GET, "/slurm/v0.0.38/ping", None, Repeat::Never);
        let error = ask().await.err().expect("nothing listens").message;
        assert!(error.contains(&path.display().to_string()), "{error}");
        let listener = tokio::net::UnixListener::bind(&path).expect("a socket");
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = vec![0_u8; 4096];
            let length = stream.read(&mut request).await.expect("a request");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            stream.write_all(answer).await.expect("a reader");
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let answer = ask().await.map(|answer| answer.body);
        std::fs::remove_file(&path).expect("the socket");
        assert_eq!(answer.expect("an answer"), "{}");
        let request = served.await.expect("a request");
        assert!(
            request.starts_with("GET /slurm/v0.0.38/ping HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("x-slurm-user-token: t0ken"), "{request}");
    }

    #[test]
    fn no_error_and_no_debug_shows_the_token() {
        let http = Http::new(
            "http://127.0.0.1:1",
            "sky",
            "secret-text",
            None,
            Gate::always_open(),
        )
        .expect("a client");
        assert!(!format!("{http:?}").contains("secret-text"));
        let token = http.token.read().expect("the token").clone();
        assert!(!format!("{token:?}").contains("secret-text"));
        let error = http
            .set_token("secret-text\nsecond line")
            .expect_err("no header value");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(http.set_token(" \n"), Err(AccessError::Token));
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let made = Http::new(
            "https://slurm.example",
            "sky",
            "t",
            Some("nothing"),
            Gate::always_open(),
        );
        assert_eq!(made.err(), Some(AccessError::Certificates));
    }
}
