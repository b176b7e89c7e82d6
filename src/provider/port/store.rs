//! The durable rows. A method is one transaction; what it returns was committed.
//!
//! Rows are JSON where only lessor reads them ([`Subject`] state, decisions, effects) and columns where the store must
//! compare, count or sort. Pure functions decide what is written; the store guards: fences, uniqueness of event
//! identities, of order ids among reservations and of hostnames, and the version of the reservations.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::{ChainIdentity, Included, Refusal};
use crate::{
    bidengine::{Decision, Placement},
    domain::{Address, DeploymentId, Height, LeaseId, OrderId},
    event::{
        envelope::{BlockRef, EventIdentity},
        link::Link,
    },
};

// ---------------------------------------------------------------------------------------------------------------- //
// Subjects and steps
// ---------------------------------------------------------------------------------------------------------------- //

/// What a step owns while it runs. One step of a subject runs at a time, over all processes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A tenant's deployment: its orders, bids, leases and manifest. `owner/dseq`.
    Deployment(DeploymentId),
    /// The provider itself: registration, inventory, reconciliation. `provider`.
    Provider,
    /// An account that sends transactions. `account/<address>`.
    Account(Address),
    /// One indexer's feed. `stream/<name>`.
    Stream(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(id) => id.fmt(f),
            Self::Provider => f.write_str("provider"),
            Self::Account(address) => write!(f, "account/{address}"),
            Self::Stream(name) => write!(f, "stream/{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = crate::domain::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "provider" {
            Ok(Self::Provider)
        } else if let Some(address) = text.strip_prefix("account/") {
            Ok(Self::Account(address.parse()?))
        } else if let Some(name) = text.strip_prefix("stream/") {
            Ok(Self::Stream(name.to_owned()))
        } else {
            text.parse().map(Self::Deployment)
        }
    }
}

/// A subject that this worker owns until [`Claim::until`], or until another claim raises the fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is owned.
    pub subject: Subject,
    /// Raised by every claim; a commit with an older fence is refused.
    pub fence: u64,
    /// How often the subject had been woken when it was claimed. A wake after that keeps it due.
    pub wakes: u64,
    /// When the claim lapses, by the store's clock.
    pub until: Timestamp,
}

/// A claimed subject with everything of it that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The claim.
    pub claim: Claim,
    /// What the last commit wrote; `None` for a subject that was only hinted at.
    pub state: Option<Value>,
    /// The highest block that an event about it claimed.
    pub hint: Option<Height>,
    /// The stream whose hint made the subject known, while no step has found it on chain.
    pub hinted_by: Option<String>,
    /// Steps that failed in a row.
    pub failures: u32,
    /// Its effects that are not settled, and those settled since the last commit or kept by it, with their transactions.
    pub effects: Vec<Effect>,
    /// Its deadlines.
    pub deadlines: Vec<Deadline>,
    /// Its manifests, newest first, at most three.
    pub manifests: Vec<ManifestRow>,
    /// Its hostnames.
    pub hostnames: Vec<HostnameClaim>,
}

/// A moment at which a subject is woken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// Unique within the subject: `bid/<order>`, `manifest/<lease>`.
    pub name: String,
    /// Due when a block time that was read has passed this.
    pub due: Timestamp,
}

