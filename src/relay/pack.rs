//! A block's events to CloudEvents to batches that keep their limits; pure.
//!
//! A block that is too large for one delivery is split into parts that repeat its `prev_*`. The one surprising fact: a
//! single event that is too large for any delivery is left out and the block is marked as not complete, so that its
//! receiver reads the chain.

use jiff::Timestamp;

use super::follow::{Found, Tip};
use crate::event::envelope::{BlockEvent, BlockRef, ChainEvent, CloudEvent, Heartbeat, Payload};

/// What a body has besides its CloudEvents: the brackets, and a comma for each.
const BRACKETS: usize = 2;
/// Kept free in a part for the envelope around its events.
const ENVELOPE: usize = 1024;

/// How large a delivery may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// The most chain events.
    pub events: usize,
    /// The most bytes of the body.
    pub bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { events: 500, bytes: 1024 * 1024 }
    }
}

/// A `CloudEvent` as it will be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    json: String,
    chain_events: usize,
    /// The block that is sent whole with it; none for a heartbeat and for all but the last part.
    completes: Option<BlockRef>,
}

/// A batch that grows up to its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    limits: BatchLimits,
    items: Vec<Packed>,
    bytes: usize,
    chain_events: usize,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new(limits: BatchLimits) -> Self {
        Self { limits, items: Vec::new(), bytes: BRACKETS, chain_events: 0 }
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Adds `item`, or gives it back when the batch is full. An empty batch takes anything.
    ///
    /// # Errors
    /// The item, when it does not fit.
    pub fn push(&mut self, item: Packed) -> Result<(), Packed> {
        let bytes = self.bytes + item.json.len() + 1;
        let chain_events = self.chain_events + item.chain_events;
        // A receiver bounds the CloudEvents by the same number as the chain events.
        let full = bytes > self.limits.bytes
            || chain_events > self.limits.events
            || self.items.len() >= self.limits.events;
        if full && !self.items.is_empty() {
            return Err(item);
        }
        (self.bytes, self.chain_events) = (bytes, chain_events);
        self.items.push(item);
        Ok(())
    }

    /// How many chain events it holds.
    #[must_use]
    pub const fn chain_events(&self) -> usize {
        self.chain_events
    }

    /// The last block that is sent whole with it.
    #[must_use]
    pub fn completes(&self) -> Option<BlockRef> {
        self.items.iter().rev().find_map(|item| item.completes)
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> String {
        let items: Vec<&str> = self.items.iter().map(|item| item.json.as_str()).collect();
        format!("[{}]", items.join(","))
    }
}

/// A block, in as many parts as the limits ask for. `prev` is the block that the stream sent before.
#[must_use]
pub fn block(
    found: &Found,
    prev: Option<BlockRef>,
    source: &str,
    limits: BatchLimits,
) -> Vec<CloudEvent> {
    let (chunks, complete) = chunks(&found.events, limits);
    let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let Found { chain_id, at, time, .. } = found;
    let height = at.height;
    chunks
        .into_iter()
        .zip(0..)
        .map(|(events, part)| CloudEvent {
            id: format!("{chain_id}:{height}:{}:{part}", at.hash),
            source: source.to_owned(),
            subject: Some(format!("{chain_id}/{height}")),
            time: Some(*time),
            sequence: Some(format!("{:015}.{part:05}", height.0)),
            partition_key: Some(chain_id.clone()),
            payload: Payload::Block(BlockEvent {
                chain_id: chain_id.clone(),
                at: *at,
                prev,
                cursor: Some(height.to_string()),
                complete,
                part,
                parts,
                events,
            }),
        })
        .collect()
}

/// A heartbeat at `now`. Its id holds the time, so that a chain that stands still is still heard of.
#[must_use]
pub fn heartbeat(tip: &Tip, now: Timestamp, source: &str) -> CloudEvent {
    let Tip { chain_id, height, time, .. } = tip;
    CloudEvent {
        id: format!("{chain_id}:heartbeat:{height}:{}", now.as_millisecond()),
        source: source.to_owned(),
        subject: Some(format!("{chain_id}/{height}")),
        time: Some(now),
        sequence: None,
        partition_key: Some(chain_id.clone()),
        payload: Payload::Heartbeat(Heartbeat {
            chain_id: chain_id.clone(),
            tip_height: *height,
            tip_time: *time,
        }),
    }
}

/// The events in parts that fit, and whether all of them do.
fn chunks(events: &[ChainEvent], limits: BatchLimits) -> (Vec<Vec<ChainEvent>>, bool) {
    let room = limits.bytes.saturating_sub(BRACKETS + ENVELOPE);
    let mut parts = vec![Vec::new()];
    let (mut bytes, mut complete) = (0, true);
    for event in events {
        let size = serde_json::to_string(event).map_or(usize::MAX, |json| json.len() + 1);
        if size > room {
            complete = false;
            continue;
        }
        let full = parts.last().is_some_and(|part: &Vec<_>| part.len() >= limits.events.max(1));
        if full || bytes + size > room {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(part) = parts.last_mut() {
            part.push(event.clone());
        }
    }
    (parts, complete)
}

impl From<&CloudEvent> for Packed {
    fn from(event: &CloudEvent) -> Self {
        let block = event.block();
        Self {
            // Only maps with keys that are no strings fail, and there are none.
            json: serde_json::to_string(event).unwrap_or_default(),
            chain_events: block.map_or(0, |block| block.events.len()),
            completes: block.filter(|block| block.part + 1 == block.parts).map(|block| block.at),
        }
    }
}
