//! Tests of `chain` through its public surface.
