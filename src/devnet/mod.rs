//! The world for development: a market ledger behind the node's own RPC, and a simulated cluster.

pub mod cluster;
pub mod cluster_api;

pub mod genesis;
pub mod ledger;
