//! Streams, deliveries and the events in them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AuditLine, subject::Subject};
use crate::{
    domain::Height,
    event::{
        envelope::{BlockRef, EventIdentity},
        link::{Gap, Link},
    },
};

/// One chain event that an indexer claims.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Unique: chain, height, transaction, message, event.
    pub identity: EventIdentity,
    /// The full protobuf name.
    pub kind: String,
    /// The typed event's fields as the chain encodes them in JSON.
    pub attributes: serde_json::Map<String, Value>,
    /// What it concerns; `None` for types that nobody handles, which are stored and counted.
    pub subject: Option<Subject>,
}

/// One verified request of an indexer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The feed.
    pub stream: String,
    /// `webhook-id`: the same for every try.
    pub id: String,
    /// SHA-256 of the decompressed body.
    pub digest: [u8; 32],
    /// By the host's clock.
    pub received_at: Timestamp,
    /// What it is: `webhook`, `backfill`.
    pub origin: &'static str,
}

/// What a delivery holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// Chain events.
    pub events: Vec<EventRow>,
    /// `CloudEvents` of unknown types.
    pub others: Vec<OtherEvent>,
}

/// Where a stream stands and when it was heard.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamState {
    /// The cursor, what came ahead of it, what is in parts.
    pub link: Link,
    /// When a delivery or heartbeat with a right signature was committed last.
    pub heard_at: Option<Timestamp>,
    /// When the last heartbeat was committed.
    pub heartbeat_at: Option<Timestamp>,
    /// The newest block that the indexer says it has read, and its time.
    pub indexer_tip: Option<(Height, Timestamp)>,
    /// Since when a gap has been open.
    pub gap_since: Option<Timestamp>,
    /// Blocks that an operator wants pulled, as far as they are not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_wanted: Option<Gap>,
    /// The indexer took back what it sent above this block, and an operator has not agreed yet.
    pub rewind_waits: Option<BlockRef>,
    /// The highest block that the indexer claims and that our node is too far below to believe; `None` once its claims can
    /// be true.
    pub above_tip: Option<Height>,
    /// The stream's cursor as it was last compared with our node's block of that height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// When each key signed a delivery last, by the key's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys_used: BTreeMap<String, Timestamp>,
}

/// A delivery that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its `webhook-id`.
    pub id: String,
    /// SHA-256 of its body.
    pub digest: Vec<u8>,
    /// `webhook` or `backfill`.
    pub origin: String,
    /// When it was committed first, by the host's clock.
    pub received_at: Timestamp,
}

/// What our node said of a block that a stream told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The block as the stream has it.
    pub at: BlockRef,
    /// Our node's other hash of that height, upper-case hex; `None` when the two agree.
    pub other: Option<String>,
    /// Since when they disagree, or when they were found to agree.
    pub since: Timestamp,
}

/// Why a strict stream does not take a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// It does not join the one before.
    DoesNotJoin,
    /// It claims a block that the chain cannot have reached.
    AboveTip {
        /// The highest block that is believed now.
        believed: Height,
    },
}

/// A `CloudEvent` of a type that lessor does not know: kept and counted, and nobody acts on it.
#[derive(Debug, Clone, PartialEq)]
pub struct OtherEvent {
    /// Which indexer.
    pub source: String,
    /// Unique together with `source`.
    pub id: String,
    /// Its `type`.
    pub kind: String,
    /// Its `data`, `null` when there is none.
    pub data: Value,
}

/// What a delivery changes, as a pure function of the stream's state said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StreamPlan {
    /// The stream's new state.
    pub state: StreamState,
    /// Of a refused delivery nothing is stored but when the stream was heard and by which key.
    pub refuse: Option<NotTaken>,
    /// Events above this height wake their subjects at this time and not before: the chain cannot have reached them yet.
    pub waits_above: Option<(Height, Timestamp)>,
    /// Events above this height are marked as taken back, and their subjects woken.
    pub unverified_above: Option<Height>,
    /// Wakes the stream's own step at this time (to look after a gap).
    pub wake_at: Option<Timestamp>,
    /// Subjects to wake besides those of the events.
    pub wake: Vec<Subject>,
    /// What people should be able to read later.
    pub audit: Vec<AuditLine>,
}

/// Decides what a delivery changes. Called inside the store's transaction, again when that has to be repeated; it must be
/// quick and pure.
pub type Plan = dyn Fn(&StreamState) -> StreamPlan + Send + Sync;

/// Changes a stream's state. As quick and pure as a [`Plan`].
pub type StreamChange<'a> = dyn Fn(&StreamState) -> StreamState + Send + Sync + 'a;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Ingested {
    /// Committed now.
    Accepted {
        /// Events that were new.
        accepted: u64,
        /// Events whose identity was known with the same content.
        duplicates: u64,
        /// Events whose identity was known with other content: both are kept as hints and shown.
        conflicts: u64,
        /// The stream's state after it.
        state: StreamState,
    },
    /// The same id and the same body were committed before.
    Repeated {
        /// The stream's state now.
        state: StreamState,
    },
    /// The same id was committed with another body. Nothing of this one was stored but the alarm.
    OtherBody,
    /// The plan refused it.
    Refused {
        /// Why.
        why: NotTaken,
        /// The stream's state now.
        state: StreamState,
    },
    /// The inbox is at its bound; nothing was stored.
    Full,
}

/// A stream as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRow {
    /// Its name.
    pub name: String,
    /// Cursor, gaps, freshness.
    pub state: StreamState,
    /// Deliveries that were committed.
    pub deliveries: u64,
    /// Events that were new, over all deliveries.
    pub events: u64,
    /// Events that were known already.
    pub duplicates: u64,
    /// Events of types that nobody handles.
    pub ignored: u64,
    /// Same id with another body, or same event with other content.
    pub conflicts: u64,
    /// Events, whoever told them, that an indexer took back and that have not come again.
    pub unverified: u64,
}

/// Reads that a stream's unproven hints have cost in the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Reads in this window, with those just asked for if they were granted.
    pub reads: u32,
    /// Whether what was asked for was granted.
    pub granted: bool,
}
