//! Signing in with a browser: the operator's token once, a cookie from then on.

use axum::{
    Json,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::gateway::{
    State,
    auth::{
        guard::Operator,
        session::{self, Ticket},
    },
    callers, extract,
    problem::{Code, Problem},
};

/// What a session is opened with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The operator's token.
    #[schema(value_type = String, format = Password, max_length = 4096)]
    token: SecretString,
}

/// A session as its page needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionView {
    /// What every change by this cookie must bring in the `x-lessor-csrf` header.
    pub csrf: String,
    /// From then on the cookie does not count.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
}

/// Sign in.
///
/// The operator's token for a cookie that counts as the operator for 12 hours. Ten wrong tokens of one address in a
/// minute, and none of its tokens is looked at until the minute is over.
#[utoipa::path(
    post,
    path = "/v1/session",
    tag = "operator",
    operation_id = "openSession",
    request_body(content = Login),
    responses((status = 204, description = "Signed in.", headers(
        ("set-cookie" = String, description = "`lessor_session=…`, for this site and not for scripts."),
    ))),
    extensions(("x-problems" = json!([
        "unsupported_media_type", "credentials_invalid", "rate_limited", "admin_not_configured",
        "store_unavailable",
    ]))),
)]
pub async fn open(state: State, request: Request) -> Result<Response, Problem> {
    let caller =
        callers::address(request.extensions(), request.headers(), state.settings.behind_proxy);
    let login: Login = extract::json(request).await?;
    let cookie = session::open(&state, caller, &login.token).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

/// Read the session.
///
/// Of the cookie that the request brings.
#[utoipa::path(
    get,
    path = "/v1/session",
    tag = "operator",
    operation_id = "getSession",
    responses((status = 200, description = "The session.", body = SessionView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["session_not_found", "store_unavailable"]))),
)]
pub async fn get(state: State, _: Operator, headers: HeaderMap) -> Result<Response, Problem> {
    let ticket = ticket(&state, &headers).await?;
    let view = SessionView { csrf: ticket.csrf(), expires_at: ticket.session().expires_at };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response())
}

/// Sign out.
///
/// The cookie counts nowhere any more, and live streams that were opened with it end.
#[utoipa::path(
    delete,
    path = "/v1/session",
    tag = "operator",
    operation_id = "endSession",
    responses((status = 204, description = "Signed out.", headers(
        ("set-cookie" = String, description = "Takes the cookie back."),
    ))),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["session_not_found", "store_unavailable"]))),
)]
pub async fn end(state: State, _: Operator, headers: HeaderMap) -> Result<Response, Problem> {
    let cookie = session::end(&state, &ticket(&state, &headers).await?).await?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}

async fn ticket(state: &State, headers: &HeaderMap) -> Result<Ticket, Problem> {
    session::of(state, headers).await?.ok_or_else(|| Problem::new(Code::SessionNotFound))
}
