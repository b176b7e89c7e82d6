//! How the provider stands, for anyone.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};

use crate::{
    gateway::{
        State, auth,
        board::Panel,
        problem::{Code, Problem},
    },
    provider::views::OverviewView,
};

/// Read how the provider stands.
///
/// One word with the one reason and what to do, how fresh its knowledge is, and sums. Without a login; it says nothing of any
/// tenant. What an operator gives as the reason of a pause is shown here; what exactly is wrong (`detail`) only to the operator.
#[utoipa::path(
    get,
    path = "/v1/overview",
    tag = "platform",
    operation_id = "getOverview",
    responses((status = 200, description = "How it stands; good for a second.", body = OverviewView)),
    extensions(("x-problems" = json!(["store_unavailable"]))),
)]
pub async fn get(state: State, headers: HeaderMap) -> Result<Response, Problem> {
    let (panel, keep) = if auth::reads_as_operator(&state, &headers).await {
        (Panel::Overview, "no-store")
    } else {
        (Panel::Public, "public, max-age=1")
    };
    let look = state.board.look(&state, &[panel]).await;
    let shown = look.shown.into_iter().next();
    let shown = shown.ok_or_else(|| Problem::new(Code::StoreUnavailable))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, keep),
        (header::VARY, "authorization, cookie"),
    ];
    Ok((headers, shown.body.to_string()).into_response())
}
