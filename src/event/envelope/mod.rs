//! The CloudEvents 1.0 envelope of a stream: one `CloudEvent` per block that matters, heartbeats and rewinds between
//! them, structured or as a batch. [`read`] parses bytes, the types here also write them.
//!
//! What it does not do: judge whether a block joins the one before ([`super::link`]) or what an event concerns
//! ([`super::subject`]).
//!
//! The one surprising fact: `prev_height` is the block that *this stream sent* before, not the block before on chain,
//! so a stream that skips the blocks without events can still be checked for gaps.

pub mod page;
pub mod read;

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, ser::SerializeMap};
use serde_json::{Map, Value};

use super::hash::{BlockHash, TxHash};
use crate::domain::Height;

/// The version of CloudEvents that is read and written.
pub const SPEC_VERSION: &str = "1.0";
/// Media type of one event.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// Media type of a list of events.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// `type` of a [`BlockEvent`].
pub const BLOCK_TYPE: &str = "network.akash.block.v1";
/// `type` of a [`Heartbeat`].
pub const HEARTBEAT_TYPE: &str = "network.akash.heartbeat.v1";
/// `type` of a [`Rewind`].
pub const REWIND_TYPE: &str = "network.akash.rewind.v1";

/// One `CloudEvent` of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudEvent {
    /// Unique together with `source`.
    pub id: String,
    /// Which indexer, as a URI reference.
    pub source: String,
    /// For a block `chain/height`.
    pub subject: Option<String>,
    /// For a block its time.
    pub time: Option<Timestamp>,
    /// Orders the events of a source as text.
    pub sequence: Option<String>,
    /// The chain's id.
    pub partition_key: Option<String>,
    /// `type` and `data`.
    pub payload: Payload,
}

/// What a `CloudEvent` says.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// A block, or a part of one.
    Block(BlockEvent),
    /// The indexer lives.
    Heartbeat(Heartbeat),
    /// The indexer takes back what it sent.
    Rewind(Rewind),
    /// A type that lessor does not know: kept, counted, ignored.
    Unknown {
        /// Its `type`.
        kind: String,
        /// Its `data`, `null` when there is none.
        data: Value,
    },
}

/// A block named by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Its height.
    pub height: Height,
    /// Its hash.
    pub hash: BlockHash,
}

/// The chain events of one block that the stream is about, or a part of them.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockEvent {
    /// The chain.
    pub chain_id: String,
    /// The block.
    pub at: BlockRef,
    /// The block that the stream sent before; `None` for the stream's first.
    pub prev: Option<BlockRef>,
    /// The indexer's own position, opaque.
    pub cursor: Option<String>,
    /// Whether the indexer could read the whole block; of a block in parts the last part says it.
    pub complete: bool,
    /// Which part, from 0.
    pub part: u32,
    /// How many parts the block has.
    pub parts: u32,
    /// In the order of the chain.
    pub events: Vec<ChainEvent>,
}

/// One event of the chain, as the indexer read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChainEvent {
    /// Its number among the block's sent events, over all parts, from 0.
    pub i: u32,
    /// The transaction, or `block`.
    pub tx_hash: TxHash,
    /// Which message of the transaction; 0 for a block's own event.
    pub msg_index: u32,
    /// Zero-based position in the transaction's (or the block's) events, all of them counted.
    pub event_index: u32,
    /// The full name of the typed event, for instance `akash.market.v1.EventOrderCreated`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The typed event's fields as the chain encodes them in JSON, without `msg_index` and `mode`.
    pub attributes: Map<String, Value>,
}

/// Says that the indexer lives and how far it has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heartbeat {
    /// The chain.
    pub chain_id: String,
    /// The newest block that the indexer has read, sent or not.
    pub tip_height: Height,
    /// That block's time.
    pub tip_time: Timestamp,
}

/// Takes back every block above `to`: an indexer's mistake, a wrong fork, a reset. Marks and reconciles, never undoes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewind {
    /// The last block that still stands.
    pub to: BlockRef,
    /// Why, in words.
    pub reason: String,
}

/// What makes a chain event that event, on every node and in every delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventIdentity {
    /// The chain.
    pub chain_id: String,
    /// The block.
    pub height: Height,
    /// The transaction, or `block`.
    pub tx_hash: TxHash,
    /// Which message.
    pub msg_index: u32,
    /// Which event of the transaction or block.
    pub event_index: u32,
}

impl fmt::Display for EventIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain_id, height, tx_hash, msg_index, event_index } = self;
        write!(f, "{chain_id}/{height}/{tx_hash}/{msg_index}/{event_index}")
    }
}

impl BlockEvent {
    /// The identity of one of this block's events.
    #[must_use]
    pub fn identity(&self, event: &ChainEvent) -> EventIdentity {
        EventIdentity {
            chain_id: self.chain_id.clone(),
            height: self.at.height,
            tx_hash: event.tx_hash,
            msg_index: event.msg_index,
            event_index: event.event_index,
        }
    }
}

impl Payload {
    /// The `CloudEvent`'s `type`.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Block(_) => BLOCK_TYPE,
            Self::Heartbeat(_) => HEARTBEAT_TYPE,
            Self::Rewind(_) => REWIND_TYPE,
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// The chain that it is about; a rewind and an unknown type do not say.
    #[must_use]
    pub fn chain_id(&self) -> Option<&str> {
        match self {
            Self::Block(block) => Some(&block.chain_id),
            Self::Heartbeat(heartbeat) => Some(&heartbeat.chain_id),
            Self::Rewind(_) | Self::Unknown { .. } => None,
        }
    }
}

impl CloudEvent {
    /// The block, when it is one.
    #[must_use]
    pub const fn block(&self) -> Option<&BlockEvent> {
        match &self.payload {
            Payload::Block(block) => Some(block),
            _ => None,
        }
    }
}

impl Serialize for BlockEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("chain_id", &self.chain_id)?;
        map.serialize_entry("height", &self.at.height)?;
        map.serialize_entry("block_hash", &self.at.hash)?;
        map.serialize_entry("prev_height", &self.prev.map(|prev| prev.height))?;
        map.serialize_entry("prev_hash", &self.prev.map(|prev| prev.hash))?;
        if let Some(cursor) = &self.cursor {
            map.serialize_entry("cursor", cursor)?;
        }
        map.serialize_entry("complete", &self.complete)?;
        map.serialize_entry("part", &self.part)?;
        map.serialize_entry("parts", &self.parts)?;
        map.serialize_entry("events", &self.events)?;
        map.end()
    }
}

impl Serialize for Rewind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("to_height", &self.to.height)?;
        map.serialize_entry("to_hash", &self.to.hash)?;
        map.serialize_entry("reason", &self.reason)?;
        map.end()
    }
}

impl Serialize for CloudEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", SPEC_VERSION)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("source", &self.source)?;
        map.serialize_entry("type", self.payload.kind())?;
        let optional = [
            ("subject", &self.subject),
            ("sequence", &self.sequence),
            ("partitionkey", &self.partition_key),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        if let Some(time) = self.time {
            map.serialize_entry("time", &time)?;
        }
        map.serialize_entry("datacontenttype", "application/json")?;
        match &self.payload {
            Payload::Block(block) => map.serialize_entry("data", block)?,
            Payload::Heartbeat(heartbeat) => map.serialize_entry("data", heartbeat)?,
            Payload::Rewind(rewind) => map.serialize_entry("data", rewind)?,
            Payload::Unknown { data, .. } => map.serialize_entry("data", data)?,
        }
        map.end()
    }
}
