//! Our bids.

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    domain::BidState,
    gateway::{
        State,
        auth::guard::Operator,
        extract::{self, Query},
        problem::{Code, Problem},
    },
    provider::views::{self, BidView, Page},
};

/// Which bids.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Only where they stand so on chain: `open`, `active`, `lost`, `closed`.
    state: Option<String>,
    /// Where to go on: `next` of the page before.
    #[param(max_length = 512)]
    after: Option<String>,
    /// The most items of the page, 100 when not given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// List our bids.
///
/// As the chain showed them last, most recently changed first.
#[utoipa::path(
    get,
    path = "/v1/bids",
    tag = "operator",
    operation_id = "listBids",
    params(ListQuery),
    responses((status = 200, description = "Bids.", body = Page<BidView>)),
    security(("operator" = [])),
    extensions(("x-problems" = json!(["malformed_query", "store_unavailable"]))),
)]
pub async fn list(
    state: State,
    _: Operator,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<BidView>>, Problem> {
    if let Some(given) = query.state.as_deref()
        && BidState::from_text(given).is_none()
    {
        let detail = format!("{given:?} is no state of a bid");
        return Err(Problem::new(Code::MalformedQuery).detail(detail));
    }
    let limit = extract::limit(query.limit)?;
    let page = views::bids(&state.provider, query.state, query.after.as_deref(), limit).await?;
    Ok(Json(page))
}
