//! Today's wire: the answers of the Go gateway, whose clients match on texts.
//!
//! Failures of authentication are JSON with one member, `message`; all others are plain text that ends with a newline;
//! some are empty. Denials are 401, never 403. A token outside its time is 400, because that is what clients know.
//!
//! Kept knowingly: all of the above, that reading a service's status asks for no scope, that `HEAD` is a method like any
//! other that a route lacks, that a wrong method is 405 without `Allow` (below `/lease` 404), and that an unclean path is
//! sent to the clean one. Dropped knowingly: public routes do not fail on a bad token (they do not look at it), no answer
//! of ours carries an internal error's text, an answer that takes too long is 504 where the Go gateway says 500 with the
//! same text, a body that is too large is refused, and of what a client did wrong only those texts are answered with 500
//! that clients know so: the proxy in front of the console turns them into 400.

use std::marker::PhantomData;

use axum::{
    extract::{FromRequestParts, Path, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use serde::Serialize;

use super::{
    State,
    auth::{
        self, Caller, Refusal,
        claims::{Claims, Scope},
        guard::Needs,
        token::TokenError,
    },
    problem::{Code, Problem},
};
use crate::domain::{DeploymentId, LeaseId, OrderId};

/// A denial.
const UNAUTHORIZED: &str = "unauthorized access";

/// Plain text and its newline.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, format!("{text}\n")).into_response()
}

/// `{"message": …}` without a newline.
#[must_use]
pub fn message(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "message": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// JSON as Go writes it: the characters that matter in HTML are escaped.
#[must_use]
pub fn json(value: &impl Serialize) -> Response {
    let Ok(text) = serde_json::to_string(value) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "internal error");
    };
    let content_type = [(header::CONTENT_TYPE, "application/json; charset=UTF-8")];
    (content_type, escape_html(&text)).into_response()
}

/// `<`, `>`, `&` and the two line separators occur in JSON only inside of strings.
fn escape_html(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The answer to a path that is none of ours.
#[must_use]
pub fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found")
}

/// The answer to a method that the path does not have.
#[must_use]
pub fn unknown_method(path: &str) -> Response {
    if path.starts_with("/lease/") {
        // A quirk of the Go gateway's router: a lease's routes are known with their methods only.
        not_found()
    } else {
        StatusCode::METHOD_NOT_ALLOWED.into_response()
    }
}

/// Whether a path is one of today's wire.
fn speaks(path: &str) -> bool {
    ["/address", "/version", "/status", "/hostname/migrate", "/endpoint/migrate"].contains(&path)
        || ["/deployment/", "/lease/"].iter().any(|root| path.starts_with(root))
}

/// The layer that keeps today's manners around today's routes, also where a layer of ours answers in their place.
pub async fn keep(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let clean = clean(&path);
    if !speaks(&clean) {
        return next.run(request).await;
    }
    if clean != path {
        return moved(request.uri(), &clean);
    }
    if request.method() == Method::HEAD {
        return unknown_method(&path);
    }
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<Problem>() {
        Some(problem) => in_words(&problem),
        None => response,
    }
}

/// The layer that takes the list of methods off today's routes. It stands outside of the router, which adds the list when
/// all layers of its own are done.
pub async fn without_allow(request: Request, next: Next) -> Response {
    let is_wire = speaks(request.uri().path());
    let mut response = next.run(request).await;
    if is_wire {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}

/// What a layer of ours has to say, in words that today's clients can read.
fn in_words(problem: &Problem) -> Response {
    match problem.code() {
        Code::BodyTooLarge => text(StatusCode::PAYLOAD_TOO_LARGE, "http: request body too large"),
        Code::GatewayTimeout => text(StatusCode::GATEWAY_TIMEOUT, "context deadline exceeded"),
        code => {
            tracing::error!(code = code.as_str(), cause = problem.reason(), "request not answered");
            text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
        }
    }
}

fn moved(from: &Uri, path: &str) -> Response {
    let query = from.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = [(header::LOCATION, format!("{path}{query}"))];
    (StatusCode::MOVED_PERMANENTLY, location).into_response()
}

/// The path without empty, `.` and `..` segments; a slash at the end stays.
fn clean(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // Sessions are of the operator's page and count nowhere here.
            Refusal::Missing | Refusal::Session | Refusal::Csrf | Refusal::Store(_) => denied(),
            Refusal::Header => message(StatusCode::BAD_REQUEST, "invalid authorization header"),
            Refusal::Token(TokenError::Claims(_)) => {
                message(StatusCode::BAD_REQUEST, "JWT has invalid claims")
            }
            Refusal::Token(_) | Refusal::NoKey => {
                message(StatusCode::UNAUTHORIZED, "JWT is invalid")
            }
            Refusal::Busy(wait) => {
                let mut busy = message(StatusCode::TOO_MANY_REQUESTS, "too many requests");
                let seconds = HeaderValue::from(wait.as_secs().max(1));
                busy.headers_mut().insert(header::RETRY_AFTER, seconds);
                busy
            }
            Refusal::Chain(error) => {
                tracing::warn!(%error, "an issuer's key could not be read");
                let text = "unknown error while processing JWT";
                message(StatusCode::INTERNAL_SERVER_ERROR, text)
            }
        }
    }
}

