//! Effects that are carried out once, and the transactions that carry out those on chain.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subject::Subject;
use crate::{
    domain::{Address, Height},
    provider::port::chain::{Included, Refusal},
};

/// What an effect changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// A message to the chain, carried out by the account's steps.
    Chain,
    /// A change of the cluster.
    Cluster,
}

/// An effect to be carried out once.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEffect {
    /// The idempotency key: `create-bid/<order>/<n>`, `close-bid/<bid>/<n>`, `apply/<lease>/<hash>/<n>`, `teardown/<lease>`.
    pub key: String,
    /// What it changes.
    pub kind: EffectKind,
    /// The account that sends it, for [`EffectKind::Chain`].
    pub account: Option<Address>,
    /// A type of `provider`.
    pub body: Value,
    /// Lower is sooner: bids, closes, withdrawals.
    pub priority: u8,
}

/// Where an effect stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum EffectState {
    /// No executor has begun it.
    Wanted,
    /// Withdrawn before any executor began it.
    Withdrawn,
    /// A transaction holds it, or an executor tried at least once.
    Begun,
    /// It was carried out.
    Done {
        /// What the executor saw.
        outcome: Value,
    },
    /// It will not be carried out by trying again.
    Failed {
        /// Why.
        outcome: Value,
    },
}

/// An effect as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Its idempotency key.
    pub key: String,
    /// Whose.
    pub subject: Subject,
    /// What it changes.
    pub kind: EffectKind,
    /// A type of `provider`.
    pub body: Value,
    /// Where it stands.
    pub state: EffectState,
    /// How often an executor tried.
    pub attempts: u32,
    /// How many transactions that held it failed in a block, with their fee paid.
    pub paid: u32,
    /// Why the last try gave no outcome.
    pub last_error: Option<String>,
    /// When the step that wanted it was committed.
    pub wanted_at: Timestamp,
}

/// A cluster effect that this worker carries out.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectClaim {
    /// The effect.
    pub effect: Effect,
    /// Raised by every claim; an outcome with an older fence is refused.
    pub fence: u64,
}

/// What an executor reports of an effect. The subject is woken by an outcome.
#[derive(Debug, Clone, PartialEq)]
pub enum EffectReport {
    /// Settled: [`EffectState::Done`] or [`EffectState::Failed`].
    Settled(EffectState),
    /// No outcome; to be tried again at this time of the host.
    Later {
        /// Why, without secrets.
        error: String,
        /// When.
        at: Timestamp,
    },
}

/// Where a transaction stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum TransactionState {
    /// Signed and stored; a node may or may not have it.
    Signed,
    /// A node said that it has it.
    Broadcast,
    /// It is in a block.
    Included(Included),
    /// Its time-out has passed on chain and the state that it would have changed shows nothing of it.
    Expired {
        /// The height at which that was seen.
        seen_at: Height,
    },
    /// No node takes these bytes.
    Refused(Refusal),
}

impl TransactionState {
    /// Whether nothing can change it any more.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        matches!(self, Self::Included(_) | Self::Expired { .. } | Self::Refused(_))
    }
}

/// A signed transaction. Bytes and hash are set once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transaction {
    /// Upper-case hex of the SHA-256 of the bytes.
    pub hash: String,
    /// Who signed.
    pub account: Address,
    /// The effects that it carries out, in the order of its messages.
    pub effects: Vec<String>,
    /// What is sent.
    #[serde(skip)]
    pub bytes: Vec<u8>,
    /// Its unordered time-out in nanoseconds of Unix time; unique per account. An ordered one does not carry it.
    pub timeout_ns: i64,
    /// Its place in the account's sequence; `None` for an unordered one.
    pub sequence: Option<u64>,
    /// The last block that may hold it, of an ordered one.
    pub last_block: Option<Height>,
    /// The gas that it may use.
    pub gas_limit: u64,
    /// The fee that it pays, in units of the fee's denom.
    pub fee: String,
    /// Where it stands.
    pub state: TransactionState,
    /// When it was signed, by the host's clock.
    pub signed_at: Timestamp,
    /// When it was last handed to a node.
    pub broadcast_at: Option<Timestamp>,
    /// How often it was handed to a node.
    pub broadcasts: u32,
}

/// What an account's step works on.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountWork {
    /// How often the account was woken when this was read: whoever commits with it misses no later wake.
    pub wakes: u64,
    /// Effects that no transaction holds, by priority, then age.
    pub wanted: Vec<Effect>,
    /// Transactions that are not settled, oldest first.
    pub unsettled: Vec<Transaction>,
    /// The fees of the transactions that were signed in the last day and may have paid: each text as often as it says.
    pub fees: Vec<(String, u64)>,
}

/// An effect that its transaction came to nothing for, and that is wanted again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// The transaction.
    pub hash: String,
    /// The effect.
    pub key: String,
    /// Why the transaction came to nothing.
    pub error: String,
    /// When it may be tried again, by the host's clock.
    pub at: Timestamp,
    /// Whether the transaction was in a block, with its fee paid.
    pub was_paid: bool,
}

/// What an account's step writes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountCommit {
    /// Newly signed transactions; their effects must still be [`EffectState::Wanted`], or the transaction is left out.
    pub signed: Vec<Transaction>,
    /// Effects that the settled transactions of this commit give back: wanted again, and not settled with them.
    pub released: Vec<Released>,
    /// Changed states, by hash. Settling one settles its effects with the same outcome and wakes their subjects.
    pub changed: Vec<(String, TransactionState)>,
    /// Hashes that were handed to a node at this time.
    pub handed: Vec<(String, Timestamp)>,
    /// Effects that failed before anything was signed (their simulation was refused), and those to try later.
    pub reports: Vec<(String, EffectReport)>,
    /// When the account is due again unless it is woken before, by the host's clock. Without it, work that is left makes the
    /// account due by its own time.
    pub wake_at: Option<Timestamp>,
}
