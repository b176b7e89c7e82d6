//! What the cluster can hold.

use axum::Json;
use serde::Deserialize;

use crate::{
    gateway::{State, auth::guard::Operator, extract::Query, problem::Problem},
    provider::views::{self, InventoryView},
};

/// The route takes no parameters, and says so to who gives one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// Read what the cluster can hold.
///
/// Node by node what there is, what is taken, what is promised and what is left; what is not offered and why; and every
/// reservation.
#[utoipa::path(
    get,
    path = "/v1/inventory",
    tag = "operator",
    operation_id = "getInventory",
    responses((status = 200, description = "As it was observed last.", body = InventoryView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn get(
    state: State,
    _: Operator,
    _: Query<NoQuery>,
) -> Result<Json<InventoryView>, Problem> {
    Ok(Json(views::inventory(&state.provider).await?))
}
