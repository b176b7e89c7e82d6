//! The chain's protobuf messages, event JSON and sign bytes; pure. Owns how the chain's things are written; what they
//! mean is [`crate::domain`]'s, and asking a node for them is [`crate::chain`]'s.
//!
//! One file per family of protobuf packages. Each message has its full name ([`prost::Name`]), each query its path and
//! its answer ([`Query`]), and an [`google::Any`] packs and unpacks in one call.
//!
//! The one surprising fact: the chain's encoder writes an embedded message even when it is empty, so such fields are
//! `required` here (a plain value, always written), and only truly optional ones are `Option`.

/// Gives messages their full protobuf names: `named! { "package": Type, Type as "ProtobufName" }`.
macro_rules! named {
    (@name $type:ident) => { stringify!($type) };
    (@name $type:ident $name:literal) => { $name };
    ($package:literal: $($type:ident $(as $name:literal)?),* $(,)?) => {$(
        impl prost::Name for $type {
            const NAME: &'static str = named!(@name $type $($name)?);
            const PACKAGE: &'static str = $package;
        }
    )*};
}

/// Declares which message answers which query, and the query's path.
macro_rules! queries {
    ($($request:ident => $response:ident: $path:literal,)*) => {$(
        impl crate::wire::Query for $request {
            type Response = $response;
            const PATH: &'static str = $path;
        }
    )*};
}

pub mod audit;
pub mod authz;
pub mod base;
pub mod cert;
mod convert;
pub mod cosmos;
pub mod deployment;
pub mod escrow;
pub mod event;
pub mod failure;
pub mod field;
pub mod google;
pub mod key;
pub mod market;
mod message;
pub mod provider;
pub mod rpc;
pub mod text;
pub mod tx;
pub mod x509;

/// A request that a node answers by `abci_query`.
pub trait Query: prost::Message + prost::Name {
    /// What it answers with.
    type Response: prost::Message + Default;
    /// The `path` of `abci_query`: `/<package>.Query/<Method>`.
    const PATH: &'static str;
}

/// Types whose pages come one after the other until there is no next key.
pub trait Paged: Query + Clone {
    /// Asks for the page that starts at `key` (empty for the first), with at most `limit` items. The filters stay:
    /// the chain's key does not remember them.
    fn set_page(&mut self, key: Vec<u8>, limit: u64);
    /// The key of the next page, or empty when `response` is the last.
    fn next_key(response: &Self::Response) -> &[u8];
}

/// Requests and responses that both have a `pagination`.
macro_rules! paged {
    ($($request:ty),* $(,)?) => {$(
        impl Paged for $request {
            fn set_page(&mut self, key: Vec<u8>, limit: u64) {
                self.pagination = Some(cosmos::PageRequest { key, limit, ..Default::default() });
            }

            fn next_key(response: &Self::Response) -> &[u8] {
                response.pagination.as_ref().map_or(&[], |page| page.next_key.as_slice())
            }
        }
    )*};
}

paged! {
    market::QueryOrdersRequest, market::QueryBidsRequest, market::QueryLeasesRequest,
    deployment::QueryDeploymentsRequest, provider::QueryProvidersRequest,
    audit::QueryProviderAttributesRequest, cert::QueryCertificatesRequest,
    escrow::QueryAccountsRequest, escrow::QueryPaymentsRequest, cosmos::QueryAllBalancesRequest,
}
