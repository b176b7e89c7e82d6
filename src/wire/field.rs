//! Reading single fields of the chain's answers into the nouns of [`crate::domain`], with an error that names the field.
//!
//! Whatever the chain sends is untrusted text until here: an id with a zero or an address with a bad checksum is
//! refused, whichever of protobuf and JSON it came in.

use std::fmt;

use crate::domain::{Address, BidId, DeploymentId, GroupId, Height, OrderId};

/// Which field is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The path of the field from the message that was read: `spec.resources[0].price.amount`.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for FieldError {}

impl FieldError {
    /// An error of the field with this name.
    pub fn new(field: &str, reason: impl fmt::Display) -> Self {
        Self { path: field.to_owned(), reason: reason.to_string() }
    }

    /// The same error seen from the message that holds the field's message under the name `outer`.
    #[must_use]
    pub fn inside(mut self, outer: impl fmt::Display) -> Self {
        self.path = format!("{outer}.{}", self.path);
        self
    }
}

/// Names the field that a value was read from.
pub(super) trait InField<T> {
    fn in_field(self, name: &str) -> Result<T, FieldError>;
}

impl<T, E: fmt::Display> InField<T> for Result<T, E> {
    fn in_field(self, name: &str) -> Result<T, FieldError> {
        self.map_err(|error| FieldError::new(name, error))
    }
}

/// Names the message that a field was read from.
pub(super) trait Inside<T> {
    fn inside(self, outer: impl fmt::Display) -> Result<T, FieldError>;
}

impl<T> Inside<T> for Result<T, FieldError> {
    fn inside(self, outer: impl fmt::Display) -> Result<T, FieldError> {
        self.map_err(|error| error.inside(outer))
    }
}

fn above_zero<N: Into<u64> + Copy>(name: &str, number: N) -> Result<N, FieldError> {
    if number.into() == 0 {
        return Err(FieldError::new(name, "is 0, sequence numbers start at 1"));
    }
    Ok(number)
}

pub(super) fn deployment_id(owner: &str, dseq: u64) -> Result<DeploymentId, FieldError> {
    let owner: Address = owner.parse().in_field("owner")?;
    Ok(DeploymentId::new(owner, above_zero("dseq", dseq)?))
}

pub(super) fn group_id(owner: &str, dseq: u64, gseq: u32) -> Result<GroupId, FieldError> {
    Ok(deployment_id(owner, dseq)?.group(above_zero("gseq", gseq)?))
}

pub(super) fn order_id(
    owner: &str,
    dseq: u64,
    gseq: u32,
    oseq: u32,
) -> Result<OrderId, FieldError> {
    Ok(group_id(owner, dseq, gseq)?.order(above_zero("oseq", oseq)?))
}

pub(super) fn bid_id(order: OrderId, provider: &str, bseq: u32) -> Result<BidId, FieldError> {
    if bseq != 0 {
        return Err(FieldError::new("bseq", format_args!("is {bseq}, the chain allows only 0")));
    }
    Ok(BidId { order, provider: provider.parse().in_field("provider")? })
}

/// A manifest's hash has 32 bytes.
pub(super) fn hash(bytes: &[u8]) -> Result<(), FieldError> {
    if bytes.len() == 32 {
        return Ok(());
    }
    Err(FieldError::new("hash", format_args!("has {} bytes, a SHA-256 has 32", bytes.len())))
}

/// Heights are signed on the wire.
pub(super) fn height(name: &str, number: i64) -> Result<Height, FieldError> {
    u64::try_from(number).map(Height).map_err(|_| FieldError::new(name, "is negative"))
}
