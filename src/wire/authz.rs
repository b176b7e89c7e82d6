//! `cosmos.authz.v1beta1`: one account lets another one act for it, as far as the escrow takes deposits from grants. Owns the
//! messages only.
//!
//! A grant's authorisation is of any type; lessor knows the one that pays deposits.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::Message;

use super::{
    escrow::DepositAuthorization,
    google::{Any, AnyError, Timestamp},
};

/// What is granted, and until when.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Grant {
    #[prost(message, optional, tag = "1")]
    pub authorization: Option<Any>,
    #[prost(message, optional, tag = "2")]
    pub expiration: Option<Timestamp>,
}

/// Lets `grantee` act for `granter`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgGrant {
    #[prost(string, tag = "1")]
    pub granter: String,
    #[prost(string, tag = "2")]
    pub grantee: String,
    #[prost(message, required, tag = "3")]
    pub grant: Grant,
}

/// Answer to [`MsgGrant`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MsgGrantResponse {}

/// Takes a grant back.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgRevoke {
    #[prost(string, tag = "1")]
    pub granter: String,
    #[prost(string, tag = "2")]
    pub grantee: String,
    #[prost(string, tag = "3")]
    pub msg_type_url: String,
}

/// Answer to [`MsgRevoke`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MsgRevokeResponse {}

named! { "cosmos.authz.v1beta1": Grant, MsgGrant, MsgGrantResponse, MsgRevoke, MsgRevokeResponse }

/// What a grant allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Deposits into escrow.
    Deposit(DepositAuthorization),
}

impl Authorization {
    /// Reads a packed authorisation.
    ///
    /// # Errors
    /// [`AnyError`] for one of another type, or bytes that do not decode.
    pub fn read(packed: Option<&Any>) -> Result<Self, AnyError> {
        packed.cloned().unwrap_or_default().unpack().map(Self::Deposit)
    }
}
