//! One binary of integration tests; a module for each part of lessor.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod architecture;
mod bidengine;
mod chain;
mod cluster;
mod corpus;
mod devnet;
mod event;
mod gateway;
// mod life;
mod manifest;
mod provider;
mod relay;
mod store;
mod support;
mod tenant;
mod wire;
