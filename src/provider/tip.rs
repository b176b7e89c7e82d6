//! How far the chain is, as far as this process knows, and what an indexer's word is held against.
//!
//! The one surprising fact: a node that says nothing and a chain that stands still show the same height; what tells them
//! apart is when the height was *looked at* and when it *changed*, so both are kept.

use std::sync::{PoisonError, atomic::Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Provider, port::Tip};
use crate::domain::Height;

/// A claim about a block that is further than this above our node's tip is not believed: about ten minutes of blocks, so
/// that a node which is a little behind, or a look at it that is a little old, costs nothing.
pub const AHEAD: u64 = 100;

/// Before any process has seen a tip, the store is asked for one so often, in microseconds.
const LOOK_US: u64 = 1_000_000;

/// The node's newest block, as it is kept in the observation `tip`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TipSighting {
    /// The block.
    #[serde(flatten)]
    pub tip: Tip,
    /// When its height was first seen, by the host's clock.
    #[serde(default)]
    pub moved_at: Option<Timestamp>,
}

/// A sighting and when it was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighted {
    height: Height,
    taken_at: Timestamp,
    moved_at: Timestamp,
}

impl Sighted {
    /// The highest block that a claim is believed about: the chain makes no more than one a second in the long run.
    fn believed(&self, now: Timestamp) -> Height {
        let age = now.duration_since(self.taken_at).as_secs();
        let passed = u64::try_from(age).unwrap_or(0);
        Height(self.height.0.saturating_add(AHEAD).saturating_add(passed))
    }
}

impl Provider {
    /// The sighting to keep for a tip that was just read.
    pub(super) async fn sighting(&self, tip: &Tip, now: Timestamp) -> TipSighting {
        let before = match self.sighted() {
            Some(before) => Some(before),
            None => self.stored_sighting().await,
        };
        let moved_at = before
            .filter(|before| before.height == tip.height)
            .map_or(now, |before| before.moved_at);
        self.set_sighted(Sighted { height: tip.height, taken_at: now, moved_at });
        TipSighting { tip: tip.clone(), moved_at: Some(moved_at) }
    }

    /// The highest block that a claim is believed about now; `None` while no node has ever answered. The store is asked only
    /// when this process knows no tip, or too low a one for what is `claimed`: another process may have looked since.
    pub(super) async fn believed(&self, claimed: Option<Height>, now: Timestamp) -> Option<Height> {
        let known = self.sighted().map(|sighted| sighted.believed(now));
        let suffices = known.is_some_and(|known| claimed.is_none_or(|claimed| claimed <= known));
        if suffices {
            return known;
        }
        // Where nothing was ever seen, every delivery would look for it.
        let looked = self.looked_for_tip.load(Ordering::Relaxed);
        if known.is_none() && now.as_microsecond().saturating_sub(looked).unsigned_abs() < LOOK_US {
            return None;
        }
        let stored = self.stored_sighting().await;
        if stored.is_none() {
            self.looked_for_tip.store(now.as_microsecond(), Ordering::Relaxed);
        }
        if let Some(stored) = stored
            && self.sighted().is_none_or(|known| known.height < stored.height)
        {
            self.set_sighted(stored);
        }
        known.max(stored.map(|stored| stored.believed(now)))
    }

    fn sighted(&self) -> Option<Sighted> {
        *self.sighted.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_sighted(&self, sighted: Sighted) {
        *self.sighted.write().unwrap_or_else(PoisonError::into_inner) = Some(sighted);
    }

    async fn stored_sighting(&self) -> Option<Sighted> {
        let found = self.store.observation("tip").await.ok().flatten()?;
        let sighting: TipSighting = serde_json::from_value(found.body).ok()?;
        Some(Sighted {
            height: sighting.tip.height,
            taken_at: found.taken_at,
            moved_at: sighting.moved_at.unwrap_or(found.taken_at),
        })
    }
}