/// What one step writes, all or nothing, `where fence = mine`. The claim ends with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// The subject's new state; `None` forgets the subject (nothing on chain, nothing of ours).
    pub state: Option<Value>,
    /// The rows that pages and routes read, inserted or replaced by their order's id.
    pub orders: Vec<OrderRow>,
    /// Decisions made by this step; one order keeps its latest.
    pub decisions: Vec<Decision>,
    /// New effects. One whose key exists already is left as it is.
    pub effects: Vec<NewEffect>,
    /// Effects to withdraw if no executor has begun them ([`EffectState::Wanted`]).
    pub withdraw_effects: Vec<String>,
    /// Settled effects that the state has taken in; they are kept for reading and no longer loaded.
    pub absorbed_effects: Vec<String>,
    /// The subject's deadlines from now on: the whole set.
    pub deadlines: Vec<Deadline>,
    /// A reservation to make; refused when the version is not the one given.
    pub reserve: Vec<Reservation>,
    /// The version of the reservations that [`Commit::reserve`] was computed on.
    pub reservations_version: Option<u64>,
    /// Reservations that now belong to a lease.
    pub leased: Vec<OrderId>,
    /// Reservations whose workload the cluster has taken in at this time of the host.
    pub applied: Vec<(OrderId, Timestamp)>,
    /// Reservations to give back.
    pub release: Vec<OrderId>,
    /// Hostnames given back: all of these leases'.
    pub release_hostnames: Vec<LeaseId>,
    /// What people should be able to read later.
    pub audit: Vec<AuditLine>,
    /// Wakes the subject again at this time of the host, if nothing else does before.
    pub wake_at: Option<Timestamp>,
    /// Subjects to wake at once (the account that is to send).
    pub wake: Vec<Subject>,
}

/// What became of a [`Commit`].
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// It is durable.
    Done,
    /// Another worker owns the subject now; nothing was written.
    Fenced,
    /// Others reserved meanwhile; nothing was written. Place again on these.
    CapacityChanged(Reservations),
}

// ---------------------------------------------------------------------------------------------------------------- //
// Orders, decisions, reservations
// ---------------------------------------------------------------------------------------------------------------- //

/// One order with our bid and lease of it, as pages and routes read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Its path.
    pub id: OrderId,
    /// Where it stands for us: a word of `bidengine`'s phases.
    pub phase: String,
    /// Where our bid stands on chain, when there is one.
    pub bid: Option<String>,
    /// Where our lease stands on chain, when there is one.
    pub lease: Option<String>,
    /// When it was first seen, by the host's clock.
    pub seen_at: Timestamp,
    /// When this row last changed.
    pub changed_at: Timestamp,
    /// The whole of it, a view type of `provider`.
    pub body: Value,
}

/// Capacity that is kept for an order, from the bid until the lease ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// The order; unique.
    pub order: OrderId,
    /// Where its replicas are to run.
    pub placement: Placement,
    /// Why it is held, for people.
    pub reason: String,
    /// When it was made, by the host's clock.
    pub made_at: Timestamp,
    /// When the chain is to be asked whether it is still needed, in block time. Passing it frees nothing by itself.
    pub look_at: Timestamp,
    /// Whether it belongs to a lease.
    pub leased: bool,
    /// When its workload was taken in by the cluster, by the host's clock: an inventory that is younger counts it already.
    pub applied_at: Option<Timestamp>,
}

/// All reservations and their version, which every change raises.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reservations {
    /// Compared by commits that reserve.
    pub version: u64,
    /// All that are held.
    pub held: Vec<Reservation>,
}

/// A hostname and the lease that holds it; unique by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostnameClaim {
    /// Lower case.
    pub hostname: String,
    /// Who holds it.
    pub lease: LeaseId,
    /// The service that it leads to.
    pub service: String,
}

/// A manifest as it was accepted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestRow {
    /// Whose.
    pub deployment: DeploymentId,
    /// SHA-256 of its canonical form, lower-case hex.
    pub hash: String,
    /// Its canonical JSON.
    pub body: String,
    /// When it was accepted, by the host's clock.
    pub received_at: Timestamp,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestStored {
    /// It is durable and the deployment is awake.
    Done,
    /// A hostname is held by a lease of another owner; nothing was stored. One that another lease of the same owner holds
    /// stays with that lease and is left out without an error.
    HostnameTaken {
        /// Which.
        hostname: String,
        /// By whom.
        holder: LeaseId,
    },
}

// ---------------------------------------------------------------------------------------------------------------- //
// Effects and transactions
// ---------------------------------------------------------------------------------------------------------------- //

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
    /// The idempotency key: `create-bid/<order>/<n>`, `close-bid/<bid>/<n>`, `apply/<lease>/<hash>`, `teardown/<lease>`.
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
    /// Its unordered time-out in nanoseconds of Unix time; unique per account.
    pub timeout_ns: i64,
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
    /// The claim on `account/<address>`.
    pub claim: Claim,
    /// What the last commit wrote.
    pub state: Option<Value>,
    /// Effects that no transaction holds, by priority, then age.
    pub wanted: Vec<Effect>,
    /// Transactions that are not settled, oldest first.
    pub unsettled: Vec<Transaction>,
}

