//! What goes wrong, drawn from a seed: whether a call fails depends on the seed, the call and how often it was made
//! before, not on the order in which concurrent calls happen to arrive.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::sync::Notify;

/// How often something goes wrong, in so many of a hundred.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rates {
    /// A read gives no answer.
    pub(super) read_fails: u64,
    /// A read is answered by a node that lags up to three blocks.
    pub(super) read_lags: u64,
    /// A broadcast gives no answer and reached no node.
    pub(super) lost_before: u64,
    /// A broadcast gives no answer although the node took it.
    pub(super) lost_after: u64,
    /// The mempool is full.
    pub(super) busy: u64,
    /// The node says that it took the transaction, and forgets it.
    pub(super) swallowed: u64,
    /// A transaction in the mempool is left out of a block.
    pub(super) left_out: u64,
    /// A transaction that is in a block is not known by its hash.
    pub(super) not_indexed: u64,
    /// The cluster gives no answer.
    pub(super) cluster_fails: u64,
    /// The cluster carries a change out and the answer is lost.
    pub(super) cluster_lost_after: u64,
    /// A workload that is torn down takes a while to go.
    pub(super) goes_slowly: u64,
}

impl Rates {
    /// Everything goes wrong now and then.
    pub(super) const fn rough() -> Self {
        Self {
            read_fails: 6,
            read_lags: 15,
            lost_before: 10,
            lost_after: 10,
            busy: 5,
            swallowed: 10,
            left_out: 20,
            not_indexed: 20,
            cluster_fails: 10,
            cluster_lost_after: 5,
            goes_slowly: 40,
        }
    }
}

/// Draws from a seed.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) seed: u64,
    pub(super) rates: Rates,
    counts: HashMap<String, u64>,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// A number for the next call of this name.
    pub(super) fn draw(&mut self, call: &str) -> u64 {
        let count = self.counts.entry(call.to_owned()).or_default();
        *count += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, call, *count).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether it goes wrong this time.
    pub(super) fn strikes(&mut self, call: &str, rate: impl Fn(&Rates) -> u64) -> bool {
        let rate = rate(&self.rates);
        rate > 0 && self.draw(call) % 100 < rate
    }
}

/// What every call of one process passes: at a chosen call the process dies, which is to say that no call returns any
/// more.
#[derive(Debug)]
pub(super) struct Gate {
    calls: AtomicU64,
    dies_at: AtomicU64,
    pub(super) died: Notify,
    /// Calls that waited for one another, as far as they are counted.
    rounds: AtomicU64,
    counts_rounds: AtomicBool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            dies_at: AtomicU64::new(u64::MAX),
            died: Notify::new(),
            rounds: AtomicU64::new(0),
            counts_rounds: AtomicBool::new(false),
        }
    }
}

impl Gate {
    /// The process dies at the `calls`th call from now.
    pub(super) fn die_after(&self, calls: u64) {
        self.dies_at.store(self.calls.load(Ordering::SeqCst) + calls, Ordering::SeqCst);
    }

    /// How many calls were made.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// From now on it is counted how many calls are made one after the other: each lets those that begin with it begin.
    pub(super) fn count_rounds(&self) {
        self.rounds.store(0, Ordering::SeqCst);
        self.counts_rounds.store(true, Ordering::SeqCst);
    }

    /// How many calls were made one after the other since then.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    /// Returns while the process lives.
    pub(super) async fn pass(&self) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.counts_rounds.load(Ordering::SeqCst) {
            let round = self.rounds() + 1;
            tokio::task::yield_now().await;
            self.rounds.fetch_max(round, Ordering::SeqCst);
        }
        if call >= self.dies_at.load(Ordering::SeqCst) {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
