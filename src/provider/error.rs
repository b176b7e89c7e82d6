//! Why a use case did not do what it was asked. HTTP-free: the gateway turns a [`Kind`] into a status.

use std::time::Duration;

use super::port::{ChainError, ClusterError, ClusterErrorKind, SignerError, StoreError};
use crate::manifest::Violation;

/// Why a use case did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// What the caller may do about it.
    pub kind: Kind,
    /// A stable code of the problem catalogue.
    pub code: &'static str,
    /// What happened, for people; no secrets. For [`Kind::Bug`] it is logged and not answered.
    pub detail: String,
}

/// What an [`Error`] means to the caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// It is absent, or not the caller's.
    NotFound,
    /// Rules are broken: all of them, at once.
    Invalid(Vec<Violation>),
    /// It does not go with what is there.
    Conflict,
    /// Not now.
    Busy {
        /// When to ask again.
        retry_after: Duration,
    },
    /// The chain or the cluster gave no answer.
    Upstream,
    /// The caller did nothing wrong and can do nothing about it.
    Bug,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code, detail: detail.into() }
    }

    /// Something is absent, or not the caller's.
    pub fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, code, detail)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if error.is_bad_cursor {
            let detail = format!("after: {}", error.source);
            return Self::new(Kind::Invalid(Vec::new()), "malformed_query", detail);
        }
        let kind = if error.is_transient {
            Kind::Busy { retry_after: Duration::from_secs(1) }
        } else {
            Kind::Bug
        };
        Self::new(kind, "store_unavailable", error.to_string())
    }
}

impl From<ChainError> for Error {
    fn from(error: ChainError) -> Self {
        Self::new(Kind::Upstream, "chain_unavailable", error.to_string())
    }
}

impl From<ClusterError> for Error {
    fn from(error: ClusterError) -> Self {
        match error.kind {
            ClusterErrorKind::NotFound => Self::not_found("not_in_cluster", error.to_string()),
            ClusterErrorKind::Unavailable => {
                Self::new(Kind::Upstream, "cluster_unavailable", error.to_string())
            }
            ClusterErrorKind::Refused => {
                Self::new(Kind::Conflict, "cluster_refused", error.to_string())
            }
        }
    }
}

impl From<SignerError> for Error {
    fn from(error: SignerError) -> Self {
        Self::new(Kind::Bug, "signer_unavailable", error.to_string())
    }
}