/// What an account's step writes. The claim goes on unless `end` is set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AccountCommit {
    /// The account's new state.
    pub state: Option<Value>,
    /// Newly signed transactions; their effects must still be [`EffectState::Wanted`], or the transaction is left out.
    pub signed: Vec<Transaction>,
    /// Changed states, by hash. Settling one settles its effects with the same outcome and wakes their subjects.
    pub changed: Vec<(String, TransactionState)>,
    /// Hashes that were handed to a node at this time.
    pub handed: Vec<(String, Timestamp)>,
    /// Effects that failed before anything was signed (their simulation was refused), and those to try later.
    pub reports: Vec<(String, EffectReport)>,
    /// Wakes the account at this time of the host.
    pub wake_at: Option<Timestamp>,
    /// Whether the claim ends.
    pub end: bool,
}

// ---------------------------------------------------------------------------------------------------------------- //
// Streams
// ---------------------------------------------------------------------------------------------------------------- //

/// One chain event that an indexer claims.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Unique: chain, height, transaction, message, event.
    pub identity: EventIdentity,
    /// The full protobuf name.
    pub kind: String,
    /// The typed event's fields as the chain encodes them in JSON.
    pub attributes: serde_json::Map<String, Value>,
    /// What it concerns; `None` for types that nobody handles, which are stored and counted.
    pub subject: Option<Subject>,
}

/// One verified request of an indexer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The feed.
    pub stream: String,
    /// `webhook-id`: the same for every try.
    pub id: String,
    /// SHA-256 of the decompressed body.
    pub digest: [u8; 32],
    /// By the host's clock.
    pub received_at: Timestamp,
    /// What it is: `webhook`, `backfill`.
    pub origin: &'static str,
}

/// Where a stream stands and when it was heard.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StreamState {
    /// The cursor, what came ahead of it, what is in parts.
    pub link: Link,
    /// When a delivery or heartbeat with a right signature was committed last.
    pub heard_at: Option<Timestamp>,
    /// When the last heartbeat was committed.
    pub heartbeat_at: Option<Timestamp>,
    /// The newest block that the indexer says it has read, and its time.
    pub indexer_tip: Option<(Height, Timestamp)>,
    /// Since when a gap has been open.
    pub gap_since: Option<Timestamp>,
    /// The indexer took back what it sent above this block, and an operator has not agreed yet.
    pub rewind_waits: Option<BlockRef>,
}

/// What a delivery changes, as a pure function of the stream's state said.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPlan {
    /// The stream's new state.
    pub state: StreamState,
    /// Events to keep.
    pub events: Vec<EventRow>,
    /// Nothing of the delivery is to be stored: the stream is strict and it does not join.
    pub refuse: bool,
    /// Wakes the stream's own step at this time (to look after a gap).
    pub wake_at: Option<Timestamp>,
    /// Subjects to wake besides those of the events.
    pub wake: Vec<Subject>,
    /// What people should be able to read later.
    pub audit: Vec<AuditLine>,
}

/// Decides what a delivery changes. Called once inside the store's transaction; it must be quick and pure.
pub type Plan<'a> = dyn Fn(&StreamState) -> StreamPlan + Send + Sync + 'a;

/// Changes a stream's state. As quick and pure as a [`Plan`].
pub type StreamChange<'a> = dyn Fn(&StreamState) -> StreamState + Send + Sync + 'a;

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum Ingested {
    /// Committed now.
    Accepted {
        /// Events that were new.
        accepted: u64,
        /// Events whose identity was known with the same content.
        duplicates: u64,
        /// Events whose identity was known with other content: both are kept as hints and shown.
        conflicts: u64,
        /// The stream's state after it.
        state: StreamState,
    },
    /// The same id and the same body were committed before.
    Repeated {
        /// The stream's state now.
        state: StreamState,
    },
    /// The same id was committed with another body. Nothing of this one was stored but the alarm.
    OtherBody,
    /// The plan refused it; nothing was stored.
    Refused {
        /// The stream's state now.
        state: StreamState,
    },
    /// The inbox is at its bound; nothing was stored.
    Full,
}

