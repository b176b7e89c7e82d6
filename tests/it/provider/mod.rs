//! The provider's use cases in a world that is all in one process: the real store and the real ledger, a cluster and a
//! clock of the tests' own, and faults by seed.

mod adopted;
mod bids;
mod breaker;
mod document;
mod drift;
mod earnings;
mod fault;
mod ground;
mod health;
mod identity;
pub(crate) mod lives;
mod market;
mod migrate;
mod node;
mod notice;
mod outbox;
mod pause;
mod policy;
mod quarantine;
mod races;
mod registration;
mod restored;
mod streams;
mod world;
