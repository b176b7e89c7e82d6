//! What an operator sets of the use cases: policy, prices, timings, streams.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::{
    bidengine::{policy::Policy, price::Prices},
    event::signature::StreamKey,
};

/// What an operator sets of the use cases.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is bid on.
    pub policy: Policy,
    /// At which prices.
    pub prices: Prices,
    /// How long a bid stays open without a lease, in block time; `None` for ever.
    pub bid_timeout: Option<SignedDuration>,
    /// How long a tenant has to upload a manifest, in block time; `None` for ever.
    pub manifest_timeout: Option<SignedDuration>,
    /// How long a workload may fail, in block time, before its lease is closed; `None` for ever.
    pub failing_limit: Option<SignedDuration>,
    /// How long a transaction may take into a block, in block time; the chain allows at most ten minutes.
    pub transaction_ttl: SignedDuration,
    /// How many messages of one kind may share a transaction.
    pub messages_together: u8,
    /// What the fees of a day may come to before bids and withdrawals wait; `None` for no limit.
    pub fee_budget: Option<crate::domain::Coin>,
    /// How often a lease's earnings are withdrawn, in block time; `None` for only when the escrow runs out.
    pub withdraw_every: Option<SignedDuration>,
    /// Price of a unit of gas, in the fee's denom.
    pub gas_price: crate::domain::Price,
    /// How old an inventory may be when an order is placed on it.
    pub inventory_max_age: SignedDuration,
    /// More teardowns in ten minutes wait for an operator; `None` for any number.
    pub teardown_limit: Option<u32>,
    /// How long the data of a lease that ended is kept, in block time, before it is removed; `None` for not at all.
    pub quarantine: Option<SignedDuration>,
    /// When an operator works on the provider, as announced.
    pub windows: Vec<Window>,
    /// How old a registration (own provider record, audits, parameters, balances) may be when an order is judged by it.
    pub registration_max_age: SignedDuration,
    /// How often open orders, own bids and own leases are compared with the chain, whatever the streams say.
    pub reconcile_every: SignedDuration,
    /// How long a claim on a subject lasts; a worker that dies holds its subjects so long.
    pub claim_ttl: SignedDuration,
    /// Whether an http service that names no hostname gets one.
    pub static_hosts: bool,
    /// The domain of those hostnames.
    pub static_hosts_domain: String,
    /// Hostnames that nobody may claim; `.example.com` blocks the domain and all below it.
    pub blocked_hostnames: Vec<String>,
    /// The cluster's address for forwarded ports.
    pub public_hostname: String,
    /// How old settled deliveries, events, transactions and effects may become.
    pub keep: SignedDuration,
    /// How old lines of the audit may become.
    pub keep_audit: SignedDuration,
    /// The streams that are taken, by name.
    pub streams: BTreeMap<String, StreamSettings>,
}

/// A time in which an operator works on the provider, as it was announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// When it begins, by the host's clock.
    pub from: Timestamp,
    /// From then on it is over.
    pub until: Timestamp,
    /// Why, in the operator's words: everyone can read it.
    pub reason: String,
}

impl Settings {
    /// The window that this moment is in.
    #[must_use]
    pub fn window_at(&self, now: Timestamp) -> Option<&Window> {
        self.windows.iter().find(|window| window.from <= now && now < window.until)
    }
}

/// Why a process goes on with settings that are not those that the operator wrote last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsFault {
    /// `bad_file`: what was written is not in force. `store_unavailable`: nor is it, until the store answers. `restart_needed`: some of
    /// it is not before a restart.
    pub reason: &'static str,
    /// What is wrong, for people; no secrets.
    pub message: String,
}

/// What an operator sets of one stream.
#[derive(Debug, Clone)]
pub struct StreamSettings {
    /// The indexer's verification keys.
    pub keys: Vec<StreamKey>,
    /// Whether a delivery that does not join is refused; otherwise it is stored and the gap is filled.
    pub strict: bool,
    /// Whether the stream was deleted: deliveries are answered 410.
    pub deleted: bool,
    /// No delivery and no heartbeat for so long makes the stream deaf.
    pub deaf_after: SignedDuration,
    /// Reads of the chain that the stream may cost a minute: looking at what it names, and reading blocks that it missed.
    pub reads_per_minute: u32,
    /// Where missing blocks are pulled from; the node where none is set.
    pub pull_url: Option<String>,
    /// How long a gap may close by itself before it is pulled.
    pub backfill_after: SignedDuration,
    /// How far the time of a delivery's signature may be from ours.
    pub tolerance: SignedDuration,
    /// The most blocks that are pulled for one gap, the newest; older ones are left to the comparison of rows and chain.
    pub backfill_blocks: u32,
}
