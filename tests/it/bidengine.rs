//! Tests of `bidengine` through its public surface.
