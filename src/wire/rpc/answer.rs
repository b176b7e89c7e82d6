//! What a node answers to each call. Fields that lessor does not read are kept as plain JSON, so that an answer of the
//! development ledger has the shape of a real node's.
//!
//! `txs_results` is `null`, not an empty list, for a block without transactions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::text::{base64_bytes, base64_list, nullable_base64, quoted};

/// Answer to `status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Who the node is.
    pub node_info: NodeInfo,
    /// How far it is.
    pub sync_info: SyncInfo,
    /// Its own validator.
    #[serde(default)]
    pub validator_info: Value,
}

/// The part of [`Status`] that names the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Protocol numbers.
    #[serde(default)]
    pub protocol_version: Value,
    /// The node's id.
    #[serde(default)]
    pub id: String,
    /// Where it listens for peers.
    #[serde(default)]
    pub listen_addr: String,
    /// The chain id.
    pub network: String,
    /// CometBFT's version.
    #[serde(default)]
    pub version: String,
    /// Peer channels.
    #[serde(default)]
    pub channels: String,
    /// The node's name.
    #[serde(default)]
    pub moniker: String,
    /// Whether it indexes transactions, and where its RPC listens.
    #[serde(default)]
    pub other: Value,
}

/// The part of [`Status`] that says how far the node is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SyncInfo {
    /// Upper-case hex.
    pub latest_block_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub latest_app_hash: String,
    /// The newest block.
    #[serde(with = "quoted")]
    pub latest_block_height: u64,
    /// The time in its header.
    pub latest_block_time: Timestamp,
    /// Upper-case hex.
    pub earliest_block_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub earliest_app_hash: String,
    /// The oldest block that the node has; 1 unless it prunes.
    #[serde(with = "quoted")]
    pub earliest_block_height: u64,
    /// The time in its header.
    pub earliest_block_time: Timestamp,
    /// It is still fetching old blocks.
    pub catching_up: bool,
}

/// Answer to `abci_query`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AbciQuery {
    /// The application's answer.
    pub response: AbciResponse,
}

/// The application's answer to a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AbciResponse {
    /// 0 when answered; 22 when there is no such thing.
    pub code: u32,
    /// The reason of another code.
    #[serde(default)]
    pub log: String,
    /// Nothing.
    #[serde(default)]
    pub info: String,
    /// Nothing.
    #[serde(default, with = "quoted")]
    pub index: i64,
    /// Nothing.
    #[serde(default, with = "nullable_base64")]
    pub key: Vec<u8>,
    /// The answer in protobuf.
    #[serde(default, with = "nullable_base64")]
    pub value: Vec<u8>,
    /// Nothing unless asked for.
    #[serde(default, rename = "proofOps")]
    pub proof_ops: Value,
    /// The state after this block was read.
    #[serde(with = "quoted")]
    pub height: u64,
    /// Whose `code` it is.
    #[serde(default)]
    pub codespace: String,
}

/// `code` of an [`AbciResponse`] whose thing does not exist at that height.
pub const NOT_FOUND: u32 = 22;

/// Answer to `broadcast_tx_sync`: what the mempool's check said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroadcastTx {
    /// 0 when it is in the mempool.
    pub code: u32,
    /// Nothing.
    #[serde(default)]
    pub data: String,
    /// The reason of another code.
    #[serde(default)]
    pub log: String,
    /// Whose `code` it is.
    #[serde(default)]
    pub codespace: String,
    /// The transaction's hash, upper-case hex.
    pub hash: String,
}

/// Answer to `tx`: a transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tx {
    /// Its hash, upper-case hex.
    pub hash: String,
    /// The block.
    #[serde(with = "quoted")]
    pub height: u64,
    /// Its place in the block.
    #[serde(default)]
    pub index: u32,
    /// What it answered.
    pub tx_result: TxResult,
    /// The transaction.
    #[serde(with = "base64_bytes")]
    pub tx: Vec<u8>,
}

