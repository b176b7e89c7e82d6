//! `akash.base`: attributes, resources and deposits. Owns the messages only; what they mean is
//! [`crate::domain`]'s.
//!
//! A number of resources travels as bytes that hold its decimal text ([`ResourceValue`]).
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::{Enumeration, Message};

use super::cosmos;

/// Where a deposit is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Source {
    Invalid = 0,
    /// The signer's own balance.
    Balance = 1,
    /// A grant that another account gave the signer.
    Grant = 2,
}

/// A key and its value.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// The auditors whose signature is asked for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignedBy {
    #[prost(string, repeated, tag = "1")]
    pub all_of: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub any_of: Vec<String>,
}

/// What a group asks of its provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PlacementRequirements {
    #[prost(message, required, tag = "1")]
    pub signed_by: SignedBy,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attribute>,
}

/// Processors of one replica, in thousandths of a core.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Cpu {
    #[prost(message, required, tag = "1")]
    pub units: ResourceValue,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attribute>,
}

/// How one replica is reached from outside; `kind` is the number of [`crate::domain::EndpointKind`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Endpoint {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(uint32, tag = "2")]
    pub sequence_number: u32,
}

/// GPUs of one replica, in pieces.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Gpu {
    #[prost(message, required, tag = "1")]
    pub units: ResourceValue,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attribute>,
}

/// Memory of one replica, in bytes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Memory {
    #[prost(message, required, tag = "1")]
    pub quantity: ResourceValue,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<Attribute>,
}

/// What one replica takes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Resources {
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<Cpu>,
    #[prost(message, optional, tag = "3")]
    pub memory: Option<Memory>,
    #[prost(message, repeated, tag = "4")]
    pub storage: Vec<Storage>,
    #[prost(message, optional, tag = "5")]
    pub gpu: Option<Gpu>,
    #[prost(message, repeated, tag = "6")]
    pub endpoints: Vec<Endpoint>,
}

/// A whole number: its bytes are the ASCII decimal text, so 100 is `313030`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResourceValue {
    #[prost(bytes = "vec", required, tag = "1")]
    pub val: Vec<u8>,
}

/// One volume of one replica, in bytes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Storage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, required, tag = "2")]
    pub quantity: ResourceValue,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<Attribute>,
}

/// Money to lock in escrow; the sources are tried in order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Deposit {
    #[prost(message, required, tag = "1")]
    pub amount: cosmos::Coin,
    #[prost(enumeration = "Source", repeated, tag = "5")]
    pub sources: Vec<i32>,
}

named! { "akash.base.attributes.v1":
    Attribute,
    SignedBy,
    PlacementRequirements,
}
named! { "akash.base.resources.v1beta4":
    Cpu as "CPU",
    Endpoint,
    Gpu as "GPU",
    Memory,
    Resources,
    ResourceValue,
    Storage,
}
named! { "akash.base.deposit.v1":
    Deposit,
}
