//! The durable rows. A method is one transaction; what it returns was committed.
//!
//! Rows are JSON where only lessor reads them ([`Subject`] state, decisions, effects) and columns where the store must
//! compare, count or sort. Pure functions decide what is written; the store guards: fences, uniqueness of event
//! identities, of order ids among reservations and of hostnames, and the version of the reservations.

mod breaker;
mod capacity;
mod delivery;
mod effect;
mod operator;
mod policy;
mod subject;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::{
    breaker::*, capacity::*, delivery::*, effect::*, operator::*, policy::*, subject::*,
};
use super::chain::ChainIdentity;
use crate::{
    bidengine::Decision,
    domain::{Address, DeploymentId, Height, LeaseId, OrderId},
};

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

/// The rows were put back from a backup: what was done between the two is on chain and in the cluster alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restore {
    /// Counts the restores of this store, from 1.
    pub number: u64,
    /// When, by the host's clock. No process ran on the rows at that time.
    pub restored_at: Timestamp,
    /// Block time that must have passed before anything is signed: until then a transaction of which these rows know
    /// nothing may still land. `None` until a block was read.
    pub quiet_until: Option<Timestamp>,
    /// The height at which rows and chain were found to agree. `None`: nothing new is decided yet.
    pub settled_at: Option<Height>,
    /// How many deployments with something of ours no step has compared with chain and cluster yet.
    pub behind: u64,
}

impl Restore {
    /// Whether nothing may be decided: what is ours already is not known yet.
    #[must_use]
    pub const fn holds_decisions(&self) -> bool {
        self.settled_at.is_none()
    }

    /// Whether nothing may be signed at this block time.
    #[must_use]
    pub fn is_quiet(&self, block_time: Timestamp) -> bool {
        self.holds_decisions() && self.quiet_until.is_none_or(|until| block_time <= until)
    }
}

/// Which rows are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// The host's time.
    pub now: Timestamp,
    /// The chain's newest block.
    pub height: Height,
    /// How old rows may become.
    pub keep: SignedDuration,
    /// How old lines of the audit may become.
    pub keep_audit: SignedDuration,
    /// The most rows of each kind that are removed at once.
    pub limit: u32,
}

/// How many rows of each kind were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Deliveries of streams.
    pub deliveries: u64,
    /// Their events.
    pub events: u64,
    /// `CloudEvents` of unknown types.
    pub other_events: u64,
    /// Settled transactions.
    pub transactions: u64,
    /// Settled effects.
    pub effects: u64,
    /// Lines of the audit.
    pub audit: u64,
}

impl Swept {
    /// Whether there may be more: as many of one kind were removed as were asked for.
    #[must_use]
    pub fn may_have_left(&self, limit: u32) -> bool {
        let Self { deliveries, events, other_events, transactions, effects, audit } = *self;
        [deliveries, events, other_events, transactions, effects, audit]
            .iter()
            .any(|count| *count >= u64::from(limit))
    }
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
    /// Only with a lease of ours that is not closed.
    pub open_lease: bool,
    /// Only of this owner.
    pub owner: Option<Address>,
}

