//! Indexers' streams: cursor, lag, gaps, keys, and what an operator decides about them.

use axum::{
    Json,
    extract::{Path, Request},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::Height,
    gateway::{
        State,
        auth::guard::Operator,
        extract::{self, Paging, Query},
        problem::{Code, Problem},
    },
    provider::views::{self, DeliveryView, GapView, Page, StreamView},
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
    Ok(Json(Page::whole(items)))
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

/// List a stream's deliveries.
///
/// Those that were taken, newest first: what an indexer's operator compares with what was sent. What is in them was taken apart
/// into events; a range of blocks is asked for again with a backfill.
#[utoipa::path(
    get,
    path = "/v1/streams/{stream}/deliveries",
    tag = "operator",
    operation_id = "listDeliveries",
    params(("stream" = String, Path, description = "A stream of the settings.", max_length = 128), Paging),
    responses((status = 200, description = "Deliveries.", body = Page<DeliveryView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "stream_not_found", "store_unavailable"]))),
)]
pub async fn deliveries(
    state: State,
    _: Operator,
    Path(stream): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<DeliveryView>>, Problem> {
    let (after, limit) = (paging.after.as_deref(), paging.limit()?);
    let page = views::deliveries(&state.provider, &stream, after, limit).await?;
    page.map(Json).ok_or_else(|| Problem::new(Code::StreamNotFound))
}

/// Which blocks to pull.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackfillWish {
    /// The first height; the gap's when not given.
    #[serde(default)]
    #[schema(minimum = 1)]
    from: Option<u64>,
    /// The last height; the gap's when not given, or the newest that came.
    #[serde(default)]
    #[schema(minimum = 1)]
    to: Option<u64>,
}

/// Pull a stream's missing blocks now.
///
/// Those of its gap, or the range in the body, from where the settings say: the indexer's own pull API, else the node. Events that
/// are known already change nothing. What is left to pull is shown by the stream's `backfill`.
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/backfill",
    tag = "operator",
    operation_id = "backfillStream",
    params(("stream" = String, Path, description = "A stream of the settings.", max_length = 128)),
    request_body(content = Option<BackfillWish>),
    responses((status = 202, description = "The blocks that will be pulled.", body = GapView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "unsupported_media_type", "stream_not_found", "nothing_missing", "range_invalid",
        "store_unavailable",
    ]))),
)]
pub async fn backfill(
    state: State,
    _: Operator,
    Path(stream): Path<String>,
    request: Request,
) -> Result<(StatusCode, Json<GapView>), Problem> {
    let wish: BackfillWish = extract::json(request).await?;
    let (from, to) = (wish.from.map(Height), wish.to.map(Height));
    let wanted = state.provider.backfill(&stream, from, to, "operator").await?;
    Ok((StatusCode::ACCEPTED, Json(wanted.into())))
}

/// What becomes of a rewind that waits.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RewindDecision {
    /// Whether what the indexer took back is taken back here too.
    accept: bool,
}

/// Allow or turn down a rewind.
///
/// An indexer that takes back more blocks than it may alone waits for this (`rewind_waits`). Accepted, the stream goes on
/// from that block, the events above it are marked as unverified, and everything they concern is compared with the chain.
/// Nothing is undone.
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/rewind",
    tag = "operator",
    operation_id = "decideRewind",
    params(("stream" = String, Path, description = "A stream of the settings.", max_length = 128)),
    request_body(content = RewindDecision),
    responses((status = 200, description = "The stream, after it.", body = StreamView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "unsupported_media_type", "stream_not_found", "conflict", "store_unavailable",
    ]))),
)]
pub async fn rewind(
    state: State,
    _: Operator,
    Path(stream): Path<String>,
    request: Request,
) -> Result<Json<StreamView>, Problem> {
    let decision: RewindDecision = extract::json(request).await?;
    state.provider.decide_rewind(&stream, decision.accept, "operator").await?;
    let view = views::stream(&state.provider, &stream).await?;
    view.map(Json).ok_or_else(|| Problem::new(Code::StreamNotFound))
}
