//! Whether bids are wanted.

use axum::{Json, extract::Request};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    gateway::{State, auth::guard::Operator, extract, problem::Problem},
    provider::{
        port::MaintenanceState,
        views::{self, MaintenanceView},
    },
};

/// What an operator wants from now on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWish {
    /// Whether bids are wanted.
    state: MaintenanceState,
    /// Why, in one line: everyone can read it at `/v1/overview`. A pause needs one.
    #[serde(default)]
    #[schema(max_length = 500, example = "node 3 gets more memory")]
    reason: String,
}

/// Read whether bids are wanted.
#[utoipa::path(
    get,
    path = "/v1/maintenance",
    tag = "operator",
    operation_id = "getMaintenance",
    responses((status = 200, description = "Since when and why.", body = MaintenanceView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["store_unavailable"]))),
)]
pub async fn get(state: State, _: Operator) -> Result<Json<MaintenanceView>, Problem> {
    Ok(Json(views::maintenance(&state.provider).await?))
}

/// Pause and resume bidding.
///
/// While it is paused, or in maintenance, orders get no new bids and their decisions say so; leases and bids that are on chain
/// go on. Resuming (`bidding`) decides again on orders that are still open. It is kept over restarts, and audited.
#[utoipa::path(
    put,
    path = "/v1/maintenance",
    tag = "operator",
    operation_id = "putMaintenance",
    request_body(content = MaintenanceWish),
    responses((status = 200, description = "In force.", body = MaintenanceView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!([
        "unsupported_media_type", "maintenance_invalid", "store_unavailable",
    ]))),
)]
pub async fn put(
    state: State,
    _: Operator,
    request: Request,
) -> Result<Json<MaintenanceView>, Problem> {
    let wish: MaintenanceWish = extract::json(request).await?;
    state.provider.set_maintenance(wish.state, &wish.reason, "operator").await?;
    Ok(Json(views::maintenance(&state.provider).await?))
}

/// Agree to the teardowns that are held.
///
/// When more workloads are to be removed within ten minutes than `cluster.teardowns_in_ten_minutes`, none is: they go on
/// running, keep their capacity, and wait for this. Those that were decided up to now are removed then; it is audited.
#[utoipa::path(
    post,
    path = "/v1/maintenance/teardowns",
    tag = "operator",
    operation_id = "agreeToTeardowns",
    responses((status = 200, description = "They go on.", body = MaintenanceView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["store_unavailable"]))),
)]
pub async fn agree(state: State, _: Operator) -> Result<Json<MaintenanceView>, Problem> {
    state.provider.agree_to_teardowns("operator").await?;
    Ok(Json(views::maintenance(&state.provider).await?))
}