/// Why the store did not do something.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct StoreError {
    /// What was tried.
    pub doing: &'static str,
    /// Whether trying again may help (busy, locked, once there is room on a full disk); a corrupt file needs people.
    pub is_transient: bool,
    /// Whether a page was asked for with a cursor that no page gave.
    pub is_bad_cursor: bool,
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
    /// subjects of new events. Deliveries that wait at the same time may be committed together.
    async fn ingest(
        &self,
        delivery: Delivery,
        content: Content,
        plan: Box<Plan>,
    ) -> Result<Ingested, StoreError>;
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
    /// Drops hints that were worth nothing: a claimed subject that has no state is forgotten, one that has is as if it had not
    /// been hinted at. Returns how many were forgotten.
    async fn forget(&self, claims: &[Claim]) -> Result<u64, StoreError>;
    /// When the next subject or effect becomes due by the host's clock; `None` when nothing waits.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Lets no subject and no effect wait beyond `latest` by the host's clock, which only a clock that was wrong can have
    /// asked for: those are due at `now`, and who claimed them has lost them. Returns how many there were.
    async fn wait_no_longer(&self, latest: Timestamp, now: Timestamp) -> Result<u64, StoreError>;
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
    /// What a subject wants carried out and no step of it has taken in yet, in the order in which it was wanted.
    async fn effects(&self, subject: &Subject) -> Result<Vec<Effect>, StoreError>;
    /// What the account has to do if it is due (woken, `wake_at` passed, effects wanted or transactions unsettled and their time
    /// come). Nobody owns it: two processes may work on the same effect, and the first that commits a transaction holds it.
    async fn account_work(
        &self,
        account: &Address,
        now: Timestamp,
    ) -> Result<Option<AccountWork>, StoreError>;
    /// Writes an account's step that saw so many `wakes`. Returns the signed transactions that were kept.
    async fn commit_account(
        &self,
        account: &Address,
        wakes: u64,
        now: Timestamp,
        commit: &AccountCommit,
    ) -> Result<Vec<Transaction>, StoreError>;
    /// Transactions, newest first.
    async fn transactions(
        &self,
        unsettled_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Transaction>, StoreError>;

    /// Deliveries of a stream, newest first.
    async fn deliveries(
        &self,
        stream: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<DeliveryRow>, StoreError>;
    /// Subjects whose last `failures` steps at least came to nothing, by name.
    async fn stuck(
        &self,
        failures: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<StuckRow>, StoreError>;
    /// Makes a subject whose steps fail due now. Returns whether there is one that nobody works on.
    async fn try_now(&self, subject: &Subject, now: Timestamp) -> Result<bool, StoreError>;

    // -- capacity, hostnames, manifests

    /// All reservations.
    async fn reservations(&self) -> Result<Reservations, StoreError>;
    /// All reservations, or `None` while they are those of this version.
    async fn reservations_unless(&self, version: u64) -> Result<Option<Reservations>, StoreError>;
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
    /// One manifest of a deployment.
    async fn manifest(
        &self,
        deployment: &DeploymentId,
        hash: &str,
    ) -> Result<Option<ManifestRow>, StoreError>;
    /// The hostnames of a lease, without those that another lease has not let go yet.
    async fn hostnames(&self, lease: &LeaseId) -> Result<Vec<HostnameClaim>, StoreError>;
    /// Which leases hold these hostnames; one that nobody holds is left out.
    async fn hostname_holders(
        &self,
        names: &[String],
    ) -> Result<Vec<(String, LeaseId)>, StoreError>;
    /// Makes a lease the holder of hostnames that other leases of its owner hold, or nobody, with a line of audit, and wakes all
    /// of them.
    async fn move_hostnames(
        &self,
        to: &LeaseId,
        claims: &[HostnameClaim],
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<HostnamesMoved, StoreError>;

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

    /// How far the orders came that were first seen since then, with up to `sample` of them for each reason.
    async fn funnel(&self, since: Timestamp, sample: u32) -> Result<Vec<FunnelRow>, StoreError>;
    /// How many orders were first seen since then, and what became of them.
    async fn totals(&self, since: Timestamp) -> Result<Totals, StoreError>;
    /// What waits, counted: steps with at least so many failures count as stuck, deadlines up to `block_time` as due.
    async fn backlog(&self, failures: u32, block_time: Timestamp) -> Result<Backlog, StoreError>;
    /// How often each kind of rows was changed. Cheap enough to be asked every second.
    async fn changes(&self) -> Result<Changes, StoreError>;

    // -- what operators want, and who is signed in

    /// Whether bids are wanted; the default while nobody said anything.
    async fn maintenance(&self) -> Result<Maintenance, StoreError>;
    /// Keeps what an operator wants, with its audit line, and wakes subjects at `now`.
    async fn set_maintenance(
        &self,
        maintenance: &Maintenance,
        audit: &AuditLine,
        wake: &[Subject],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Whether teardowns go on.
    async fn breaker(&self) -> Result<Breaker, StoreError>;
    /// How many teardowns were decided after then and are not agreed to yet.
    async fn teardowns_since(&self, since: Timestamp) -> Result<u64, StoreError>;
    /// Holds teardowns from now on, with its audit line; nothing where they are held already.
    async fn hold_teardowns(
        &self,
        decided: u64,
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Lets teardowns go on, with its audit line; those that were decided up to now do not count any more.
    async fn agree_to_teardowns(&self, audit: &AuditLine, now: Timestamp)
    -> Result<(), StoreError>;
    /// Keeps a session, with its audit line. Sessions that have expired and those beyond the newest `most` are forgotten.
    async fn open_session(
        &self,
        session: &Session,
        most: u32,
        audit: &AuditLine,
    ) -> Result<(), StoreError>;
    /// A session by its digest, expired or not.
    async fn session(&self, digest: &[u8; 32]) -> Result<Option<Session>, StoreError>;
    /// Forgets a session; `false` when there was none.
    async fn end_session(&self, digest: &[u8; 32], audit: &AuditLine) -> Result<bool, StoreError>;

    // -- observations, audit

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

    // -- policy and prices

    /// The number of the newest version; 0 when there is none.
    async fn policy_version(&self) -> Result<u64, StoreError>;
    /// The newest version, of all or of those that were made by one.
    async fn newest_policy(&self, made_by: Option<&str>) -> Result<Option<PolicyRow>, StoreError>;
    /// Versions, newest first.
    async fn policies(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<PolicyRow>, StoreError>;
    /// Makes a version if `seen` is still the newest, with a line of audit.
    async fn put_policy(
        &self,
        seen: u64,
        new: &NewPolicy,
        now: Timestamp,
    ) -> Result<PolicyStored, StoreError>;

    // -- operation

    /// Removes a few rows that are old and that nothing needs any more: settled deliveries, events, transactions with their
    /// effects, audit lines.
    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, StoreError>;
    /// The last time that these rows were put back from a backup; `None` when they never were.
    async fn last_restore(&self) -> Result<Option<Restore>, StoreError>;
    /// Writes how far the comparison after a restore is.
    async fn change_restore(&self, restore: &Restore) -> Result<(), StoreError>;
    /// Whether the rows can be read and written and have the schema that this program knows.
    async fn health(&self) -> Result<(), StoreError>;
}
