//! `akash.provider.v1beta4`: who provides. Owns the messages only.
//!
//! The chain holds no key or certificate of a provider here: `host_uri` is all a tenant gets.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::Message;

use super::{base, cosmos};

/// Registers a provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateProvider {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub host_uri: String,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<base::Attribute>,
    #[prost(message, required, tag = "4")]
    pub info: Info,
}

/// Answer to [`MsgCreateProvider`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateProviderResponse {}

/// Replaces a provider's record.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgUpdateProvider {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub host_uri: String,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<base::Attribute>,
    #[prost(message, required, tag = "4")]
    pub info: Info,
}

/// Answer to [`MsgUpdateProvider`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgUpdateProviderResponse {}

/// Known to the chain, which answers "not implemented".
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgDeleteProvider {
    #[prost(string, tag = "1")]
    pub owner: String,
}

/// Answer to [`MsgDeleteProvider`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgDeleteProviderResponse {}

/// How to reach the provider's operator.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Info {
    #[prost(string, tag = "1")]
    pub email: String,
    #[prost(string, tag = "2")]
    pub website: String,
}

/// A provider's record.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Provider {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub host_uri: String,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<base::Attribute>,
    #[prost(message, required, tag = "4")]
    pub info: Info,
}

/// Lists providers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProvidersRequest {
    #[prost(message, optional, tag = "1")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of providers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProvidersResponse {
    #[prost(message, repeated, tag = "1")]
    pub providers: Vec<Provider>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Reads one provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProviderRequest {
    #[prost(string, tag = "1")]
    pub owner: String,
}

/// The provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProviderResponse {
    #[prost(message, required, tag = "1")]
    pub provider: Provider,
}

named! { "akash.provider.v1beta4":
    MsgCreateProvider,
    MsgCreateProviderResponse,
    MsgUpdateProvider,
    MsgUpdateProviderResponse,
    MsgDeleteProvider,
    MsgDeleteProviderResponse,
    Info,
    Provider,
    QueryProvidersRequest,
    QueryProvidersResponse,
    QueryProviderRequest,
    QueryProviderResponse,
}

queries! {
    QueryProvidersRequest => QueryProvidersResponse: "/akash.provider.v1beta4.Query/Providers",
    QueryProviderRequest => QueryProviderResponse: "/akash.provider.v1beta4.Query/Provider",
}
