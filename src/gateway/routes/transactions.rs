//! What was sent to the chain, and what is waited for.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    gateway::{
        State,
        auth::guard::Operator,
        extract::{self, Query},
        problem::Problem,
    },
    provider::views::{self, DeadlineView, Page, TransactionView},
};

/// Which transactions.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only those that can still change.
    #[serde(default)]
    unsettled: bool,
    /// Where to go on: `next` of the page before.
    #[param(max_length = 512)]
    after: Option<String>,
    /// The most items of the page, 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// List transactions.
///
/// Newest first, with what they carry out and what became of them.
#[utoipa::path(
    get,
    path = "/v1/transactions",
    tag = "operator",
    operation_id = "listTransactions",
    params(ListQuery),
    responses((status = 200, description = "Transactions.", body = Page<TransactionView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn list(
    state: State,
    _: Operator,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<TransactionView>>, Problem> {
    let limit = extract::limit(query.limit)?;
    let after = query.after.as_deref();
    Ok(Json(views::transactions(&state.provider, query.unsettled, after, limit).await?))
}

/// How many deadlines.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DeadlinesQuery {
    /// The most items, 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// List deadlines.
///
/// What is looked at when block time passes a moment, soonest first.
#[utoipa::path(
    get,
    path = "/v1/deadlines",
    tag = "operator",
    operation_id = "listDeadlines",
    params(DeadlinesQuery),
    responses((status = 200, description = "Deadlines.", body = Page<DeadlineView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn deadlines(
    state: State,
    _: Operator,
    Query(query): Query<DeadlinesQuery>,
) -> Result<Json<Page<DeadlineView>>, Problem> {
    Ok(Json(views::deadlines(&state.provider, extract::limit(query.limit)?).await?))
}
