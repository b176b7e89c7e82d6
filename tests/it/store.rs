//! Tests of `store` through its public surface.
