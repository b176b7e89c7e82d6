//! **lessor** rents out a cluster on the Akash market: chain events arrive as signed webhooks, each becomes rows, and
//! every decision is a pure function from rows to rows.
//!
//! # The map, from the inside out
//!
//! Arrows of `use` point inwards only (a test reads them):
//! `domain ← {wire, manifest} ← {event, bidengine} ← provider ← {store, chain, cluster, gateway} ← cmd`.
//!
//! | module | what it owns |
//! |---|---|
//! | [`domain`] | the nouns of the market, valid by construction |
//! | [`wire`] | the chain's protobuf messages, event JSON, sign bytes |
//! | [`manifest`] | SDL → groups and manifest, canonical form and hash, every validation rule |
//! | [`event`] | CloudEvents envelope, webhook signatures, typed chain events, gap detection |
//! | [`bidengine`] | eligibility, policy, placement, pricing, the decision record |
//! | [`provider`] | use cases and ports: ingest, steps, the life of a lease, deadlines, views |
//! | [`store`] | adapter: the durable rows, on SQLite; tenants' secrets sealed in them |
//! | [`chain`] | adapter: several nodes as one, transactions, keys and who signs with them |
//! | [`cluster`] | adapters of the cluster port |
//! | [`gateway`] | adapter: the HTTP surface, and the dashboard of `web/` |
//! | [`relay`] | the reference indexer |
//! | [`client`] | what a tenant's tool and the operator's commands call |
//! | [`devnet`] | the world for development: a market ledger behind the node's own RPC, and a simulated cluster |
//! | [`telemetry`] | logs and metrics |
//! | [`cmd`] | one file a command |
//!
//! The first six know no clock, no randomness and no I/O: those come in as arguments.

pub mod bidengine;
pub mod chain;
pub mod client;
pub mod cluster;
pub mod cmd;
pub mod devnet;
pub mod domain;
pub mod event;
pub mod gateway;
pub mod manifest;
pub mod provider;
pub mod relay;
pub mod store;
pub mod telemetry;
pub mod wire;
