//! `akash.audit.v1`: what auditors signed of providers' attributes. Owns the messages only.
//!
//! Two of its four queries answer with broken records (the chain decodes the stored bytes as another type); those by
//! provider are right.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::Message;

use super::{base, cosmos};

/// What one auditor signed of one provider's attributes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuditedProvider {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub auditor: String,
    #[prost(message, repeated, tag = "4")]
    pub attributes: Vec<base::Attribute>,
}

/// An auditor signs attributes of a provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgSignProviderAttributes {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub auditor: String,
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<base::Attribute>,
}

/// Answer to [`MsgSignProviderAttributes`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgSignProviderAttributesResponse {}

/// An auditor takes its signature back; no keys means all.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgDeleteProviderAttributes {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub auditor: String,
    #[prost(string, repeated, tag = "3")]
    pub keys: Vec<String>,
}

/// Answer to [`MsgDeleteProviderAttributes`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgDeleteProviderAttributesResponse {}

/// Records of auditors.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProvidersResponse {
    #[prost(message, repeated, tag = "1")]
    pub providers: Vec<AuditedProvider>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Known to the chain's protobuf and used by no query.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProviderRequest {
    #[prost(string, tag = "1")]
    pub auditor: String,
    #[prost(string, tag = "2")]
    pub owner: String,
}

/// Lists every record. The chain answers with broken records.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAllProvidersAttributesRequest {
    #[prost(message, optional, tag = "1")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// Lists every auditor's record of one provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProviderAttributesRequest {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// Reads one auditor's record of one provider.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryProviderAuditorRequest {
    #[prost(string, tag = "1")]
    pub auditor: String,
    #[prost(string, tag = "2")]
    pub owner: String,
}

/// Lists one auditor's records. The chain answers with broken records.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAuditorAttributesRequest {
    #[prost(string, tag = "1")]
    pub auditor: String,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

named! { "akash.audit.v1":
    AuditedProvider,
    MsgSignProviderAttributes,
    MsgSignProviderAttributesResponse,
    MsgDeleteProviderAttributes,
    MsgDeleteProviderAttributesResponse,
    QueryProvidersResponse,
    QueryProviderRequest,
    QueryAllProvidersAttributesRequest,
    QueryProviderAttributesRequest,
    QueryProviderAuditorRequest,
    QueryAuditorAttributesRequest,
}

queries! {
    QueryAllProvidersAttributesRequest => QueryProvidersResponse: "/akash.audit.v1.Query/AllProvidersAttributes",
    QueryProviderAttributesRequest => QueryProvidersResponse: "/akash.audit.v1.Query/ProviderAttributes",
    QueryProviderAuditorRequest => QueryProvidersResponse: "/akash.audit.v1.Query/ProviderAuditorAttributes",
    QueryAuditorAttributesRequest => QueryProvidersResponse: "/akash.audit.v1.Query/AuditorAttributes",
}
