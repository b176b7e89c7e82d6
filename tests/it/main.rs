//! One binary of integration tests; a module for each part of lessor.

mod architecture;
mod bidengine;
mod chain;
mod cluster;
mod corpus;
mod devnet;
mod event;
mod gateway;
mod life;
mod manifest;
mod relay;
mod store;
mod support;
mod tenant;
mod wire;
