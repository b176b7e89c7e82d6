//! Tests of `devnet` through its public surface.

mod life;
mod node;
mod recording;
mod refusals;
mod world;
