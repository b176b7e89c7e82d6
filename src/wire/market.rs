//! `akash.market.v1` and `akash.market.v1beta5`: orders, bids, leases. Owns the messages only; the states are those of
//! [`crate::domain`], kept as numbers here so that one that lessor does not know survives.
//!
//! A provider closes a lease with [`MsgCloseBid`]; [`MsgCloseLease`] is the tenant's.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::Message;

use super::{base, cosmos, deployment, escrow, google};

/// A bid's path. `bseq` is always 0: the chain refuses anything else.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BidId {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
    #[prost(uint32, tag = "4")]
    pub oseq: u32,
    #[prost(string, tag = "5")]
    pub provider: String,
    #[prost(uint32, tag = "6")]
    pub bseq: u32,
}

/// Which leases to list; an empty field means any.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseFilters {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
    #[prost(uint32, tag = "4")]
    pub oseq: u32,
    #[prost(string, tag = "5")]
    pub provider: String,
    #[prost(string, tag = "6")]
    pub state: String,
    #[prost(uint32, tag = "7")]
    pub bseq: u32,
}

/// A lease's path: the same six fields as [`BidId`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct LeaseId {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
    #[prost(uint32, tag = "4")]
    pub oseq: u32,
    #[prost(string, tag = "5")]
    pub provider: String,
    #[prost(uint32, tag = "6")]
    pub bseq: u32,
}

/// A lease; `state` and `reason` are numbers of [`crate::domain::LeaseState`] and [`crate::domain::CloseReason`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Lease {
    #[prost(message, required, tag = "1")]
    pub id: LeaseId,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(message, required, tag = "3")]
    pub price: cosmos::DecCoin,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(int64, tag = "5")]
    pub closed_on: i64,
    #[prost(int32, tag = "6")]
    pub reason: i32,
    #[prost(message, optional, tag = "7")]
    pub reclamation: Option<Reclamation>,
}

/// An order's path.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OrderId {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
    #[prost(uint32, tag = "4")]
    pub oseq: u32,
}

/// The agreed notice of a lease. `started_at` is a height, `deadline` is unix seconds.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Reclamation {
    #[prost(message, required, tag = "1")]
    pub window: google::Duration,
    #[prost(int64, tag = "2")]
    pub started_at: i64,
    #[prost(int64, tag = "3")]
    pub deadline: i64,
    #[prost(int32, tag = "4")]
    pub reason: i32,
}

/// A bid; `state` is a number of [`crate::domain::BidState`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Bid {
    #[prost(message, required, tag = "1")]
    pub id: BidId,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(message, required, tag = "3")]
    pub price: cosmos::DecCoin,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(message, repeated, tag = "5")]
    pub resources_offer: Vec<ResourceOffer>,
    #[prost(message, optional, tag = "6")]
    pub reclamation_window: Option<google::Duration>,
}

/// The provider bids on an order. Once per order, ever.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateBid {
    #[prost(message, required, tag = "1")]
    pub id: BidId,
    #[prost(message, required, tag = "2")]
    pub price: cosmos::DecCoin,
    #[prost(message, required, tag = "3")]
    pub deposit: base::Deposit,
    #[prost(message, repeated, tag = "4")]
    pub resources_offer: Vec<ResourceOffer>,
    #[prost(message, optional, tag = "5")]
    pub reclamation_window: Option<google::Duration>,
}

/// Answer to [`MsgCreateBid`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateBidResponse {}

/// The provider takes its bid back or, once that is a lease, closes the lease.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseBid {
    #[prost(message, required, tag = "1")]
    pub id: BidId,
    #[prost(int32, tag = "2")]
    pub reason: i32,
}

/// Answer to [`MsgCloseBid`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseBidResponse {}

/// The tenant takes a bid.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateLease {
    #[prost(message, required, tag = "1")]
    pub bid_id: BidId,
}

/// Answer to [`MsgCreateLease`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCreateLeaseResponse {}

/// The provider collects what the lease has earned; settles the deployment's escrow.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgWithdrawLease {
    #[prost(message, required, tag = "1")]
    pub id: LeaseId,
}

/// Answer to [`MsgWithdrawLease`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgWithdrawLeaseResponse {}

/// The tenant closes a lease.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseLease {
    #[prost(message, required, tag = "1")]
    pub id: LeaseId,
    #[prost(int32, tag = "2")]
    pub reason: i32,
}

/// Answer to [`MsgCloseLease`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgCloseLeaseResponse {}

/// The provider gives notice.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgLeaseStartReclaim {
    #[prost(message, required, tag = "1")]
    pub id: LeaseId,
    #[prost(int32, tag = "2")]
    pub reason: i32,
}

/// Answer to [`MsgLeaseStartReclaim`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgLeaseStartReclaimResponse {}

/// An order; `state` is a number of [`crate::domain::OrderState`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Order {
    #[prost(message, required, tag = "1")]
    pub id: OrderId,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(message, required, tag = "3")]
    pub spec: deployment::GroupSpec,
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    #[prost(message, optional, tag = "5")]
    pub reclamation: Option<deployment::DeploymentReclamation>,
}

/// Which bids to list; an empty field means any.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BidFilters {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
    #[prost(uint32, tag = "4")]
    pub oseq: u32,
    #[prost(string, tag = "5")]
    pub provider: String,
    #[prost(string, tag = "6")]
    pub state: String,
    #[prost(uint32, tag = "7")]
    pub bseq: u32,
}

/// Which orders to list; an empty field means any.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OrderFilters {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(uint64, tag = "2")]
    pub dseq: u64,
    #[prost(uint32, tag = "3")]
    pub gseq: u32,
    #[prost(uint32, tag = "4")]
    pub oseq: u32,
    #[prost(string, tag = "5")]
    pub state: String,
}

