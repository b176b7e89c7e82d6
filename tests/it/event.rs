//! Tests of `event` through its public surface.
