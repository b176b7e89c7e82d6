//! Answers that say what went wrong: `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! Handlers return a [`Problem`]; it becomes bytes in one place, [`render`], the layer that knows the request's id. A
//! problem of the 5xx statuses never carries its cause: that goes to the log, under the same id.
//!
//! What it does not do: the answers of today's wire ([`super::wire`]), whose clients match on texts.

mod catalogue;
mod convert;
mod page;

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
pub use catalogue::Code;
pub use convert::violations;
use http::{HeaderValue, header};
pub use page::{Entry, catalogue_page, problem_page};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::request_id::RequestId;
/// The media type of problem documents.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One thing that is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Violation {
    /// JSON pointer to the offending value; empty for the whole document.
    #[schema(example = "/0/services/0/image")]
    pub pointer: String,
    /// Stable name of the broken rule, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was found and what is allowed.
    pub message: String,
    /// Line from 1, for documents that people write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What today's provider answers for this, for clients that match on its texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Why a request was not answered as hoped.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    members: BTreeMap<&'static str, Value>,
    cause: Option<String>,
}

/// The document that is sent (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document<'a> {
    /// The problem's page, relative to the address that was asked.
    #[serde(rename = "type")]
    #[schema(example = "/problems/lease_not_found")]
    kind: String,
    /// What it is, in a few words.
    title: &'a str,
    /// The status, again.
    status: u16,
    /// The stable name of the problem.
    #[schema(example = "lease_not_found")]
    code: &'a str,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    /// The request's id, as in the `x-request-id` header and in the log.
    instance: &'a str,
    /// Everything that is wrong with the request, at once.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    violations: &'a [Violation],
    /// When to ask again, in seconds; also in the `Retry-After` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_s: Option<u64>,
    /// Members that a code adds.
    #[serde(flatten)]
    #[schema(value_type = Object, additional_properties)]
    members: &'a BTreeMap<&'static str, Value>,
}

impl Problem {
    /// A problem without particulars.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            detail: None,
            violations: Vec::new(),
            retry_after: None,
            members: BTreeMap::new(),
            cause: None,
        }
    }

    /// Says what happened this time. For people; no secrets.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Lists what is wrong with the request.
    #[must_use]
    pub fn violations(mut self, violations: Vec<Violation>) -> Self {
        // Today's provider stops at the first; clients that know its text find it here.
        if let Some(text) = violations.iter().find_map(|violation| violation.reference.clone()) {
            self.members.insert("reference", text.into());
        }
        self.violations = violations;
        self
    }

    /// Says when to ask again.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a member of the code's own.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.members.insert(name, value.into());
        self
    }

    /// What is logged and never sent.
    #[must_use]
    pub fn cause(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// An error of our own.
    #[must_use]
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal).cause(cause)
    }

    /// The problem's name.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What is logged and never sent, where there is something.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    fn document(&self, id: &RequestId) -> Response {
        let status = self.code.status();
        let is_ours = status.is_server_error();
        let document = Document {
            kind: format!("/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code.as_str(),
            detail: self.detail.as_deref(),
            instance: id.as_str(),
            violations: &self.violations,
            retry_after_s: self.retry_after.map(whole_seconds),
            members: &self.members,
        };
        if let Some(cause) = &self.cause
            && is_ours
        {
            tracing::error!(code = self.code.as_str(), cause, "request not answered");
        }
        let bytes = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }

    /// What a 401 asks for.
    const fn challenge(&self) -> Option<&'static str> {
        match self.code {
            Code::CredentialsMissing | Code::SessionExpired => Some("Bearer realm=\"lessor\""),
            Code::CredentialsInvalid | Code::TokenExpired => {
                Some("Bearer realm=\"lessor\", error=\"invalid_token\"")
            }
            Code::SignatureInvalid | Code::OutsideTimeWindow => Some("StandardWebhooks"),
            _ => None,
        }
    }
}

/// Rounded up: asking a moment too early is asking in vain.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl IntoResponse for Problem {
    /// The problem travels beside an empty body until [`render`] writes it.
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.code.status();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the problem that a handler returned, with the request's id.
pub async fn render(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Problem>() else { return response };
    let mut written = problem.document(&id);
    for (name, value) in response.headers() {
        // What a layer in between said, such as `Allow`.
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            written.headers_mut().insert(name, value.clone());
        }
    }
    written
}
