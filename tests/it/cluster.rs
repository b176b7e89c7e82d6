//! Tests of `cluster` through its public surface.
