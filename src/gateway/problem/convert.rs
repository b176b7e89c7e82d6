//! What other layers' errors become as problems.

use super::{Code, Problem, Violation};
use crate::{
    event::{body::BodyError, envelope, signature::SignatureError},
    manifest,
    provider::{self, submit::SubmitError},
};

impl Violation {
    /// A broken rule without a name.
    #[must_use]
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let (pointer, message) = (pointer.into(), message.into());
        Self { pointer, code: None, message, line: None, column: None, reference: None }
    }
}

impl From<manifest::Violation> for Violation {
    fn from(violation: manifest::Violation) -> Self {
        let manifest::Violation { code, pointer, message, line, column, reference } = violation;
        Self { pointer, code: Some(code.to_owned()), message, line, column, reference }
    }
}

impl From<envelope::read::Violation> for Violation {
    fn from(violation: envelope::read::Violation) -> Self {
        Self::at(violation.pointer, violation.message)
    }
}

/// All of a document's violations.
#[must_use]
pub fn violations(violations: Vec<manifest::Violation>) -> Vec<Violation> {
    violations.into_iter().map(Violation::from).collect()
}

impl From<provider::Error> for Problem {
    fn from(error: provider::Error) -> Self {
        use provider::Kind;
        let listed = Code::find(error.code);
        match error.kind {
            Kind::Bug => Self::internal(error.detail),
            Kind::Busy { retry_after } => Self::new(listed.unwrap_or(Code::StoreUnavailable))
                .retry_after(retry_after)
                .cause(error.detail),
            Kind::Upstream => {
                Self::new(listed.unwrap_or(Code::ChainUnavailable)).cause(error.detail)
            }
            Kind::NotFound => Self::new(listed.unwrap_or(Code::NotFound)).detail(error.detail),
            Kind::Conflict => Self::new(listed.unwrap_or(Code::Conflict)).detail(error.detail),
            Kind::Invalid(broken) => Self::new(listed.unwrap_or(Code::ManifestInvalid))
                .detail(error.detail)
                .violations(violations(broken)),
        }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        // Clients of today's provider match on these texts.
        let known = |code| Self::new(code).member("reference", text.clone());
        match error {
            SubmitError::NoLease => known(Code::NoLease),
            SubmitError::Invalid(broken) | SubmitError::Cross(broken) => {
                Self::new(Code::ManifestInvalid).detail(text).violations(violations(broken))
            }
            SubmitError::Version { expected, found } => known(Code::ManifestHashMismatch)
                .detail(format!("the deployment's hash is {expected}, the manifest's is {found}"))
                .member("expected", expected)
                .member("found", found),
            SubmitError::HostRequired(broken) => {
                Self::new(Code::HostnameRequired).violations(violations(broken))
            }
            SubmitError::HostnameTaken(hostname) => {
                known(Code::HostnameTaken).member("hostname", hostname)
            }
            SubmitError::HostnameBlocked(hostname) => {
                known(Code::HostnameBlocked).member("hostname", hostname)
            }
            SubmitError::Chain(error) => provider::Error::from(error).into(),
            SubmitError::Store(error) => provider::Error::from(error).into(),
        }
    }
}

impl From<SignatureError> for Problem {
    fn from(error: SignatureError) -> Self {
        match error.clock_skew_seconds() {
            Some(skew) => Self::new(Code::OutsideTimeWindow).member("clock_skew_seconds", skew),
            None => Self::new(Code::SignatureInvalid),
        }
        .detail(error.to_string())
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::Encoding { .. } => Code::UnsupportedMediaType,
            BodyError::TooLarge { .. } => Code::BodyTooLarge,
            BodyError::Corrupt => Code::MalformedDelivery,
        };
        Self::new(code).detail(error.to_string())
    }
}

impl From<envelope::read::EnvelopeError> for Problem {
    fn from(error: envelope::read::EnvelopeError) -> Self {
        use envelope::read::EnvelopeError;
        let text = error.to_string();
        let code = match &error {
            EnvelopeError::MediaType { .. } | EnvelopeError::BinaryMode => {
                Code::UnsupportedMediaType
            }
            EnvelopeError::TooMany { .. } => Code::TooManyEvents,
            EnvelopeError::DataRef { .. } => Code::DatarefRefused,
            EnvelopeError::NotJson { .. }
            | EnvelopeError::TooDeep { .. }
            | EnvelopeError::Invalid(_) => Code::MalformedDelivery,
        };
        let problem = Self::new(code).detail(text);
        match error {
            EnvelopeError::Invalid(broken) => {
                problem.violations(broken.into_iter().map(Violation::from).collect())
            }
            _ => problem,
        }
    }
}
