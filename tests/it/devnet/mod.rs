//! Tests of `devnet` through its public surface.

mod recording;
