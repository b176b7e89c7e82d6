//! What a chain event concerns: the deployment whose step is to look, or the provider whose record changed.
//!
//! The one surprising fact: everything of the market concerns a *deployment*: its orders, bids and leases are parts of
//! it, so `owner/dseq` of any path is enough.

use crate::{
    domain::{Address, DeploymentId},
    event::envelope::ChainEvent,
    wire::event::{ChainEvent as Typed, EventError},
};

/// What an event concerns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Concern {
    /// A deployment: one of its groups, orders, bids or leases.
    Deployment(DeploymentId),
    /// A provider's record or its audited attributes.
    Provider(Address),
}

/// What `event` concerns; `None` for a type that lessor does not know, which is kept and counted.
///
/// # Errors
/// [`EventError`] when an attribute of a known type is missing or wrong: the event is kept and counted as well, and
/// whatever it was to say is found by reconciliation.
pub fn concern(event: &ChainEvent) -> Result<Option<Concern>, EventError> {
    Typed::from_attributes(&event.kind, &event.attributes).map(|typed| concern_of(&typed))
}

/// As [`concern`], for an event that is decoded already.
#[must_use]
pub fn concern_of(event: &Typed) -> Option<Concern> {
    match event {
        Typed::ProviderCreated { owner }
        | Typed::ProviderUpdated { owner }
        | Typed::ProviderDeleted { owner }
        | Typed::TrustedAuditorCreated { owner, .. }
        | Typed::TrustedAuditorDeleted { owner, .. } => Some(Concern::Provider(owner.clone())),
        _ => event.deployment().cloned().map(Concern::Deployment),
    }
}
