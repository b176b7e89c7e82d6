//! The Cosmos SDK's own messages: transactions, keys, accounts, balances, pages. Owns the messages only; what is signed
//! is [`super::tx`]'s.
//!
//! `DecCoin.amount` is an integer of 10⁻¹⁸ (2.5 is `2500000000000000000`), while `Coin.amount` is whole units.
#![expect(missing_docs, reason = "the fields carry the names of the chain's protobuf definitions")]

use prost::{Enumeration, Message, Oneof};

use super::google::{Any, AnyError, Timestamp};

/// Whole money.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Coin {
    #[prost(string, tag = "1")]
    pub denom: String,
    #[prost(string, required, tag = "2")]
    pub amount: String,
}

/// Fractional money, in atoms of 10⁻¹⁸.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DecCoin {
    #[prost(string, tag = "1")]
    pub denom: String,
    #[prost(string, required, tag = "2")]
    pub amount: String,
}

/// Which page of a list. The key is the chain's own; it does not remember the filters.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PageRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    #[prost(uint64, tag = "3")]
    pub limit: u64,
    #[prost(bool, tag = "4")]
    pub count_total: bool,
    #[prost(bool, tag = "5")]
    pub reverse: bool,
}

/// What comes after this page; `total` is the number of items on it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PageResponse {
    #[prost(bytes = "vec", tag = "1")]
    pub next_key: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub total: u64,
}

named! { "cosmos.base.v1beta1": Coin, DecCoin }
named! { "cosmos.base.query.v1beta1": PageRequest, PageResponse }

/// A transaction as it is broadcast and hashed: its parts as bytes, since those are signed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxRaw {
    #[prost(bytes = "vec", tag = "1")]
    pub body_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub auth_info_bytes: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub signatures: Vec<Vec<u8>>,
}

/// What a transaction does, and until when it may.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxBody {
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<Any>,
    #[prost(string, tag = "2")]
    pub memo: String,
    #[prost(uint64, tag = "3")]
    pub timeout_height: u64,
    #[prost(bool, tag = "4")]
    pub unordered: bool,
    #[prost(message, optional, tag = "5")]
    pub timeout_timestamp: Option<Timestamp>,
}

/// Who signs a transaction and what it costs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthInfo {
    #[prost(message, repeated, tag = "1")]
    pub signer_infos: Vec<SignerInfo>,
    #[prost(message, optional, tag = "2")]
    pub fee: Option<Fee>,
}

/// One signer: its key, how it signs, and its sequence (0 in an unordered transaction).
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignerInfo {
    #[prost(message, optional, tag = "1")]
    pub public_key: Option<Any>,
    #[prost(message, optional, tag = "2")]
    pub mode_info: Option<ModeInfo>,
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
}

/// How one signer signs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModeInfo {
    #[prost(oneof = "ModeInfoSum", tags = "1, 2")]
    pub sum: Option<ModeInfoSum>,
}

/// One key or several.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum ModeInfoSum {
    #[prost(message, tag = "1")]
    Single(ModeInfoSingle),
    /// Kept as bytes: lessor signs with one key and accepts one key.
    #[prost(bytes = "vec", tag = "2")]
    Multi(Vec<u8>),
}

/// The mode of a single key.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ModeInfoSingle {
    #[prost(enumeration = "SignMode", tag = "1")]
    pub mode: i32,
}

/// What exactly is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum SignMode {
    Unspecified = 0,
    /// The bytes of [`SignDoc`].
    Direct = 1,
    Textual = 2,
    DirectAux = 3,
    LegacyAminoJson = 127,
}

/// What a transaction pays.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Fee {
    #[prost(message, repeated, tag = "1")]
    pub amount: Vec<Coin>,
    #[prost(uint64, tag = "2")]
    pub gas_limit: u64,
    #[prost(string, tag = "3")]
    pub payer: String,
    #[prost(string, tag = "4")]
    pub granter: String,
}

/// What is signed in the direct mode.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignDoc {
    #[prost(bytes = "vec", tag = "1")]
    pub body_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub auth_info_bytes: Vec<u8>,
    #[prost(string, tag = "3")]
    pub chain_id: String,
    #[prost(uint64, tag = "4")]
    pub account_number: u64,
}

/// Asks what a transaction would do and use. The signature may be empty.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SimulateRequest {
    #[prost(bytes = "vec", tag = "2")]
    pub tx_bytes: Vec<u8>,
}

/// What it would do and use.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SimulateResponse {
    #[prost(message, optional, tag = "1")]
    pub gas_info: Option<GasInfo>,
    #[prost(message, optional, tag = "2")]
    pub result: Option<SimulateResult>,
}

named! { "cosmos.tx.v1beta1":
    TxRaw, TxBody, AuthInfo, SignerInfo, ModeInfo, Fee, SignDoc, SimulateRequest, SimulateResponse,
}

/// Gas of a simulated transaction.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GasInfo {
    #[prost(uint64, tag = "1")]
    pub gas_wanted: u64,
    #[prost(uint64, tag = "2")]
    pub gas_used: u64,
}

/// What a simulated transaction answers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SimulateResult {
    #[prost(bytes = "vec", tag = "1")]
    pub data: Vec<u8>,
    #[prost(string, tag = "2")]
    pub log: String,
    #[prost(message, repeated, tag = "3")]
    pub events: Vec<AbciEvent>,
    #[prost(message, repeated, tag = "4")]
    pub msg_responses: Vec<Any>,
}

