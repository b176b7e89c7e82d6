//! `akash.cert.v1`: certificates of tenants and providers for mutual TLS. Owns the messages only.
//!
//! The public key's PEM label is `EC PUBLIC KEY` around what is usually labelled `PUBLIC KEY`.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::{Enumeration, Message};

use super::cosmos;

/// Whether a certificate may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum State {
    Invalid = 0,
    Valid = 1,
    Revoked = 2,
}

/// A certificate's path; the serial is a decimal text, it may exceed 64 bits.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Id {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub serial: String,
}

/// A certificate and its public key, both as PEM.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Certificate {
    #[prost(enumeration = "State", tag = "2")]
    pub state: i32,
    #[prost(bytes = "vec", tag = "3")]
    pub cert: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub pubkey: Vec<u8>,
}

/// Which certificates to list; an empty field means any.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CertificateFilter {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(string, tag = "2")]
    pub serial: String,
    #[prost(string, tag = "3")]
    pub state: String,
}

/// An account registers a certificate for mutual TLS.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateCertificate {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(bytes = "vec", tag = "2")]
    pub cert: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    pub pubkey: Vec<u8>,
}

/// Answer to [`MsgCreateCertificate`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateCertificateResponse {}

/// An account revokes one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgRevokeCertificate {
    #[prost(message, required, tag = "1")]
    pub id: Id,
}

/// Answer to [`MsgRevokeCertificate`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgRevokeCertificateResponse {}

/// One certificate with its serial.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CertificateResponse {
    #[prost(message, required, tag = "1")]
    pub certificate: Certificate,
    #[prost(string, tag = "2")]
    pub serial: String,
}

/// Lists certificates.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryCertificatesRequest {
    #[prost(message, required, tag = "1")]
    pub filter: CertificateFilter,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of certificates.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryCertificatesResponse {
    #[prost(message, repeated, tag = "1")]
    pub certificates: Vec<CertificateResponse>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

named! { "akash.cert.v1":
    Id as "ID",
    Certificate,
    CertificateFilter,
    MsgCreateCertificate,
    MsgCreateCertificateResponse,
    MsgRevokeCertificate,
    MsgRevokeCertificateResponse,
    CertificateResponse,
    QueryCertificatesRequest,
    QueryCertificatesResponse,
}

queries! {
    QueryCertificatesRequest => QueryCertificatesResponse: "/akash.cert.v1.Query/Certificates",
}
