//! Tests of `tenant` through its public surface.