/// What a route of today's wire asks of a token.
pub trait Asks: Send + Sync + 'static {
    /// The scope; `None` when any token that covers the lease will do.
    const SCOPE: Option<Scope>;
}

impl<N: Needs> Asks for N {
    const SCOPE: Option<Scope> = Some(N::SCOPE);
}

/// Any token that covers the lease.
#[derive(Debug, Clone, Copy)]
pub struct Cover;

impl Asks for Cover {
    const SCOPE: Option<Scope> = None;
}

/// The owner of the lease in the path. The path has no owner: it is the token's issuer.
#[derive(Debug)]
pub struct LeaseOwner<A> {
    /// The lease, if there is one.
    pub lease: LeaseId,
    asks: PhantomData<A>,
}

/// The owner of the deployment in the path.
#[derive(Debug)]
pub struct DeploymentOwner<A> {
    /// The deployment, if there is one.
    pub deployment: DeploymentId,
    asks: PhantomData<A>,
}

/// The answer to who may not.
#[must_use]
pub fn denied() -> Response {
    message(StatusCode::UNAUTHORIZED, UNAUTHORIZED)
}

/// A tenant whose token says anything about this provider.
async fn tenant(parts: &Parts, state: &State) -> Result<Claims, Response> {
    match auth::token_holder(state, &parts.headers).await? {
        Caller::Tenant(claims) if claims.access.reaches(&state.provider.address) => Ok(claims),
        _ => Err(denied()),
    }
}

impl<A: Asks> FromRequestParts<State> for LeaseOwner<A> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        let claims = tenant(parts, state).await?;
        let names = names(parts, state).await?;
        let dseq = number(&names, "dseq", u64::MAX)?;
        let gseq = number(&names, "gseq", u64::from(u32::MAX))?;
        let oseq = number(&names, "oseq", u64::from(u32::MAX))?;
        // Both fit: the numbers were read with that limit.
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let order = OrderId::new(claims.issuer.clone(), dseq, narrow(gseq), narrow(oseq));
        let lease = order.lease(&state.provider.address);
        let allows = |scope| claims.access.allows_lease(&lease, scope);
        if claims.access.covers_lease(&lease) && A::SCOPE.is_none_or(allows) {
            Ok(Self { lease, asks: PhantomData })
        } else {
            Err(denied())
        }
    }
}

impl<A: Asks> FromRequestParts<State> for DeploymentOwner<A> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        let claims = tenant(parts, state).await?;
        let names = names(parts, state).await?;
        let dseq = number(&names, "dseq", u64::MAX)?;
        let deployment = DeploymentId::new(claims.issuer.clone(), dseq);
        let provider = &state.provider.address;
        let allows = |scope| claims.access.allows_deployment(provider, &deployment, scope);
        if claims.access.covers_deployment(provider, &deployment) && A::SCOPE.is_none_or(allows) {
            Ok(Self { deployment, asks: PhantomData })
        } else {
            Err(denied())
        }
    }
}

/// A tenant whose token says anything about this provider; what it allows is for the route to ask.
#[derive(Debug)]
pub struct Holder(pub Claims);

impl FromRequestParts<State> for Holder {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Response> {
        tenant(parts, state).await.map(Self)
    }
}

type Names = Vec<(String, String)>;

async fn names(parts: &mut Parts, state: &State) -> Result<Names, Response> {
    Path::<Names>::from_request_parts(parts, state)
        .await
        .map(|Path(names)| names)
        .map_err(|_| text(StatusCode::BAD_REQUEST, "invalid path"))
}

/// A number as Go parses it; 0 is taken, and is no lease.
#[expect(clippy::result_large_err, reason = "the error is the answer itself")]
fn number(names: &Names, name: &str, max: u64) -> Result<u64, Response> {
    let given =
        names.iter().find(|(known, _)| known == name).map_or("", |(_, given)| given.as_str());
    let refused = |reason: &str| {
        text(StatusCode::BAD_REQUEST, &format!("strconv.ParseUint: parsing {given:?}: {reason}"))
    };
    if given.is_empty() || !given.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused("invalid syntax"));
    }
    given
        .parse::<u64>()
        .ok()
        .filter(|number| *number <= max)
        .ok_or_else(|| refused("value out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_as_gos_router_does() {
        for (path, expected) in [
            ("/status", "/status"),
            ("//status", "/status"),
            ("/a/./b/../status/", "/a/status/"),
            ("/../..", "/"),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn html_is_escaped_inside_of_strings_and_nothing_else_changes() {
        assert_eq!(
            escape_html(r#"{"a":"<b> & \"c\"","d":1}"#),
            r#"{"a":"\u003cb\u003e \u0026 \"c\"","d":1}"#
        );
    }
}