/// The `data` of a transaction's result: the answer to each message.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxMsgData {
    #[prost(message, repeated, tag = "2")]
    pub msg_responses: Vec<Any>,
}

named! { "cosmos.base.abci.v1beta1": GasInfo, SimulateResult as "Result", TxMsgData }

/// An event in protobuf form.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AbciEvent {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(message, repeated, tag = "2")]
    pub attributes: Vec<AbciAttribute>,
}

/// An attribute of an event in protobuf form.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AbciAttribute {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(string, tag = "2")]
    pub value: String,
    #[prost(bool, tag = "3")]
    pub index: bool,
}

named! { "tendermint.abci": AbciEvent as "Event", AbciAttribute as "EventAttribute" }

/// A secp256k1 public key, 33 bytes compressed.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PubKey {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

named! { "cosmos.crypto.secp256k1": PubKey }

/// Reads an account.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAccountRequest {
    #[prost(string, tag = "1")]
    pub address: String,
}

/// The account: a [`BaseAccount`], or a type that nests one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAccountResponse {
    #[prost(message, optional, tag = "1")]
    pub account: Option<Any>,
}

/// An account. It has no public key before its first transaction.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BaseAccount {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(message, optional, tag = "2")]
    pub pub_key: Option<Any>,
    #[prost(uint64, tag = "3")]
    pub account_number: u64,
    #[prost(uint64, tag = "4")]
    pub sequence: u64,
}

/// The account of a module, such as the escrow's.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModuleAccount {
    #[prost(message, optional, tag = "1")]
    pub base_account: Option<BaseAccount>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "3")]
    pub permissions: Vec<String>,
}

named! { "cosmos.auth.v1beta1":
    QueryAccountRequest, QueryAccountResponse, BaseAccount, ModuleAccount,
}

/// Moves money.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MsgSend {
    #[prost(string, tag = "1")]
    pub from_address: String,
    #[prost(string, tag = "2")]
    pub to_address: String,
    #[prost(message, repeated, tag = "3")]
    pub amount: Vec<Coin>,
}

/// Answer to [`MsgSend`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct MsgSendResponse {}

/// Reads an account's balance in one denom.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryBalanceRequest {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(string, tag = "2")]
    pub denom: String,
}

/// The balance.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryBalanceResponse {
    #[prost(message, optional, tag = "1")]
    pub balance: Option<Coin>,
}

/// Reads all balances of an account.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAllBalancesRequest {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<PageRequest>,
    #[prost(bool, tag = "3")]
    pub resolve_denom: bool,
}

/// One page of balances.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct QueryAllBalancesResponse {
    #[prost(message, repeated, tag = "1")]
    pub balances: Vec<Coin>,
    #[prost(message, optional, tag = "2")]
    pub pagination: Option<PageResponse>,
}

named! { "cosmos.bank.v1beta1":
    MsgSend, MsgSendResponse, QueryBalanceRequest, QueryBalanceResponse, QueryAllBalancesRequest,
    QueryAllBalancesResponse,
}

queries! {
    SimulateRequest => SimulateResponse: "/cosmos.tx.v1beta1.Service/Simulate",
    QueryAccountRequest => QueryAccountResponse: "/cosmos.auth.v1beta1.Query/Account",
    QueryBalanceRequest => QueryBalanceResponse: "/cosmos.bank.v1beta1.Query/Balance",
    QueryAllBalancesRequest => QueryAllBalancesResponse: "/cosmos.bank.v1beta1.Query/AllBalances",
}

/// A vesting account of any kind but the base one: it nests that one, which nests the plain account.
#[derive(Clone, PartialEq, Eq, Message)]
struct VestingAccount {
    #[prost(message, optional, tag = "1")]
    base_vesting_account: Option<BaseVestingAccount>,
}

/// The common part of vesting accounts.
#[derive(Clone, PartialEq, Eq, Message)]
struct BaseVestingAccount {
    #[prost(message, optional, tag = "1")]
    base_account: Option<BaseAccount>,
}

impl QueryAccountResponse {
    /// The plain account, also when it is a module's or a vesting one.
    ///
    /// # Errors
    /// [`AnyError`] for a type of account that lessor does not know, or bytes that do not decode.
    pub fn base_account(&self) -> Result<BaseAccount, AnyError> {
        let any = self.account.clone().unwrap_or_default();
        let malformed = |reason: String| AnyError::Malformed {
            type_url: any.type_url.chars().take(128).collect(),
            reason,
        };
        let value = any.value.as_slice();
        let nested = match any.type_url.as_str() {
            "/cosmos.auth.v1beta1.ModuleAccount" => {
                ModuleAccount::decode(value).map(|account| account.base_account)
            }
            "/cosmos.vesting.v1beta1.BaseVestingAccount" => {
                BaseVestingAccount::decode(value).map(|account| account.base_account)
            }
            "/cosmos.vesting.v1beta1.ContinuousVestingAccount"
            | "/cosmos.vesting.v1beta1.DelayedVestingAccount"
            | "/cosmos.vesting.v1beta1.PeriodicVestingAccount"
            | "/cosmos.vesting.v1beta1.PermanentLockedAccount" => VestingAccount::decode(value)
                .map(|account| account.base_vesting_account.and_then(|base| base.base_account)),
            _ => return any.unpack(),
        };
        nested
            .map_err(|error| malformed(error.to_string()))?
            .ok_or_else(|| malformed("holds no base account".to_owned()))
    }
}
