//! Errors of members, by class. The class alone decides requeue, reason and metric.

use thiserror::Error;

/// A call to a member that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct MemberError {
    /// What kind of failure it is.
    pub class: Class,
    /// The member's own words.
    pub message: String,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// No answer, or none that can be trusted: it may or may not have happened.
    Unreachable,
    /// Not now: too many requests, a quota, a namespace on its way out.
    Throttled,
    /// The credential is not accepted, or lacks a right.
    Unauthorized,
    /// Refused as it is; trying again cannot help.
    Rejected,
    /// Something that is not ours has the name, or somebody else changed it meanwhile.
    Conflict,
}

impl Class {
    /// Reason code for conditions and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::Throttled => "Throttled",
            Self::Unauthorized => "Unauthorized",
            Self::Rejected => "Rejected",
            Self::Conflict => "Conflict",
        }
    }
}

impl MemberError {
    /// An error of this class with these words.
    #[must_use]
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }
}
