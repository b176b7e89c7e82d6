//! The handlers, one file a noun.

pub mod audit;
pub mod bids;
pub mod deployments;
pub mod inventory;
pub mod leases;
pub mod me;
pub mod orders;
pub mod page;
pub mod platform;
pub mod problems;
pub mod streams;
pub mod tick;
pub mod transactions;
pub mod webhooks;
pub mod wire;
