//! Steps that come to nothing again and again, and how one of them is tried at once.

use axum::{Json, extract::Request};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    gateway::{
        State,
        auth::guard::Operator,
        extract::{self, Paging, Query},
        problem::{Code, Problem},
    },
    provider::{
        port::Subject,
        views::{self, Page, StuckView},
    },
};

/// List what is stuck.
///
/// Deployments, streams and the provider itself whose last three steps at least came to nothing, with the last reason. Each is
/// tried again by itself, ever more rarely, and holds nothing else up; nothing is ever thrown away.
#[utoipa::path(
    get,
    path = "/v1/stuck",
    tag = "operator",
    operation_id = "listStuck",
    params(Paging),
    responses((status = 200, description = "What is stuck, by name.", body = Page<StuckView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn list(
    state: State,
    _: Operator,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<StuckView>>, Problem> {
    let limit = paging.limit()?;
    Ok(Json(views::stuck(&state.provider, paging.after.as_deref(), limit).await?))
}

/// What is to be tried.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// As the list names it.
    #[schema(max_length = 256, example = "deployment/akash1…/42")]
    subject: String,
}

/// Try what is stuck now.
///
/// Instead of when its back-off is over. Written to the audit.
#[utoipa::path(
    post,
    path = "/v1/stuck/retry",
    tag = "operator",
    operation_id = "retryStuck",
    request_body(content = Retry),
    responses((status = 202, description = "It is due now.")),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "unsupported_media_type", "not_stuck", "store_unavailable",
    ]))),
)]
pub async fn retry(state: State, _: Operator, request: Request) -> Result<StatusCode, Problem> {
    let wish: Retry = extract::json(request).await?;
    let subject: Subject = wish.subject.parse().map_err(|_| Problem::new(Code::NotStuck))?;
    state.provider.try_now(&subject, "operator").await?;
    Ok(StatusCode::ACCEPTED)
}
