//! Arguments of handlers: query parameters and bodies, within limits, refused with a problem.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequestParts, Request},
};
use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::IntoParams;

use super::problem::{Code, Problem};
use crate::provider::views::MAX_PAGE;

/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of a small JSON body.
pub const MAX_JSON: usize = 16 * 1024;

/// Query parameters; unknown ones are refused.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| Problem::new(Code::MalformedQuery).detail(error.body_text()))
    }
}

/// The path of an order, and of the lease that it became.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "describes the path; the guards read it")]
pub struct OrderPath {
    /// The tenant's account.
    #[param(example = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww")]
    owner: String,
    /// The deployment's number.
    #[param(minimum = 1)]
    dseq: u64,
    /// The group's number.
    #[param(minimum = 1)]
    gseq: u32,
    /// The order's number.
    #[param(minimum = 1)]
    oseq: u32,
}

/// Which page of a list.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Where to go on: `next` of the page before.
    #[param(max_length = 512)]
    pub after: Option<String>,
    /// The most items of the page, 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

impl Paging {
    /// The limit within its bounds.
    ///
    /// # Errors
    /// `malformed_query`.
    pub fn limit(&self) -> Result<u32, Problem> {
        limit(self.limit)
    }
}

/// A page's limit within its bounds.
///
/// # Errors
/// `malformed_query`.
pub fn limit(given: Option<u32>) -> Result<u32, Problem> {
    match given.unwrap_or(100) {
        limit @ 1..=MAX_PAGE => Ok(limit),
        given => Err(Problem::new(Code::MalformedQuery)
            .detail(format!("limit is {given}, allowed are 1 to {MAX_PAGE}"))),
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRefusal {
    /// More bytes than this.
    TooLarge(usize),
    /// It took longer than [`BODY_TIMEOUT`] to arrive.
    TooSlow,
    /// It broke off.
    BrokenOff,
}

impl From<BodyRefusal> for Problem {
    fn from(refusal: BodyRefusal) -> Self {
        match refusal {
            BodyRefusal::TooLarge(limit) => {
                Self::new(Code::BodyTooLarge).detail(format!("the body may have {limit} bytes"))
            }
            BodyRefusal::TooSlow => Self::new(Code::RequestTimeout),
            BodyRefusal::BrokenOff => {
                Self::new(Code::MalformedBody).detail("the body broke off before its end")
            }
        }
    }
}

/// The body's bytes, at most `limit`; a larger one that says so is refused before it is read.
///
/// # Errors
/// [`BodyRefusal`].
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes, BodyRefusal> {
    if announced_length(request.headers()).is_some_and(|length| length > limit) {
        return Err(BodyRefusal::TooLarge(limit));
    }
    let body = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Err(_) => Err(BodyRefusal::TooSlow),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_too_long(error.as_ref()) => Err(BodyRefusal::TooLarge(limit)),
        Ok(Err(_)) => Err(BodyRefusal::BrokenOff),
    }
}

/// The body as JSON of a documented shape, at most [`MAX_JSON`] bytes. No body at all is `{}`.
///
/// # Errors
/// `unsupported_media_type`, `body_too_large`, `request_timeout`, `malformed_body`.
pub async fn json<T: DeserializeOwned>(request: Request) -> Result<T, Problem> {
    let media_type = media_type(request.headers());
    let body = read_body(request, MAX_JSON).await?;
    if body.is_empty() {
        return parse(b"{}");
    }
    // A form of another site can send other types without asking; this one it cannot.
    if media_type != "application/json" {
        let detail = format!("{media_type:?} is not read, allowed is application/json");
        return Err(Problem::new(Code::UnsupportedMediaType).detail(detail));
    }
    parse(&body)
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::MalformedBody).detail(error.to_string()))
}

/// Whether a body has more bytes than a limit, that of the reader or the one around all routes.
fn is_too_long(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .any(<dyn std::error::Error>::is::<LengthLimitError>)
}

/// What `Content-Length` says.
#[must_use]
pub fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The request with its body cut off at `limit`, for handlers that do not read it themselves.
#[must_use]
pub fn limit_body(request: Request, limit: usize) -> Request {
    request.map(|body| Body::new(Limited::new(body, limit)))
}

/// The media type of a `Content-Type` without its parameters, in lower case; empty when there is none.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> String {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.split(';').next()).unwrap_or("").trim().to_ascii_lowercase()
}