/// What one transaction answered in its block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxResult {
    /// 0 when it was carried out. The fee is paid either way.
    pub code: u32,
    /// The answers to its messages (`TxMsgData`).
    #[serde(default, with = "nullable_base64")]
    pub data: Vec<u8>,
    /// The reason of another code.
    #[serde(default)]
    pub log: String,
    /// Nothing.
    #[serde(default)]
    pub info: String,
    /// The gas limit.
    #[serde(default, with = "quoted")]
    pub gas_wanted: i64,
    /// The gas used.
    #[serde(default, with = "quoted")]
    pub gas_used: i64,
    /// What happened, in order. Those of the fee come first and have no `msg_index`.
    #[serde(default, deserialize_with = "nullable")]
    pub events: Vec<Event>,
    /// Whose `code` it is.
    #[serde(default)]
    pub codespace: String,
}

/// One event as the node writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The full protobuf name of a typed event, or a word such as `transfer`.
    pub r#type: String,
    /// In the node's order: for typed events sorted by key, then `msg_index` or `mode`.
    #[serde(default, deserialize_with = "nullable")]
    pub attributes: Vec<EventAttribute>,
}

/// One attribute of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventAttribute {
    /// Its name.
    pub key: String,
    /// For a typed event the JSON text of the field, else plain text.
    #[serde(default)]
    pub value: String,
    /// Whether the node indexes it.
    #[serde(default)]
    pub index: bool,
}

impl Event {
    /// The value of the attribute `key`.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|attribute| attribute.key == key)
            .map(|found| found.value.as_str())
    }
}

/// Answer to `block_results`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockResults {
    /// The block.
    #[serde(with = "quoted")]
    pub height: u64,
    /// One for each transaction, in the block's order; `None` when it has none.
    pub txs_results: Option<Vec<TxResult>>,
    /// Events of the block itself; their attribute `mode` says before (`BeginBlock`) or after (`EndBlock`) the
    /// transactions.
    #[serde(default, deserialize_with = "nullable")]
    pub finalize_block_events: Vec<Event>,
    /// Changes of the validators.
    #[serde(default)]
    pub validator_updates: Value,
    /// Changes of consensus parameters.
    #[serde(default)]
    pub consensus_param_updates: Value,
    /// The application's hash after the block, base64.
    #[serde(default)]
    pub app_hash: String,
}

/// Answer to `block`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Its hash.
    pub block_id: BlockId,
    /// Its content.
    pub block: BlockContent,
}

/// A block's hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockId {
    /// Upper-case hex.
    pub hash: String,
    /// Of its parts.
    #[serde(default)]
    pub parts: Value,
}

/// A block's content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockContent {
    /// Its header.
    pub header: Header,
    /// Its transactions.
    pub data: BlockTxs,
    /// Of validators' misbehaviour.
    #[serde(default)]
    pub evidence: Value,
    /// The validators' signatures of the block before.
    #[serde(default)]
    pub last_commit: Value,
}

/// A block's transactions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockTxs {
    /// As bytes; their SHA-256 is their hash.
    #[serde(with = "base64_list")]
    pub txs: Vec<Vec<u8>>,
}

/// A block's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Protocol number.
    #[serde(default)]
    pub version: Value,
    /// The chain.
    pub chain_id: String,
    /// The block.
    #[serde(with = "quoted")]
    pub height: u64,
    /// What the chain takes for now.
    pub time: Timestamp,
    /// The block before.
    pub last_block_id: BlockId,
    /// Upper-case hex.
    #[serde(default)]
    pub last_commit_hash: String,
    /// Of the transactions, upper-case hex.
    #[serde(default)]
    pub data_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub validators_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub next_validators_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub consensus_hash: String,
    /// The application's hash before the block, upper-case hex.
    #[serde(default)]
    pub app_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub last_results_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub evidence_hash: String,
    /// Upper-case hex.
    #[serde(default)]
    pub proposer_address: String,
}

/// A websocket's message of the subscription [`super::NEW_BLOCK_HEADER`]. The answer to the subscription itself is
/// `{}`: then `data` is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewBlockHeader {
    /// The subscription.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// The message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<NewBlockHeaderData>,
    /// The message's own index entries.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub events: Value,
}

/// The typed part of [`NewBlockHeader`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewBlockHeaderData {
    /// `tendermint/event/NewBlockHeader`.
    pub r#type: String,
    /// The header.
    pub value: NewBlockHeaderValue,
}

/// The innermost part of [`NewBlockHeader`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewBlockHeaderValue {
    /// The new block's.
    pub header: Header,
}

fn nullable<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}
