//! lessor on a real Kubernetes, as much of it as a test needs: `cluster` starts it, and says how to run these tests.
//!
//! A test of a [`cluster::Ring`] that cannot run here prints why and passes; with `CI=true` it fails.

mod cluster;
mod figures;
mod harness;
#[path = "../it/support.rs"]
mod support;
