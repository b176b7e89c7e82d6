//! Who did what, and why.

use axum::Json;

use crate::{
    gateway::{
        State,
        auth::guard::Operator,
        extract::{Paging, Query},
        problem::Problem,
    },
    provider::views::{self, AuditView, Page},
};

/// Read the audit log.
///
/// Every bid, close, apply, teardown and alarm with its reason, newest first.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "operator",
    operation_id = "listAudit",
    params(Paging),
    responses((status = 200, description = "Lines.", body = Page<AuditView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn list(
    state: State,
    _: Operator,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<AuditView>>, Problem> {
    let limit = paging.limit()?;
    Ok(Json(views::audit(&state.provider, paging.after.as_deref(), limit).await?))
}
