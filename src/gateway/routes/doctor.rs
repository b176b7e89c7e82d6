//! What keeps the provider from its work, and what to do about it.

use axum::Json;

use crate::{
    gateway::{
        State, auth::guard::Operator, extract::Query, problem::Problem, routes::inventory::NoQuery,
    },
    provider::views::{self, DoctorView},
};

/// Look at everything that the provider needs.
///
/// Nodes, chain, clock, account and its funds, registration, certificate, cluster, outbox, store and streams, each with what to
/// do about it. Asks the chain and the cluster now, and answers also when they do not.
#[utoipa::path(
    get,
    path = "/v1/doctor",
    tag = "operator",
    operation_id = "getDoctor",
    responses((status = 200, description = "What was found.", body = DoctorView)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn get(
    state: State,
    _: Operator,
    _: Query<NoQuery>,
) -> Result<Json<DoctorView>, Problem> {
    Ok(Json(views::doctor(&state.provider, state.shutdown.is_cancelled()).await))
}
