//! Tests of `manifest` through its public surface: recorded verdicts of the Go implementation, and properties.

mod cases;
mod changes;
mod codes;
mod corpus;
mod dialect;
mod explain;
mod npm;
mod schema;
mod sdl;
mod soak;
