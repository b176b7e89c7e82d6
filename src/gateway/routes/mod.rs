//! The handlers, one file a noun.

pub mod audit;
pub mod bids;
pub mod deployments;
pub mod doctor;
pub mod exec;
pub mod funnel;
pub mod inventory;
pub mod leases;
pub mod maintenance;
pub mod me;
mod media;
pub mod migrate;
pub mod orders;
pub mod overview;
pub mod page;
pub mod platform;
pub mod policy;
pub mod problems;
pub mod sdl;
pub mod session;
pub mod stream;
pub mod streams;
pub mod stuck;
pub mod tick;
pub mod transactions;
pub mod webhooks;
pub mod wire;
