//! Tests of `manifest` through its public surface.
