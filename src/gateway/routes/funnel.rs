//! How far orders came.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    gateway::{State, auth::guard::Operator, extract::Query, problem::Problem},
    provider::views::{self, FunnelView, FunnelWindow},
};

/// Which orders.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct FunnelQuery {
    /// How far back to look, one hour when not given.
    #[param(inline)]
    window: Option<FunnelWindow>,
}

/// Read how far orders came.
///
/// The orders that were first seen in the window, stage by stage from `seen` to `deployed`, with the most frequent reasons why
/// others came no further.
#[utoipa::path(
    get,
    path = "/v1/funnel",
    tag = "operator",
    operation_id = "getFunnel",
    params(FunnelQuery),
    responses((status = 200, description = "The stages.", body = FunnelView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn get(
    state: State,
    _: Operator,
    Query(query): Query<FunnelQuery>,
) -> Result<Json<FunnelView>, Problem> {
    let window = query.window.unwrap_or(FunnelWindow::Hour);
    Ok(Json(views::funnel(&state.provider, window).await?))
}
