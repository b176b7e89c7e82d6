//! The transactions that wait for the next block, and the hashes that were seen. Owns no check: the ledger's check
//! state decides who gets in.

use std::collections::{HashSet, VecDeque};

use jiff::Timestamp;

/// How many may wait.
const MAX_WAITING: usize = 5_000;
/// How many hashes are remembered, as a real node does.
const MAX_SEEN: usize = 10_000;

/// A transaction that was let in.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) tx: Vec<u8>,
    /// When, by the world's clock.
    pub(super) heard_at: Timestamp,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mempool {
    waiting: Vec<Waiting>,
    seen: HashSet<String>,
    order: VecDeque<String>,
}

impl Mempool {
    /// Remembers a hash; false when it was seen before.
    pub(super) fn see(&mut self, hash: &str) -> bool {
        if !self.seen.insert(hash.to_owned()) {
            return false;
        }
        self.order.push_back(hash.to_owned());
        if self.order.len() > MAX_SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }

    /// Forgets a hash: a transaction that was refused may come again.
    pub(super) fn forget(&mut self, hash: &str) {
        if self.seen.remove(hash) {
            self.order.retain(|known| known != hash);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    pub(super) fn push(&mut self, tx: Vec<u8>, heard_at: Timestamp) {
        self.waiting.push(Waiting { tx, heard_at });
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Those that wait, for the next block to hold all of them.
    pub(super) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    /// Nobody waits any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}
