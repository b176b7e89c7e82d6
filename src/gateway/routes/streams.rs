//! Indexers' streams: cursor, lag, gaps, keys.

use axum::{Json, extract::Path};

use crate::{
    gateway::{
        State,
        auth::guard::Operator,
        problem::{Code, Problem},
    },
    provider::views::{self, Page, StreamView},
};

/// List streams.
///
/// Every stream of the settings, with where it stands.
#[utoipa::path(
    get,
    path = "/v1/streams",
    tag = "operator",
    operation_id = "listStreams",
    responses((status = 200, description = "Streams by name.", body = Page<StreamView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["store_unavailable"]))),
)]
pub async fn list(state: State, _: Operator) -> Result<Json<Page<StreamView>>, Problem> {
    let items = views::streams(&state.provider).await?;
    Ok(Json(Page { items, next: None }))
}

/// Read one stream.
///
/// Cursor, lag behind the node, last heartbeat, open gaps, counts, and the keys that may sign, without secrets.
#[utoipa::path(
    get,
    path = "/v1/streams/{stream}",
    tag = "operator",
    operation_id = "getStream",
    params(("stream" = String, Path, description = "A stream of the settings.", max_length = 128)),
    responses((status = 200, description = "The stream.", body = StreamView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["stream_not_found", "store_unavailable"]))),
)]
pub async fn get(
    state: State,
    _: Operator,
    Path(stream): Path<String>,
) -> Result<Json<StreamView>, Problem> {
    let view = views::stream(&state.provider, &stream).await?;
    view.map(Json).ok_or_else(|| Problem::new(Code::StreamNotFound))
}
