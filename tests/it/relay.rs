//! Tests of `relay` through its public surface.
