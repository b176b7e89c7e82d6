//! Orders, and why there was a bid or none.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, header};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::Address,
    gateway::{
        State,
        auth::guard::{Operator, OrderReader, Status},
        extract::{self, OrderPath, Query},
        problem::{Code, Problem},
    },
    provider::{
        port::OrderFilter,
        views::{self, DecisionView, OrderView, Page},
    },
};

/// Which orders.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only where they stand so: `seen`, `declined`, `bidding`, `open`, `close_wanted`, `won`, `lost`, `done`.
    phase: Option<String>,
    /// Only of this owner.
    owner: Option<String>,
    /// Where to go on: `next` of the page before.
    #[param(max_length = 512)]
    after: Option<String>,
    /// The most items of the page, 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The words that `phase` takes.
const PHASES: [&str; 8] =
    ["seen", "declined", "bidding", "open", "close_wanted", "won", "lost", "done"];

impl ListQuery {
    fn filter(&self) -> Result<OrderFilter, Problem> {
        let malformed = |detail: String| Problem::new(Code::MalformedQuery).detail(detail);
        if let Some(phase) = &self.phase
            && !PHASES.contains(&phase.as_str())
        {
            let detail = format!("phase is {phase:?}, allowed are {}", PHASES.join(", "));
            return Err(malformed(detail));
        }
        let owner = self.owner.as_deref().map(str::parse::<Address>).transpose();
        let owner = owner.map_err(|error| malformed(error.to_string()))?;
        Ok(OrderFilter { phase: self.phase.clone(), owner, ..OrderFilter::default() })
    }
}

/// List orders.
///
/// Every order that was looked at, with its bid and lease, most recently changed first.
#[utoipa::path(
    get,
    path = "/v1/orders",
    tag = "operator",
    operation_id = "listOrders",
    params(ListQuery),
    responses((status = 200, description = "Orders.", body = Page<OrderView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn list(
    state: State,
    _: Operator,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<OrderView>>, Problem> {
    let (filter, limit) = (query.filter()?, extract::limit(query.limit)?);
    let page = views::orders(&state.provider, &filter, query.after.as_deref(), limit).await?;
    Ok(Json(page))
}

/// Read why there is a bid on an order, or none.
///
/// Every check with what was needed and what was there, the placement, the price line by line. With `Accept: text/plain`
/// laid out for reading. A tenant may read it for their own order.
#[utoipa::path(
    get,
    path = "/v1/orders/{owner}/{dseq}/{gseq}/{oseq}/decision",
    tag = "operator",
    operation_id = "getDecision",
    params(OrderPath),
    responses((status = 200, description = "The latest decision.", content(
        (DecisionView = "application/json"),
        (String = "text/plain"),
    ))),
    security(("tenant" = []), ("operator" = [])),
    extensions(("x-problems" = json!([
        "malformed_path", "scope_missing", "order_not_found", "decision_not_found",
        "store_unavailable",
    ]))),
)]
pub async fn decision(
    state: State,
    reader: OrderReader<Status>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = views::decision(&state.provider, &reader.order).await?;
    let decision = found
        .ok_or_else(|| Problem::new(Code::OrderNotFound))?
        .ok_or_else(|| Problem::new(Code::DecisionNotFound))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.trim_start().starts_with("text/plain")) {
        return Ok(decision.to_string().into_response());
    }
    Ok(Json(DecisionView::from(&decision)).into_response())
}
