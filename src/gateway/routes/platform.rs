//! What platforms ask of a process: does it live, should it get requests, what does it count, what can it do.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};

use crate::{
    gateway::{State, auth, openapi},
    provider::views::{self, Health},
};

/// Say that the process lives.
///
/// Asks nothing and nobody: a process is not restarted for what is wrong around it.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "platform",
    operation_id = "getLivez",
    responses((status = 200, description = "It lives.", body = String, content_type = "text/plain")),
)]
pub async fn livez() -> &'static str {
    "ok\n"
}

/// Say whether requests should be sent here.
///
/// Everything that was looked at is named; what exactly was found (`message`) is told to the operator only. A deaf stream or a silent chain leaves the process in service; only the store, its
/// schema and the end of the process take it out.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "platform",
    operation_id = "getReadyz",
    responses(
        (status = 200, description = "They should.", body = Health),
        (status = 503, description = "They should not.", body = Health),
    ),
)]
pub async fn readyz(state: State, headers: HeaderMap) -> Response {
    let health = views::health(&state.provider, state.shutdown.is_cancelled()).await;
    let is_operator = auth::reads_as_operator(&state, &headers).await;
    let health = if is_operator { health } else { health.for_everyone() };
    let status = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(health)).into_response()
}

/// Read what is counted.
///
/// In the `OpenMetrics` text format. On the operator's listener only.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "platform",
    operation_id = "getMetrics",
    responses((
        status = 200,
        description = "Counters, gauges and histograms.",
        body = String,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )),
)]
pub async fn metrics(state: State) -> Response {
    let page = state.metrics.render(&state.provider, state.shutdown.is_cancelled()).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], page).into_response()
}

/// Read this document.
///
/// The description of every route, as OpenAPI 3.1.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "platform",
    operation_id = "getOpenapi",
    responses((status = 200, description = "The document.", body = Object)),
)]
pub async fn openapi_json() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], openapi::COMMITTED).into_response()
}

/// Read the schema of SDL documents.
///
/// A JSON Schema (draft-07) with which editors complete and check an SDL document while it is written.
#[utoipa::path(
    get,
    path = "/openapi/sdl.schema.json",
    tag = "platform",
    operation_id = "getSdlSchema",
    responses((status = 200, description = "The schema.", body = Object, content_type = "application/schema+json")),
)]
pub async fn sdl_schema() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], openapi::SDL_SCHEMA).into_response()
}
