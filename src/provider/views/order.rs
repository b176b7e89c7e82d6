//! Orders with our bid and lease of them.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{MoneyView, Page};
use crate::{
    bidengine::Decision,
    domain::OrderId,
    provider::{
        Error, Provider,
        deployment::OrderRecord,
        port::{OrderFilter, OrderRow},
    },
};

/// An order and where it stands with us.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderView {
    /// `owner/dseq/gseq/oseq`.
    pub id: String,
    /// The tenant.
    pub owner: String,
    /// Where it stands: `seen`, `declined`, `bidding`, `open`, `close_wanted`, `won`, `lost`, `done`.
    #[schema(example = "open")]
    pub phase: String,
    /// The block that made it, once it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<u64>,
    /// When it was first seen here.
    #[schema(value_type = String, format = DateTime)]
    pub seen_at: Timestamp,
    /// When anything of it changed last.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
    /// What was decided last; the whole reasoning is under `/decision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecisionSummaryView>,
    /// Our bid as the chain showed it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bid: Option<BidView>,
    /// Where our lease stands on chain, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
}

/// A decision's answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DecisionSummaryView {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `bid` or `no_bid`.
    #[schema(example = "no_bid")]
    pub outcome: &'static str,
    /// The price of the bid; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<MoneyView>,
    /// Why there is no bid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "insufficient_capacity")]
    pub reason: Option<String>,
}

/// A bid of ours.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BidView {
    /// `owner/dseq/gseq/oseq/provider`.
    pub id: String,
    /// Where it stands on chain: `open`, `active`, `lost`, `closed`.
    pub state: String,
    /// Per block.
    pub price: MoneyView,
    /// The block that made it.
    pub created_at: u64,
    /// The notice that is offered before the lease may be reclaimed, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reclamation_window_s: Option<u64>,
    /// Where its order stands with us.
    pub order_phase: String,
    /// When anything of the order changed last.
    #[schema(value_type = String, format = DateTime)]
    pub changed_at: Timestamp,
}

/// What a row's body says; `None` for one that another version of lessor wrote and that does not read.
pub(super) fn record(row: &OrderRow) -> Option<OrderRecord> {
    serde_json::from_value(row.body.clone())
        .inspect_err(
            |error| tracing::warn!(order.id = %row.id, %error, "order's row does not read"),
        )
        .ok()
}

fn bid_view(row: &OrderRow, record: Option<&OrderRecord>) -> Option<BidView> {
    let bid = record?.bid.as_ref()?;
    Some(BidView {
        id: bid.id.to_string(),
        state: bid.state.to_string(),
        price: (&bid.price).into(),
        created_at: bid.created_at.0,
        reclamation_window_s: bid.reclamation_window_s,
        order_phase: row.phase.clone(),
        changed_at: row.changed_at,
    })
}

fn order_view(row: OrderRow) -> OrderView {
    let record = record(&row);
    let bid = bid_view(&row, record.as_ref());
    let (created_at, decided) = record
        .map_or((None, None), |record| (record.created_at.map(|height| height.0), record.decided));
    OrderView {
        id: row.id.to_string(),
        owner: row.id.owner().to_string(),
        phase: row.phase,
        created_at,
        seen_at: row.seen_at,
        changed_at: row.changed_at,
        decided: decided.map(|decided| DecisionSummaryView {
            at: decided.at,
            outcome: if decided.price.is_some() { "bid" } else { "no_bid" },
            price: decided.price.as_ref().map(MoneyView::from),
            reason: decided.reason,
        }),
        bid,
        lease: row.lease,
    }
}

/// Orders, most recently changed first.
///
/// # Errors
/// When the store gives no answer.
pub async fn orders(
    provider: &Provider,
    filter: &OrderFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<OrderView>, Error> {
    Ok(Page::of(provider.store.orders(filter, after, limit).await?, order_view))
}

/// Our bids, in one state when it is given, most recently changed first.
///
/// # Errors
/// When the store gives no answer.
pub async fn bids(
    provider: &Provider,
    state: Option<String>,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<BidView>, Error> {
    let filter = OrderFilter { bid: Some(state), ..OrderFilter::default() };
    let page = provider.store.orders(&filter, after, limit).await?;
    let view = |row: &OrderRow| bid_view(row, record(row).as_ref());
    Ok(Page { items: page.rows.iter().filter_map(view).collect(), next: page.next, total: None })
}

/// What was decided on an order, the latest. `Ok(None)` when the order is unknown, `Ok(Some(None))` when nothing was
/// decided.
///
/// # Errors
/// When the store gives no answer.
pub async fn decision(
    provider: &Provider,
    order: &OrderId,
) -> Result<Option<Option<Decision>>, Error> {
    if let Some(decision) = provider.store.decision(order).await? {
        return Ok(Some(Some(decision)));
    }
    Ok(provider.store.order(order).await?.map(|_| None))
}
