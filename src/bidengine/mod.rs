//! Whether to bid on an order, at what price, where it would run and why; and the life of an order up to won or lost.
//!
//! Pure: every fact comes in as a value ([`Facts`]), the answer goes out as a value ([`Decided`]) together with its whole
//! reasoning ([`Decision`]). Nothing here reads a clock, asks the chain or the cluster, or keeps state.
//!
//! [`decide`] goes through the stages *free → policy → place → price*. A stage is always run to its end, so that the record
//! names everything that is wrong in it; the next stage starts only when all checks before it passed.
//! [`order::advance`] is the other half: it looks at what the chain shows and says which phase the order is in and what
//! is to be done.
//!
//! The one surprising fact: a provider can bid **once** per order, ever. So a bid is not given up because lessor stops or
//! restarts, and a reservation is not given back while a create-bid transaction can still land.

mod attributes;
mod check;
mod decision;
mod eligibility;
mod facts;
#[cfg(test)]
mod fixtures;
mod limits;
pub mod order;
pub mod placement;
pub mod policy;
pub mod price;
mod report;
mod volume;

pub use attributes::{is_subset, signed_by};
pub use check::{Check, Rule, Stage, StageName};
pub use decision::{BidContent, Decided, Decision, Outcome, decide};
pub use eligibility::{free_checks, policy_checks};
pub use facts::{Facts, ObservedInventory};
pub use limits::{LimitViolation, limit_violations};
pub use placement::{Assignment, Offer, Placement, Reservation, Shortage, place};
pub use policy::Policy;
pub use price::{PriceError, PriceLine, Prices, Quote, quote};
pub use volume::VolumeKind;
