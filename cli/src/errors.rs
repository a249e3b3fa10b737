//! What a failed command says: one line with the cause and what to do. Every API call of the commands goes through
//! `At`, so that the line names the server and the context it was about.

use std::error::Error as _;
use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use kube::core::Status;

use crate::client::Connection;
use crate::output;

/// A wrong use of the command line that clap cannot see; exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl Display for Usage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Shorthand for a wrong use.
pub fn usage(text: impl Into<String>) -> anyhow::Error {
    Usage(text.into()).into()
}

/// An answer that the user asked to be told by exit code 3.
#[derive(Debug)]
struct Unplaced(String);

impl Display for Unplaced {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Unplaced {}

/// What cannot be placed, where the user asked for exit code 3.
pub fn unplaced(text: impl Into<String>) -> anyhow::Error {
    Unplaced(text.into()).into()
}

/// Prints the error and chooses the exit code: 1, for a wrong use 2, for what cannot be placed 3, for a closed pipe 0.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let closed_pipe = error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
    });
    if closed_pipe {
        return ExitCode::SUCCESS;
    }
    output::note(&format!("error: {error:#}"));
    if error.is::<Usage>() {
        ExitCode::from(2)
    } else if error.is::<Unplaced>() {
        ExitCode::from(3)
    } else {
        ExitCode::FAILURE
    }
}

/// Turns a failed API call into a line for the user.
pub trait At<T> {
    /// `doing` fits after "failed to"; `connection` is where the call went.
    ///
    /// # Errors
    /// The call's own, explained.
    fn at(self, connection: &Connection, doing: impl Display) -> anyhow::Result<T>;
}

impl<T> At<T> for Result<T, kube::Error> {
    fn at(self, connection: &Connection, doing: impl Display) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::anyhow!("failed to {doing}: {}", explain(&error, connection)))
    }
}

/// The cause in one line, with what to do about it.
#[must_use]
pub fn explain(error: &kube::Error, connection: &Connection) -> String {
    match error {
        kube::Error::Api(status) => explain_status(status, connection),
        other => explain_transport(other, connection),
    }
}

fn explain_status(status: &Status, connection: &Connection) -> String {
    let Connection { server, context, .. } = connection;
    let message = one_line(&status.message);
    match status.code {
        401 => format!(
            "{server} does not accept the credential of context {context:?}; log in again, or renew it in the kubeconfig"
        ),
        403 => {
            format!("{message}; ask an administrator of {server} for that right, or use another --context")
        }
        404 if lacks_kind(status) => format!(
            "{server} does not have Sky Manager's resource definitions; is {context:?} the host's context? To install them: kubectl apply -f crds/manifests"
        ),
        409 if status.message.starts_with("Apply failed") => format!(
            "{message}; another field manager owns these fields: change them there, or leave them out of the document"
        ),
        // Apply answers 500 for a field that the kind does not have.
        500 if message.contains("field not declared in schema") => message,
        429 | 500..=599 => format!("{server} answered {}: {message}; try again", status.code),
        _ => message,
    }
}

/// Whether the server knows no such kind, and not only no such object.
fn lacks_kind(status: &Status) -> bool {
    status
        .details
        .as_ref()
        .is_none_or(|details| details.name.is_empty())
}

fn explain_transport(error: &kube::Error, connection: &Connection) -> String {
    let Connection { server, context, .. } = connection;
    if matches!(error, kube::Error::Auth(_)) {
        return no_credential(context);
    }
    let mut deepest = error.to_string();
    let mut cause = error.source();
    let mut kind = None;
    while let Some(source) = cause {
        deepest = source.to_string();
        if let Some(io) = source.downcast_ref::<io::Error>() {
            kind = Some(io.kind());
        }
        cause = source.source();
    }
    let deepest = one_line(&deepest);
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => format!(
            "cannot reach {server} (context {context:?}): connection refused; is that API server running, and the address right?"
        ),
        Some(io::ErrorKind::TimedOut) => silent(connection),
        _ if deepest.contains("timed out") || deepest.contains("deadline") => silent(connection),
        _ if deepest.contains("certificate") => format!(
            "cannot trust {server} (context {context:?}): {deepest}; the kubeconfig's certificate-authority must be the one of this server"
        ),
        Some(_) => format!("cannot reach {server} (context {context:?}): {deepest}"),
        None => format!("{deepest} (server {server}, context {context:?})"),
    }
}

fn silent(connection: &Connection) -> String {
    let Connection { server, context, .. } = connection;
    format!("cannot reach {server} (context {context:?}): it does not answer in time")
}

/// The library's own message would show what the credential command printed.
#[must_use]
pub fn no_credential(context: &str) -> String {
    format!(
        "the credential of context {context:?} could not be had: its command, provider or file failed; try kubectl --context {context} version"
    )
}

/// Whether the object is not there.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the user may not do this.
#[must_use]
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::mock;

    fn status(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "").with_code(code).boxed())
    }

    #[tokio::test]
    async fn every_class_says_what_to_do() {
        let (connection, _server) = mock("host");
        let cases = [
            (status(401, "Unauthorized"), "log in again"),
            (
                status(403, "skyjobs is forbidden"),
                "ask an administrator of https://host",
            ),
            (
                status(404, "404 page not found"),
                "kubectl apply -f crds/manifests",
            ),
            (
                status(409, "Apply failed with 1 conflict"),
                "another field manager owns",
            ),
            (status(503, "busy\n now"), "answered 503: busy now; try again"),
            (status(422, "spec.replicas: Invalid"), "spec.replicas: Invalid"),
        ];
        for (error, expected) in cases {
            let line = explain(&error, &connection);
            assert!(line.contains(expected), "{line}");
            assert!(!line.contains('\n'), "{line}");
        }
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_server() {
        let (connection, _server) = mock("host");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let line = explain(&kube::Error::Service(Box::new(refused)), &connection);
        assert!(
            line.contains("https://host") && line.contains("refused"),
            "{line}"
        );
    }
}
