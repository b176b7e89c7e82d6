//! What came from indexers, and what does not get on.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Page;
use crate::{
    provider::{
        Error, Provider,
        port::{Backlog, DeliveryRow, StuckRow},
    },
    wire::text::to_hex,
};

/// So many steps in a row that come to nothing are more than a moment's trouble.
const STUCK_AFTER: u32 = 3;

/// A delivery that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryView {
    /// Its `webhook-id`.
    pub id: String,
    /// Lower-case hex of the SHA-256 of its body.
    pub digest: String,
    /// `webhook`, or `backfill` for what was pulled.
    pub origin: String,
    /// When it was committed first.
    #[schema(value_type = String, format = DateTime)]
    pub received_at: Timestamp,
}

impl From<DeliveryRow> for DeliveryView {
    fn from(row: DeliveryRow) -> Self {
        let DeliveryRow { id, digest, origin, received_at } = row;
        Self { id, digest: to_hex(&digest), origin, received_at }
    }
}

/// Something whose steps come to nothing. It is tried again all the same, ever more rarely, and holds nothing else up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StuckView {
    /// What it is.
    #[schema(example = "deployment/akash1…/42")]
    pub subject: String,
    /// How many steps in a row came to nothing.
    pub failures: u32,
    /// Why the last did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When the next is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub retry_at: Option<Timestamp>,
}

impl From<StuckRow> for StuckView {
    fn from(row: StuckRow) -> Self {
        let StuckRow { subject, failures, last_error, retry_at } = row;
        Self { subject: subject.to_string(), failures, last_error, retry_at }
    }
}

/// A stream's deliveries, newest first; `None` for a stream that the settings do not have.
///
/// # Errors
/// When the store gives no answer.
pub async fn deliveries(
    provider: &Provider,
    stream: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Option<Page<DeliveryView>>, Error> {
    if !provider.settings().streams.contains_key(stream) {
        return Ok(None);
    }
    let page = provider.store.deliveries(stream, after, limit).await?;
    Ok(Some(Page::of(page, DeliveryView::from)))
}

/// What waits, counted; deadlines up to `block_time` are due.
///
/// # Errors
/// When the store gives no answer.
pub async fn backlog(provider: &Provider, block_time: Timestamp) -> Result<Backlog, Error> {
    Ok(provider.store.backlog(STUCK_AFTER, block_time).await?)
}

/// What does not get on, by name.
///
/// # Errors
/// When the store gives no answer.
pub async fn stuck(
    provider: &Provider,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<StuckView>, Error> {
    let total = backlog(provider, Timestamp::MIN).await?.stuck;
    let page = provider.store.stuck(STUCK_AFTER, after, limit).await?;
    Ok(Page { total: Some(total), ..Page::of(page, StuckView::from) })
}