/// A stream as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamRow {
    /// Its name.
    pub name: String,
    /// Cursor, gaps, freshness.
    pub state: StreamState,
    /// Deliveries that were committed.
    pub deliveries: u64,
    /// Events that were new, over all deliveries.
    pub events: u64,
    /// Events that were known already.
    pub duplicates: u64,
    /// Events of types that nobody handles.
    pub ignored: u64,
    /// Same id with another body, or same event with other content.
    pub conflicts: u64,
}

/// Reads that a stream's unproven hints have cost in the current window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Reads in this window, with those just asked for if they were granted.
    pub reads: u32,
    /// Whether what was asked for was granted.
    pub granted: bool,
}

// ---------------------------------------------------------------------------------------------------------------- //
// Observations, audit, maintenance
// ---------------------------------------------------------------------------------------------------------------- //

/// Something that was observed, with the time it was taken: `inventory`, `tip`, `registration`, `status/<lease>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What.
    pub key: String,
    /// When, by the host's clock.
    pub taken_at: Timestamp,
    /// What was seen.
    pub body: Value,
}

/// A line that people can read later: who did what to what, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When, by the host's clock.
    pub at: Timestamp,
    /// `lessor`, `operator`, or a stream's name.
    pub actor: String,
    /// `bid`, `close_bid`, `apply`, `teardown`, `alarm`, …
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// Why, and on which evidence.
    pub reason: String,
}

/// One page of rows and where the next begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// In the order that the method names.
    pub rows: Vec<T>,
    /// Give this back to go on; `None` at the end.
    pub next: Option<String>,
}

