//! The nouns of the market, valid by construction; pure.
//!
//! Everything here is a value: no clock, no randomness, no I/O, and nothing that another module of lessor defines.
//! A value that exists is well formed: an [`Address`] has been through bech32, an [`Amount`] cannot be negative.
//! Ids print and parse as the paths that every tool of the field uses (`owner/dseq/gseq/oseq/provider`), and serialise
//! as those strings.
//!
//! The one surprising fact: money is counted in units of 10⁻¹⁸ ([`Amount`]), because the chain's `LegacyDec` does.

pub mod address;
pub mod glob;
pub mod id;
pub mod inventory;
pub mod market;
pub mod money;
pub mod resource;

pub use address::{Address, AddressError};
pub use glob::glob_matches;
pub use id::{BidId, DeploymentId, GroupId, IdError, LeaseId, OrderId};
pub use market::{
    AuditedAttributes, Bid, BidState, Certificate, CertificateState, CloseReason, Deployment,
    DeploymentState, Group, GroupState, Height, Lease, LeaseState, MarketParams, Order, OrderState,
    Payment, PaymentState, Provider,
};
pub use money::{Amount, Coin, Denom, MoneyError, Price};
pub use resource::{
    Attribute, Endpoint, EndpointKind, GroupSpec, Requirements, ResourceUnit, Resources, SignedBy,
    Volume,
};