/// The market's parameters. `bid_min_deposits` counts, `bid_min_deposit` is its older form.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Params {
    #[prost(message, required, tag = "1")]
    pub bid_min_deposit: cosmos::Coin,
    #[prost(uint32, tag = "2")]
    pub order_max_bids: u32,
    #[prost(message, repeated, tag = "3")]
    pub bid_min_deposits: Vec<cosmos::Coin>,
    #[prost(message, required, tag = "4")]
    pub min_reclamation_window: google::Duration,
    #[prost(message, required, tag = "5")]
    pub max_reclamation_window: google::Duration,
}

/// Lists orders.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryOrdersRequest {
    #[prost(message, required, tag = "1")]
    pub filters: OrderFilters,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of orders.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryOrdersResponse {
    #[prost(message, repeated, tag = "1")]
    pub orders: Vec<Order>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Reads one order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryOrderRequest {
    #[prost(message, required, tag = "1")]
    pub id: OrderId,
}

/// The order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryOrderResponse {
    #[prost(message, required, tag = "1")]
    pub order: Order,
}

/// Lists bids.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryBidsRequest {
    #[prost(message, required, tag = "1")]
    pub filters: BidFilters,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of bids.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryBidsResponse {
    #[prost(message, repeated, tag = "1")]
    pub bids: Vec<QueryBidResponse>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Reads one bid.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryBidRequest {
    #[prost(message, required, tag = "1")]
    pub id: BidId,
}

/// The bid with its deposit.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryBidResponse {
    #[prost(message, required, tag = "1")]
    pub bid: Bid,
    #[prost(message, required, tag = "2")]
    pub escrow_account: escrow::Account,
}

/// Lists leases; no state means all four.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryLeasesRequest {
    #[prost(message, required, tag = "1")]
    pub filters: LeaseFilters,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of leases.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryLeasesResponse {
    #[prost(message, repeated, tag = "1")]
    pub leases: Vec<QueryLeaseResponse>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Reads one lease.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryLeaseRequest {
    #[prost(message, required, tag = "1")]
    pub id: LeaseId,
}

/// The lease with its payment.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryLeaseResponse {
    #[prost(message, required, tag = "1")]
    pub lease: Lease,
    #[prost(message, required, tag = "2")]
    pub escrow_payment: escrow::Payment,
}

/// Reads the market's parameters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryParamsRequest {}

/// The market's parameters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryParamsResponse {
    #[prost(message, required, tag = "1")]
    pub params: Params,
}

/// The price of one volume in an offer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StorageOfferPrice {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub price: Option<cosmos::DecCoin>,
}

/// The price of one endpoint in an offer; `kind` is a number of [`crate::domain::EndpointKind`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EndpointOfferPrice {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(message, optional, tag = "2")]
    pub price: Option<cosmos::DecCoin>,
}

/// An offer's price by resource; the chain does not read it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OfferPrices {
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<cosmos::DecCoin>,
    #[prost(message, optional, tag = "3")]
    pub memory: Option<cosmos::DecCoin>,
    #[prost(message, repeated, tag = "4")]
    pub storage: Vec<StorageOfferPrice>,
    #[prost(message, optional, tag = "5")]
    pub gpu: Option<cosmos::DecCoin>,
    #[prost(message, repeated, tag = "6")]
    pub endpoints: Vec<EndpointOfferPrice>,
}

/// What a bid offers for one unit of the order. Ids and counts must be those of the order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ResourceOffer {
    #[prost(message, required, tag = "1")]
    pub resources: base::Resources,
    #[prost(uint32, tag = "2")]
    pub count: u32,
    #[prost(message, optional, tag = "3")]
    pub prices: Option<OfferPrices>,
}

named! { "akash.market.v1":
    BidId as "BidID",
    LeaseFilters,
    LeaseId as "LeaseID",
    Lease,
    OrderId as "OrderID",
    Reclamation,
}
named! { "akash.market.v1beta5":
    Bid,
    MsgCreateBid,
    MsgCreateBidResponse,
    MsgCloseBid,
    MsgCloseBidResponse,
    MsgCreateLease,
    MsgCreateLeaseResponse,
    MsgWithdrawLease,
    MsgWithdrawLeaseResponse,
    MsgCloseLease,
    MsgCloseLeaseResponse,
    MsgLeaseStartReclaim,
    MsgLeaseStartReclaimResponse,
    Order,
    BidFilters,
    OrderFilters,
    Params,
    QueryOrdersRequest,
    QueryOrdersResponse,
    QueryOrderRequest,
    QueryOrderResponse,
    QueryBidsRequest,
    QueryBidsResponse,
    QueryBidRequest,
    QueryBidResponse,
    QueryLeasesRequest,
    QueryLeasesResponse,
    QueryLeaseRequest,
    QueryLeaseResponse,
    QueryParamsRequest,
    QueryParamsResponse,
    StorageOfferPrice,
    EndpointOfferPrice,
    OfferPrices,
    ResourceOffer,
}

queries! {
    QueryOrdersRequest => QueryOrdersResponse: "/akash.market.v1beta5.Query/Orders",
    QueryOrderRequest => QueryOrderResponse: "/akash.market.v1beta5.Query/Order",
    QueryBidsRequest => QueryBidsResponse: "/akash.market.v1beta5.Query/Bids",
    QueryBidRequest => QueryBidResponse: "/akash.market.v1beta5.Query/Bid",
    QueryLeasesRequest => QueryLeasesResponse: "/akash.market.v1beta5.Query/Leases",
    QueryLeaseRequest => QueryLeaseResponse: "/akash.market.v1beta5.Query/Lease",
    QueryParamsRequest => QueryParamsResponse: "/akash.market.v1beta5.Query/Params",
}
