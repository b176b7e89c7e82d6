//! lessor on a real Kubernetes, as much of it as a test needs: `cluster` starts it, and says how to run these tests.
//!
//! A test of a [`cluster::Ring`] that cannot run here prints why and passes; with `CI=true` it fails. What needs a real node
//! stands in `node`, so that the rest can be run without it.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod apply;
mod cluster;
mod deploy;
mod figures;
mod harness;
mod lessor;
mod node;
mod outages;
mod paper;
mod provider;
mod watch;
mod wire;

#[path = "../it/cluster/contract.rs"]
#[expect(
    dead_code,
    reason = "who has a hostname is decided by the rows; here the newest word counts"
)]
mod contract;
#[path = "../it/corpus.rs"]
#[expect(dead_code, reason = "the other tests read more of it")]
mod corpus;
#[path = "../it/cluster/fixtures.rs"]
mod fixtures;
#[path = "../it/support.rs"]
mod support;

use fixtures::{lease, route, service, workload};
