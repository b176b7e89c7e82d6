//! What an indexer sends and what it means: the CloudEvents envelope, Standard Webhooks signatures, the links between
//! deliveries, and what each chain event concerns; pure.
//!
//! It does not keep anything (the store does), does not answer HTTP (the gateway does), and does not ask the chain.
//! The order in which a delivery is judged is fixed: [`signature`] over the raw bytes, then the time window, then
//! [`body`] (decompression), then [`envelope`], then [`link`].
//!
//! The one surprising fact: a signature covers the body *as it was sent*, so a compressed body is verified compressed,
//! while "the same body again" is judged by the digest of the decompressed bytes.

pub mod body;
pub mod envelope;
pub mod extract;
pub mod freshness;
pub mod hash;
pub mod key;
pub mod link;
pub mod signature;
pub mod subject;

pub use envelope::{BlockEvent, BlockRef, ChainEvent, CloudEvent, EventIdentity};
pub use hash::{BlockHash, BodyDigest, TxHash};
