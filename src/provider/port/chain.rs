//! The chain as lessor reads and changes it.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        Address, AuditedAttributes, Bid, BidState, Certificate, Coin, Deployment, DeploymentId,
        Height, Lease, LeaseState, MarketParams, Order, Payment, Provider,
    },
    event::envelope::{BlockEvent, BlockRef},
};

/// What the chain answered and the height at which it did: evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// The answer. An `Option` that is `None` is absence at that height, never an error.
    pub value: T,
    /// The state that was read is the one after this block.
    pub at: Height,
}

/// The newest block that the node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// The chain's name.
    pub chain_id: String,
    /// Its newest block.
    pub height: Height,
    /// The time in that block's header.
    pub time: Timestamp,
    /// The node is still fetching old blocks; what it answers is not the present.
    pub catching_up: bool,
}

/// Which chain this is: a name can be used again, the hash of the first block cannot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainIdentity {
    /// The chain's name.
    pub chain_id: String,
    /// Upper-case hex of the hash of the earliest block that the node had at first use, normally block 1.
    pub first_block_hash: String,
    /// That block's height.
    pub first_block_height: Height,
}

/// An account as the chain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Part of what is signed.
    pub number: u64,
    /// Of the next ordered transaction.
    pub sequence: u64,
    /// 33 bytes, compressed secp256k1; `None` until the account's first transaction, or for another kind of key.
    pub public_key: Option<Vec<u8>>,
}

/// What a node said to a broadcast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Broadcast {
    /// It is in the node's mempool. That is not yet in a block.
    Accepted,
    /// The node knows these bytes already: look for it.
    Known,
    /// It will never be in a block as these bytes.
    Refused(Refusal),
    /// Not now (mempool full, node catching up): the same bytes may be sent again.
    Busy(String),
}

/// A code that a transaction was answered with, by the mempool or in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// `sdk`, `market`, `escrow`, …
    pub codespace: String,
    /// Its meaning depends on the codespace.
    pub code: u32,
    /// The node's text, shortened.
    pub log: String,
}

impl Refusal {
    /// Whether the transaction came after its own time-out: it did nothing, and nothing was wrong with it but the time.
    #[must_use]
    pub fn is_late(&self) -> bool {
        /// `tx timeout height` and `tx timeout` of the Cosmos SDK.
        const LATE: [u32; 2] = [30, 42];
        self.codespace == "sdk" && LATE.contains(&self.code)
    }
}

/// A transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Included {
    /// The block.
    pub height: Height,
    /// `None` when it was carried out; the fee is paid either way.
    pub failure: Option<Refusal>,
    /// Gas that it used.
    pub gas_used: u64,
}

/// Why the chain gave no answer. Never a reason to destroy anything.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {detail}")]
pub struct ChainError {
    /// What was tried.
    pub doing: &'static str,
    /// What went wrong, without secrets.
    pub detail: String,
    /// What the caller may do about it.
    pub kind: ChainErrorKind,
}

/// What a [`ChainError`] means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainErrorKind {
    /// No answer, or no usable one: ask again later.
    Unavailable,
    /// The node has not reached the height that was asked for: ask again soon, or another node.
    Behind,
    /// The node answers for another chain than the one that was recorded.
    OtherChain,
    /// The node understood and refused (a simulation that fails, a malformed query): asking again changes nothing.
    Refused,
}

/// Why a node is asked only when no other answers, or its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeFault {
    /// It is on another chain than the settings want.
    OtherChain,
    /// It says that it is still fetching old blocks.
    CatchingUp,
    /// It answers for a state far below the best that was seen.
    Lagging,
    /// Others that were asked later answered earlier, several times in a row.
    Slow,
    /// It gave no answer, or none that could be read.
    NoAnswer,
}

impl NodeFault {
    /// One word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherChain => "other_chain",
            Self::CatchingUp => "catching_up",
            Self::Lagging => "lagging",
            Self::Slow => "slow",
            Self::NoAnswer => "no_answer",
        }
    }
}

/// What this process knows of one node from the answers that it got since it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeHealth {
    /// Host and port; no path, which may hold a key.
    pub node: String,
    /// Why it is left aside; `None` when it is not.
    pub fault: Option<NodeFault>,
    /// When it began to be left aside.
    pub aside_since: Option<Timestamp>,
    /// It is asked again from then on.
    pub asked_again_at: Option<Timestamp>,
    /// The newest state that it answered for.
    pub height: Option<Height>,
    /// How many blocks below the best answer of all nodes that was.
    pub lag: u64,
    /// When it answered last.
    pub heard_at: Option<Timestamp>,
    /// How long an answer usually takes, in microseconds.
    pub latency_us: Option<u64>,
    /// How often it was asked.
    pub calls: u64,
    /// How often it gave no answer of use.
    pub failures: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When that was.
    pub failed_at: Option<Timestamp>,
}