/// Which orders a page is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OrderFilter {
    /// Only with this phase.
    pub phase: Option<String>,
    /// Only with a bid of ours, in this state when one is given.
    pub bid: Option<Option<String>>,
    /// Only with a lease of ours, in this state when one is given.
    pub lease: Option<Option<String>>,
    /// Only of this owner.
    pub owner: Option<Address>,
}

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct StoreError {
    /// What was tried.
    pub doing: &'static str,
    /// Whether trying again may help (busy, locked); a full disk or a corrupt file needs people.
    pub is_transient: bool,
    /// What the engine said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The durable rows.
#[async_trait]
pub trait Store: Send + Sync {
    // -- chain identity

    /// The chain that this store belongs to, recorded at first use.
    async fn chain_identity(&self) -> Result<Option<ChainIdentity>, StoreError>;
    /// Records it if none is; returns what is recorded.
    async fn record_chain_identity(
        &self,
        identity: &ChainIdentity,
    ) -> Result<ChainIdentity, StoreError>;

    // -- streams

    /// Commits a delivery: deduplicates it by id and its events by identity, moves the cursor as `plan` says, wakes the
    /// subjects of new events.
    async fn ingest(&self, delivery: &Delivery, plan: &Plan<'_>) -> Result<Ingested, StoreError>;
    /// A stream, if anything was ever delivered on it.
    async fn stream(&self, name: &str) -> Result<Option<StreamRow>, StoreError>;
    /// Changes a stream's state by a pure function, outside any delivery.
    async fn change_stream(
        &self,
        name: &str,
        change: &StreamChange<'_>,
    ) -> Result<StreamState, StoreError>;
    /// Asks for reads on behalf of a stream's unproven hints: granted while the window's sum stays within `limit`.
    /// The window is a minute of the host's clock.
    async fn spend(
        &self,
        stream: &str,
        reads: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<Spent, StoreError>;
    /// The latest events of a subject, newest first.
    async fn events(&self, subject: &Subject, limit: u32) -> Result<Vec<EventRow>, StoreError>;

    // -- subjects

    /// Wakes subjects now; unknown ones become known without a state.
    async fn wake(
        &self,
        subjects: &[Subject],
        hint: Option<Height>,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Wakes every subject with a deadline that the block time has passed. Returns how many.
    async fn wake_due(&self, block_time: Timestamp) -> Result<u64, StoreError>;
    /// Claims up to `limit` due subjects of deployments, the provider and streams (not accounts), those with state first,
    /// then by age; `now` is the host's time.
    async fn claim(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Loaded>, StoreError>;
    /// Writes a step.
    async fn commit(
        &self,
        claim: &Claim,
        now: Timestamp,
        commit: &Commit,
    ) -> Result<Committed, StoreError>;
    /// Ends a claim without a change: the subject is due again at `retry_at`, with one failure more when `error` is set.
    async fn give_back(
        &self,
        claim: &Claim,
        retry_at: Timestamp,
        error: Option<&str>,
    ) -> Result<(), StoreError>;
    /// Forgets claimed subjects that were only hinted at and are not on chain.
    async fn forget(&self, claims: &[Claim]) -> Result<u64, StoreError>;
    /// When the next subject or effect becomes due by the host's clock; `None` when nothing waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// The state of a subject, for reading.
    async fn subject_state(&self, subject: &Subject) -> Result<Option<Value>, StoreError>;

    // -- effects and transactions

    /// Claims due cluster effects.
    async fn claim_effects(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EffectClaim>, StoreError>;
    /// Writes what became of a claimed cluster effect; `false` when another executor owns it now.
    async fn report_effect(
        &self,
        claim: &EffectClaim,
        report: &EffectReport,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Claims the account if it is due (woken, `wake_at` passed, effects wanted or transactions unsettled and their time come).
    async fn claim_account(
        &self,
        account: &Address,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<AccountWork>, StoreError>;
    /// Writes an account's step; `None` when fenced. Returns the signed transactions that were kept.
    async fn commit_account(
        &self,
        claim: &Claim,
        now: Timestamp,
        commit: &AccountCommit,
    ) -> Result<Option<Vec<Transaction>>, StoreError>;
    /// Transactions, newest first.
    async fn transactions(
        &self,
        unsettled_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Transaction>, StoreError>;

    // -- capacity, hostnames, manifests

    /// All reservations.
    async fn reservations(&self) -> Result<Reservations, StoreError>;
    /// Stores a manifest with the hostnames it claims, replacing those that its leases held, and wakes the deployment.
    async fn store_manifest(
        &self,
        manifest: &ManifestRow,
        leases: &[LeaseId],
        hostnames: &[HostnameClaim],
        now: Timestamp,
    ) -> Result<ManifestStored, StoreError>;
    /// The manifests of a deployment, newest first, at most three.
    async fn manifests(&self, deployment: &DeploymentId) -> Result<Vec<ManifestRow>, StoreError>;
    /// The hostnames of a lease.
    async fn hostnames(&self, lease: &LeaseId) -> Result<Vec<HostnameClaim>, StoreError>;

    // -- reading

    /// Orders, most recently changed first.
    async fn orders(
        &self,
        filter: &OrderFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OrderRow>, StoreError>;
    /// One order.
    async fn order(&self, id: &OrderId) -> Result<Option<OrderRow>, StoreError>;
    /// The latest decision on an order.
    async fn decision(&self, order: &OrderId) -> Result<Option<Decision>, StoreError>;
    /// How many orders are in each phase.
    async fn order_counts(&self) -> Result<Vec<(String, u64)>, StoreError>;
    /// The deadlines of all subjects, soonest first.
    async fn deadlines(&self, limit: u32) -> Result<Vec<(Subject, Deadline)>, StoreError>;

    // -- observations, settings that operators change, audit

    /// Keeps an observation unless a younger one is kept.
    async fn observe(&self, observation: &Observation) -> Result<(), StoreError>;
    /// An observation.
    async fn observation(&self, key: &str) -> Result<Option<Observation>, StoreError>;
    /// Appends lines.
    async fn audit(&self, lines: &[AuditLine]) -> Result<(), StoreError>;
    /// Lines, newest first.
    async fn audit_lines(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditLine>, StoreError>;

    // -- operation

    /// Whether the rows can be read and written and have the schema that this program knows.
    async fn health(&self) -> Result<(), StoreError>;
}
