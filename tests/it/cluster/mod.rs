//! Tests of `cluster` through its public surface: one contract that every backend keeps, and what only the simulated
//! one promises.

mod api_server;
mod contract;
mod fixtures;
mod kubernetes;
mod simulated;
mod world;

use fixtures::{lease, route, service, workload};
