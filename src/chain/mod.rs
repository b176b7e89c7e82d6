//! Adapter: a node's JSON-RPC as the ports [`Chain`](crate::provider::port::Chain) and
//! [`Indexer`](crate::provider::port::Indexer), and an account key as the port
//! [`Signer`](crate::provider::port::Signer).
//!
//! It asks one node, keeps nothing and decides nothing: every answer comes with the height it was given at, and an answer
//! from below the height that the caller knows of is an error. What the bytes mean is [`crate::wire`]'s.
//!
//! The one surprising fact: a node that refuses a transaction has not said that the transaction is in no block. Only a
//! refusal that follows from the bytes alone is final ([`broadcast::classify`]).

pub mod broadcast;
pub mod certificate;
mod health;
pub mod key;
mod node;
mod nodes;
mod port;
mod pull;
pub mod signer;
mod stream;

pub use key::{AccountKey, FormError, KeyFileError, KeySource, read_private};
pub use node::{Node, NodeError, NodeSettings};
pub use nodes::{Endpoint, Nodes};
pub use pull::Pull;
