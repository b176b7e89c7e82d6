//! Tests of `gateway` through its public surface.
