//! A page of an indexer's pull API, `GET /blocks?from=&to=&cursor=`: the same CloudEvents that a delivery carries, for a
//! range that was missed.
//!
//! The one surprising fact: a page without events still moves the receiver on, because `through` says up to which block
//! there is nothing more.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    BlockRef, CloudEvent,
    read::{EnvelopeError, Limits, Mode, parse},
};

/// One page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Page {
    /// The blocks with events, in order.
    pub events: Vec<CloudEvent>,
    /// Everything up to this block is in this page or in those before it.
    pub through: BlockRef,
    /// Asks for the next page; none after the last.
    pub next_cursor: Option<String>,
}

/// As [`Page`], with the events left to the reader of deliveries.
#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    events: &'a RawValue,
    through: BlockRef,
    next_cursor: Option<String>,
}

impl Page {
    /// Reads a page. Its events pass the same rules as those of a delivery.
    ///
    /// # Errors
    /// [`EnvelopeError`].
    pub fn read(body: &[u8], limits: &Limits) -> Result<Self, EnvelopeError> {
        let page: RawPage<'_> =
            serde_json::from_slice(body).map_err(|error| EnvelopeError::not_json(&error))?;
        let events = parse(Mode::Batch, page.events.get().as_bytes(), limits)?;
        Ok(Self { events, through: page.through, next_cursor: page.next_cursor })
    }
}
