//! The use cases of a provider, as short, durable, repeatable steps over the [`port`]s.
//!
//! # One step
//!
//! 1. Something arrives (a verified delivery, a tenant's request, a deadline that is due, an effect that ended) and is
//!    committed as a row before anyone is answered. That row *wakes* a subject.
//! 2. [`Provider::step`] claims due subjects, each by a row lease with a fencing number; reads the facts with no
//!    transaction open, each with the height at which the chain gave it; lets a pure function decide; and writes state,
//!    decision, effects, deadlines and audit lines in one commit, `where fence = mine`.
//! 3. Executors carry out the effects: [`account`] signs, commits the bytes, and only then broadcasts; [`workload`] changes
//!    the cluster. What came of it is written as a row and wakes the subject again.
//!
//! Steps are *level-triggered*: a hint says that something may have changed, never what. The step reads the chain and
//! compares. So a duplicate, a reordered or a forged event costs a read and changes nothing.
//!
//! Reading order: [`port`] (what is needed of the world), [`deployment`] (the state of one subject and its pure
//! `advance`), [`lease`], [`step`] (the loop), [`account`], [`workload`], [`ingest`], [`submit`].

pub mod account;
mod address;
mod agree;
mod breaker;
pub mod deployment;
pub mod error;
pub mod funnel;
pub mod held;
mod hint;
pub mod ingest;
pub mod intent;
pub mod lease;
pub mod maintenance;
pub mod migrate;
mod observe;
pub mod policy;
pub mod port;
pub mod reconcile;
mod restore;
mod retention;
pub mod settings;
pub mod step;
pub mod stream;
pub mod submit;
pub mod tally;
pub mod tip;
pub mod views;
mod wish;
pub mod workload;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, atomic::AtomicI64},
};

pub use error::{Error, Kind};
use jiff::Timestamp;
pub use settings::{Settings, SettingsFault};
use tokio::sync::{Mutex, Notify, OnceCell};

use self::port::{Chain, Clock, Cluster, Entropy, Indexer, Signer, Store, Tip};
use crate::domain::Address;

/// Everything that the use cases need. Cheap to share behind an [`Arc`]; holds nothing that a restart would lose.
pub struct Provider {
    /// The durable rows.
    pub store: Arc<dyn Store>,
    /// The chain.
    pub chain: Arc<dyn Chain>,
    /// The cluster.
    pub cluster: Arc<dyn Cluster>,
    /// Signs with the provider's key; `None` in a process that may not, whose work ends at the outbox.
    pub signer: Option<Arc<dyn Signer>>,
    /// Gives again the blocks that a stream missed.
    pub indexer: Option<Arc<dyn Indexer>>,
    /// The host's time.
    pub clock: Arc<dyn Clock>,
    /// The host's randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The provider's account.
    pub address: Address,
    /// This process's name among workers, unique per start.
    pub worker: String,
    /// Poked by everything that wakes a subject in this process, so that the loop need not poll for it.
    pub poke: Notify,
    /// Read once a process: whether the node's chain is the store's.
    identity: OnceCell<()>,
    /// Read once a process: the account's number.
    account_number: OnceCell<u64>,
    /// The registration and when it was read; an accelerator.
    registration: Mutex<Option<(Timestamp, Arc<deployment::Registration>)>>,
    /// When old rows were looked for last.
    swept_at: Mutex<Option<Timestamp>>,
    /// Whether the rows come from a backup.
    restore: restore::Known,
    /// Held while the inventory is read, so that one step asks and the others take its answer.
    inventory_read: Mutex<observe::Outage>,
    /// The newest block and when it was asked for; an accelerator, and held while it is asked for.
    tip: Mutex<Option<(Timestamp, Tip)>>,
    /// Held while this process signs and sends.
    sending: Mutex<()>,
    /// The reservations as this process knows them; held from looking at them to the commit that changes them.
    held: Mutex<held::Held>,
    /// Reads that were taken out of streams' budgets and not used yet; lost with the process, which errs on the safe side.
    prepaid: Mutex<BTreeMap<String, hint::Prepaid>>,
    /// When the last pass of steps began, by the host's clock in microseconds; far ahead before the first.
    last_pass: AtomicI64,
    /// The chain's name; it never changes under a store.
    chain_name: OnceCell<String>,
    /// The newest block that this process knows of; an accelerator.
    sighted: RwLock<Option<tip::Sighted>>,
    /// When the store had no newest block yet, by the host's clock in microseconds; far back before the first look.
    looked_for_tip: AtomicI64,
    /// What this process did, for those who watch it.
    pub tally: tally::Tally,
    settings: RwLock<Arc<Settings>>,
    /// What keeps the settings from being those that the operator wrote last.
    settings_fault: RwLock<Option<SettingsFault>>,
}

/// What a [`Provider`] is made of.
pub struct Parts {
    /// See [`Provider::store`].
    pub store: Arc<dyn Store>,
    /// See [`Provider::chain`].
    pub chain: Arc<dyn Chain>,
    /// See [`Provider::cluster`].
    pub cluster: Arc<dyn Cluster>,
    /// See [`Provider::signer`].
    pub signer: Option<Arc<dyn Signer>>,
    /// See [`Provider::indexer`].
    pub indexer: Option<Arc<dyn Indexer>>,
    /// See [`Provider::clock`].
    pub clock: Arc<dyn Clock>,
    /// See [`Provider::entropy`].
    pub entropy: Arc<dyn Entropy>,
    /// See [`Provider::address`].
    pub address: Address,
    /// Prices, policy, timings.
    pub settings: Settings,
}

impl Provider {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let worker = format!("worker-{:016x}", parts.entropy.bits());
        Self {
            store: parts.store,
            chain: parts.chain,
            cluster: parts.cluster,
            signer: parts.signer,
            indexer: parts.indexer,
            clock: parts.clock,
            entropy: parts.entropy,
            address: parts.address,
            worker,
            poke: Notify::new(),
            identity: OnceCell::new(),
            account_number: OnceCell::new(),
            registration: Mutex::new(None),
            swept_at: Mutex::new(None),
            restore: restore::Known::default(),
            inventory_read: Mutex::default(),
            tip: Mutex::new(None),
            sending: Mutex::new(()),
            held: Mutex::default(),
            prepaid: Mutex::new(BTreeMap::new()),
            last_pass: AtomicI64::new(i64::MAX),
            chain_name: OnceCell::new(),
            sighted: RwLock::new(None),
            looked_for_tip: AtomicI64::new(i64::MIN),
            tally: tally::Tally::default(),
            settings: RwLock::new(Arc::new(parts.settings)),
            settings_fault: RwLock::new(None),
        }
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings
            .read()
            .map_or_else(|poisoned| poisoned.into_inner().clone(), |held| held.clone())
    }

    /// Puts other settings in force; steps that run finish with the old ones. Policy and prices stay as they are: their
    /// newest version is in force ([`policy`]).
    pub fn replace_settings(&self, mut settings: Settings) {
        self.change_settings(|held| {
            settings.policy.clone_from(&held.policy);
            settings.prices.clone_from(&held.prices);
            held.clone_from(&settings);
        });
    }

    fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        let mut held = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let mut settings = Settings::clone(&held);
        change(&mut settings);
        *held = Arc::new(settings);
    }

    /// What keeps the settings from being those that the operator wrote last.
    #[must_use]
    pub fn settings_fault(&self) -> Option<SettingsFault> {
        self.settings_fault.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the settings are not those that the operator wrote last, or that they are again.
    pub fn note_settings(&self, fault: Option<SettingsFault>) {
        *self.settings_fault.write().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
