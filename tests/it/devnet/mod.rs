//! Tests of `devnet` through its public surface.

mod escrow;
mod life;
mod node;
mod recording;
mod refusals;
pub(crate) mod world;
