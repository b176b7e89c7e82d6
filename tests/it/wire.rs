//! Tests of `wire` through its public surface.
