//! The world for development: a market ledger behind the node's own RPC, and a simulated cluster. Owns the folder that
//! both live in and the loopback address where they are found; whoever provides in this world is a process of its own.
//!
//! The accounts are public test keys, so it listens on loopback only and must never hold anything of worth.

pub mod cluster;
pub mod cluster_api;
pub mod control;
pub mod genesis;
pub mod ledger;
pub mod node;
mod rpc;
pub mod server;
