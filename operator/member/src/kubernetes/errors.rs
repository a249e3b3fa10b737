//! Kubernetes errors, by class.

use std::time::Duration;

use crate::{Class, MemberError};

/// The class of `error`, and the API server's words.
pub(super) fn classify(error: &kube::Error) -> MemberError {
    match error {
        kube::Error::Api(status) => {
            let waits =
                status.message.contains("exceeded quota") || status.message.contains("being terminated");
            let class = match status.code {
                401 => Class::Unauthorized,
                403 if waits => Class::Throttled,
                403 => Class::Unauthorized,
                409 => Class::Conflict,
                400 | 405 | 413 | 415 | 422 => Class::Rejected,
                429 => Class::Throttled,
                // A 404 too: what a call names has just gone, or this is not the API server at all. Neither says that
                // the object asked for is at fault.
                _ => Class::Unreachable,
            };
            MemberError::new(class, status.message.clone())
        }
        kube::Error::Auth(error) => MemberError::new(Class::Unauthorized, error.to_string()),
        other => MemberError::new(Class::Unreachable, chain(other)),
    }
}

/// No answer within `deadline`.
pub(super) fn silence(deadline: Duration) -> MemberError {
    MemberError::new(
        Class::Unreachable,
        format!("no answer within {} s", deadline.as_secs()),
    )
}

/// The innermost cause says what happened; the outer ones repeat that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
