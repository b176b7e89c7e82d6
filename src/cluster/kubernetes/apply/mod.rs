//! From what is wanted to what is there, by server-side apply.
//!
//! | module | what it owns | |
//! |---|---|---|
//! | `plan` | wanted and found → what to write, in which order, and what to remove | pure |
//! | `adopt` | taking over what today's provider wrote | pure |
//! | `taken` | what others wrote over | pure |
//! | `carry_out` | the requests | |
//!
//! When a write is refused, nothing is removed and nothing more is begun. The Manifest is written last, so it still names
//! what ran before; whoever asked applies that again, and by the same plan exactly what was changed is put back. Nothing
//! has to be kept for that here, and it works as well for a process that has just started.
//!
//! The surprising fact: a refusal in the middle may come from outside, by a quota or a webhook, so an apply that was
//! right in itself can still be left half-way.

mod adopt;
mod carry_out;
mod plan;
mod taken;

pub use adopt::{is_foreign, take_over};
pub(super) use carry_out::{prune, write};
pub use plan::{Found, Plan, Removal, Write, drift, plan};
pub use taken::{taken, takes};