/// The chain. Every read takes `at_least`: an answer from a lower height is [`ChainErrorKind::Behind`], not absence.
#[async_trait]
pub trait Chain: Send + Sync {
    /// What is known of each node; nothing where there is no choice of nodes.
    fn nodes(&self) -> Vec<NodeHealth> {
        Vec::new()
    }
    /// The node's newest block.
    async fn tip(&self) -> Result<Tip, ChainError>;
    /// Which chain the node is on, by the earliest block that it has.
    async fn identity(&self) -> Result<ChainIdentity, ChainError>;
    /// The hash of a block, upper-case hex; `None` when the node has it no more, or not yet.
    async fn block_hash(&self, height: Height) -> Result<Option<String>, ChainError>;
    /// A deployment with its groups and escrow.
    async fn deployment(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Option<Deployment>>, ChainError>;
    /// Every order of a deployment, in any state.
    async fn orders(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Order>>, ChainError>;
    /// Every bid on a deployment's orders, by any provider, in any state.
    async fn bids(&self, id: &DeploymentId, at_least: Height)
    -> Result<Seen<Vec<Bid>>, ChainError>;
    /// Every lease of a deployment, with any provider, in any state.
    async fn leases(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError>;
    /// Every payment to a deployment's leases, with any provider, in any state.
    async fn payments(
        &self,
        id: &DeploymentId,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError>;
    /// All open orders of the market.
    async fn open_orders(&self, at_least: Height) -> Result<Seen<Vec<Order>>, ChainError>;
    /// All bids of a provider in one state.
    async fn provider_bids(
        &self,
        provider: &Address,
        state: BidState,
        at_least: Height,
    ) -> Result<Seen<Vec<Bid>>, ChainError>;
    /// All leases of a provider that run: active and reclaiming.
    async fn provider_leases(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Lease>>, ChainError>;
    /// The payments to a provider for its leases in one state. Those of closed leases may still be open
    /// ([`Payment::is_left_open`]).
    async fn provider_payments(
        &self,
        provider: &Address,
        state: LeaseState,
        at_least: Height,
    ) -> Result<Seen<Vec<Payment>>, ChainError>;
    /// A provider's registration.
    async fn provider(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Provider>>, ChainError>;
    /// What auditors signed of a provider's attributes.
    async fn audited_attributes(
        &self,
        provider: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<AuditedAttributes>>, ChainError>;
    /// The market's parameters.
    async fn market_params(&self, at_least: Height) -> Result<Seen<MarketParams>, ChainError>;
    /// The certificates of an account, revoked ones too.
    async fn certificates(
        &self,
        owner: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Certificate>>, ChainError>;
    /// An account.
    async fn account(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Option<Account>>, ChainError>;
    /// All balances of an account.
    async fn balances(
        &self,
        address: &Address,
        at_least: Height,
    ) -> Result<Seen<Vec<Coin>>, ChainError>;
    /// The gas that a transaction would use. The bytes are a `TxRaw` that carries a fee amount and an empty signature.
    async fn simulate(&self, transaction: &[u8]) -> Result<u64, ChainError>;
    /// Hands signed bytes to a node.
    async fn broadcast(&self, transaction: &[u8]) -> Result<Broadcast, ChainError>;
    /// Looks for a transaction by its hash (upper-case hex). `None` is not absence: nodes index late or not at all.
    async fn transaction(&self, hash: &str) -> Result<Option<Included>, ChainError>;
}

/// Blocks that a stream missed, as many as fit one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Missed {
    /// Those with events, in order, linked as a delivery of the stream would be.
    pub blocks: Vec<BlockEvent>,
    /// Up to this block nothing is missing with them; `None` when nothing could be read.
    pub through: Option<BlockRef>,
    /// Whether that is the end of the range.
    pub complete: bool,
}

/// Gives again the blocks that a stream missed, from the indexer's pull API or from the node.
#[async_trait]
pub trait Indexer: Send + Sync {
    /// How many reads of the chain a block of this stream costs: itself and its results; none where an indexer is asked.
    fn reads_per_block(&self, _stream: &str) -> u32 {
        2
    }
    /// The blocks from `from` to `to`, both included.
    async fn blocks(&self, stream: &str, from: Height, to: Height) -> Result<Missed, ChainError>;
    /// Who is asked when this one fails.
    fn fallback(&self, _stream: &str) -> Option<&dyn Indexer> {
        None
    }
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("sign: {detail}")]
pub struct SignerError {
    /// For people.
    pub detail: String,
    /// Whether these messages are never signed, as a policy forbids them; else another time they may be.
    pub is_final: bool,
}

/// Signs with the provider's account key.
#[async_trait]
pub trait Signer: Send + Sync {
    /// The account.
    fn address(&self) -> &Address;
    /// 33 bytes, compressed secp256k1.
    fn public_key(&self) -> &[u8];
    /// Signs the SHA-256 of `sign_doc`: 64 bytes r‖s with a low s.
    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], SignerError>;
    /// Why nothing can be signed now, as far as is known.
    fn trouble(&self) -> Option<String> {
        None
    }
}
