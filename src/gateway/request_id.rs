//! The id by which a request is found again: in the `x-request-id` header of its answer, in a problem's `instance`, and
//! in every line of the log. A caller's own id is kept when it is harmless.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue};

use crate::provider::port::Entropy;

/// The header of requests and answers.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that a caller may bring.
const MAX: usize = 64;

/// A request's id: 1 to 64 letters, digits, `-`, `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A caller's id; `None` for one that could not be written into a log as it is.
    fn of_caller(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((1..=MAX).contains(&text.len()) && text.bytes().all(harmless)).then(|| Self(text.into()))
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self("unknown".into())
    }
}

/// Gives the request its id and writes it on the answer.
pub async fn assign(
    State(entropy): State<Arc<dyn Entropy>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = request.headers().get(HEADER).and_then(RequestId::of_caller).unwrap_or_else(|| {
        RequestId(format!("{:016x}{:016x}", entropy.bits(), entropy.bits()).into())
    });
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
