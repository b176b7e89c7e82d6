//! Nothing is lost when the process dies: real processes, real SIGKILL, one file that outlives them all.
//!
//! The world (ledger and cluster) is a process of its own and goes on; its journal is the judge of what was done twice.
//! The relay lives in the test's process. What is killed is either `lessor serve` itself, or this executable again, as a
//! gateway and worker from the same parts whose every port call is a [`points`]: a named place where it can be made to
//! stop for ever and be killed.
//!
//! | file | what |
//! |---|---|
//! | `points`, `ports` | the places to die at, and the ports that pass them |
//! | `child` | what this executable is when it runs as the world or as the gateway |
//! | `process` | starts them, kills them, starts them again |
//! | `world`, `life` | one world, and a tenant's life in it, phase by phase |
//! | `judge` | what must be true at the end |
//! | `served` | `lessor serve` itself, and deliveries by hand |
//! | `wire` | what is between the provider and its node, and breaks |
//! | `kill_points`, `moments`, `troubles`, `clock`, `reseal`, `outages` | the tests |
//!
//! Those that take minutes are ignored here and run by `tests/run`, by name.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod child;
mod clock;
mod judge;
mod kill_points;
mod life;
mod moments;
mod outages;
mod points;
mod ports;
mod process;
mod reseal;
mod served;
#[path = "../it/support.rs"]
mod support;
mod troubles;
mod wire;
mod world;
