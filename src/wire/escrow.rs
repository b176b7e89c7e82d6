//! `akash.escrow`: accounts that deployments and bids lock money in, and payments out of them. Owns the messages only.
//!
//! The one number of the chain that may be negative is here: `Balance.amount` of an overdrawn account.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::{Enumeration, Message};

use super::{base, cosmos};

/// What an escrow account belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Scope {
    Invalid = 0,
    Deployment = 1,
    Bid = 2,
}

/// Where an account or a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum State {
    Invalid = 0,
    Open = 1,
    Closed = 2,
    Overdrawn = 3,
}

/// An escrow account's path: `owner/dseq`, or a bid's path.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccountId {
    #[prost(enumeration = "Scope", tag = "1")]
    pub scope: i32,
    #[prost(string, tag = "2")]
    pub xid: String,
}

/// A payment's path: its account, then `gseq/oseq/provider`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PaymentId {
    #[prost(message, required, tag = "1")]
    pub aid: AccountId,
    #[prost(string, tag = "2")]
    pub xid: String,
}

/// What an escrow account holds. An amount of `funds` is negative when the account is overdrawn.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AccountState {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(enumeration = "State", tag = "2")]
    pub state: i32,
    #[prost(message, repeated, tag = "3")]
    pub transferred: Vec<cosmos::DecCoin>,
    #[prost(int64, tag = "4")]
    pub settled_at: i64,
    #[prost(message, repeated, tag = "5")]
    pub funds: Vec<Balance>,
    #[prost(message, repeated, tag = "6")]
    pub deposits: Vec<Depositor>,
}

/// An escrow account.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Account {
    #[prost(message, required, tag = "1")]
    pub id: AccountId,
    #[prost(message, required, tag = "2")]
    pub state: AccountState,
}

/// An amount that may be negative, in atoms of 10⁻¹⁸.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Balance {
    #[prost(string, tag = "1")]
    pub denom: String,
    #[prost(string, required, tag = "2")]
    pub amount: String,
}

/// One deposit into an account.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Depositor {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(int64, tag = "2")]
    pub height: i64,
    #[prost(enumeration = "base::Source", tag = "3")]
    pub source: i32,
    #[prost(message, required, tag = "4")]
    pub balance: cosmos::DecCoin,
}

/// What flows from an account to a provider, and what has flowed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PaymentState {
    #[prost(string, tag = "1")]
    pub owner: String,
    #[prost(enumeration = "State", tag = "2")]
    pub state: i32,
    #[prost(message, required, tag = "3")]
    pub rate: cosmos::DecCoin,
    #[prost(message, required, tag = "4")]
    pub balance: cosmos::DecCoin,
    #[prost(message, required, tag = "5")]
    pub unsettled: cosmos::DecCoin,
    #[prost(message, required, tag = "6")]
    pub withdrawn: cosmos::Coin,
}

/// A payment out of an escrow account.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Payment {
    #[prost(message, required, tag = "1")]
    pub id: PaymentId,
    #[prost(message, required, tag = "2")]
    pub state: PaymentState,
}

/// Anyone tops an escrow account up.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgAccountDeposit {
    #[prost(string, tag = "1")]
    pub signer: String,
    #[prost(message, required, tag = "2")]
    pub id: AccountId,
    #[prost(message, required, tag = "3")]
    pub deposit: base::Deposit,
}

/// Answer to [`MsgAccountDeposit`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgAccountDepositResponse {}

/// What a deposit authorisation may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum AuthorizationScope {
    Invalid = 0,
    Deployment = 1,
    Bid = 2,
}

/// How much an account may deposit from another one's balance. `spend_limit` is the older form of `spend_limits`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DepositAuthorization {
    #[prost(message, required, tag = "1")]
    pub spend_limit: cosmos::Coin,
    #[prost(enumeration = "AuthorizationScope", repeated, tag = "2")]
    pub scopes: Vec<i32>,
    #[prost(message, repeated, tag = "3")]
    pub spend_limits: Vec<cosmos::Coin>,
}

/// Lists escrow accounts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAccountsRequest {
    #[prost(string, tag = "1")]
    pub state: String,
    #[prost(string, tag = "2")]
    pub xid: String,
    #[prost(message, optional, tag = "5")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of escrow accounts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAccountsResponse {
    #[prost(message, repeated, tag = "1")]
    pub accounts: Vec<Account>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

/// Lists escrow payments.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryPaymentsRequest {
    #[prost(string, tag = "1")]
    pub state: String,
    #[prost(string, tag = "2")]
    pub xid: String,
    #[prost(message, optional, tag = "6")]
    pub pagination: Option<cosmos::PageRequest>,
}

/// One page of escrow payments.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryPaymentsResponse {
    #[prost(message, repeated, tag = "1")]
    pub payments: Vec<Payment>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<cosmos::PageResponse>,
}

named! { "akash.escrow.id.v1":
    AccountId as "Account",
    PaymentId as "Payment",
}
named! { "akash.escrow.types.v1":
    AccountState,
    Account,
    Balance,
    Depositor,
    PaymentState,
    Payment,
}
named! { "akash.escrow.v1":
    DepositAuthorization,
    MsgAccountDeposit,
    MsgAccountDepositResponse,
    QueryAccountsRequest,
    QueryAccountsResponse,
    QueryPaymentsRequest,
    QueryPaymentsResponse,
}

queries! {
    QueryAccountsRequest => QueryAccountsResponse: "/akash.escrow.v1.Query/Accounts",
    QueryPaymentsRequest => QueryPaymentsResponse: "/akash.escrow.v1.Query/Payments",
}
