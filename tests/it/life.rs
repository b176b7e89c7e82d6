//! Tests of `life` through its public surface.
