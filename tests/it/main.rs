//! One binary of integration tests; a module for each part of lessor.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]
#![expect(
    clippy::assigning_clones,
    clippy::cast_possible_truncation,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::struct_field_names,
    clippy::unused_async,
    reason = "what a test does once need not be quick, and its values are small"
)]

mod architecture;
mod bidengine;
mod certificate;
mod chain;
mod cluster;
mod command;
mod corpus;
mod devnet;
mod event;
mod faults;
mod gateway;
mod life;
mod manifest;
mod monitoring;
mod process;
mod provider;
mod provider_command;
mod quick;
mod real_node;
mod relay;
mod reload;
mod sdl;
mod secrets;
mod signer;
mod store;
mod support;
mod tenant;
mod traps;
mod wire;
