//! Tests of `architecture` through its public surface.
