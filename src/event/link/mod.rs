//! Where a stream stands: what has come without a hole (the *cursor*), what came ahead of it, when it was last heard.
//! A value that the store keeps per stream, and pure functions on it.
//!
//! It judges order and completeness only. The events of a block are stored and worked on whatever the verdict here is,
//! because events are hints; a hole costs a backfill, never a decision.
//!
//! The one surprising fact: while a gap is open the cursor stays where it is, so there is at most one gap, from the
//! cursor up to the first block that came ahead; a second hole shows once the first is closed.

mod join;

use jiff::Timestamp;
pub use join::{Gap, Link, MAX_AHEAD, MAX_PARTIAL, Outcome, RewindVerdict};
use serde::{Deserialize, Serialize};

use super::{
    envelope::{BlockRef, CloudEvent, Payload},
    freshness::Sightings,
};
use crate::domain::Height;

/// A stream's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamState {
    /// Cursor and gap.
    pub link: Link,
    /// Since when the gap is open.
    pub gap_since: Option<Timestamp>,
    /// When the last delivery came, by the host's clock.
    pub heard_at: Option<Timestamp>,
    /// The last heartbeat.
    pub heartbeat: Option<LastHeartbeat>,
    /// The last rewind, until it is reconciled.
    pub rewind: Option<PendingRewind>,
}

/// What the last heartbeat said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastHeartbeat {
    /// The newest block that the indexer has read.
    pub tip: Height,
    /// That block's time.
    pub tip_time: Timestamp,
    /// When the heartbeat came, by the host's clock.
    pub at: Timestamp,
}

/// A rewind that came: the events above `to` are unverified until they are compared with the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRewind {
    /// The last block that still stands.
    pub to: BlockRef,
    /// The heights whose events are unverified.
    pub marked: Gap,
    /// Whether an operator must agree before the stream goes on from `to`.
    pub needs_approval: bool,
    /// The indexer's words.
    pub reason: String,
    /// When it came, by the host's clock.
    pub at: Timestamp,
}

/// What one `CloudEvent` did to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A block.
    Block(Outcome),
    /// A rewind.
    Rewind(RewindVerdict),
    /// A heartbeat, or a type that lessor does not know.
    Nothing,
}

impl StreamState {
    /// The last block up to which nothing is missing; also what the next block's `prev` should be.
    #[must_use]
    pub const fn cursor(&self) -> Option<BlockRef> {
        self.link.cursor()
    }

    /// Takes in the events of one delivery in their order, at `now`. A rewind of at most `automatic_rewind` blocks is
    /// gone along with (and marked), a longer one waits for [`Self::accept_rewind`].
    pub fn take(
        &mut self,
        events: &[CloudEvent],
        automatic_rewind: u64,
        now: Timestamp,
    ) -> Vec<Change> {
        self.heard_at = Some(now);
        let changes =
            events.iter().map(|event| self.take_one(event, automatic_rewind, now)).collect();
        self.note_gap(now);
        changes
    }

    /// As [`Link::backfilled`].
    pub fn backfilled(&mut self, through: BlockRef, now: Timestamp) -> bool {
        let closed = self.link.backfilled(through);
        self.note_gap(now);
        closed
    }

    /// An operator agrees with the rewind that waits: the stream goes on from its block.
    pub fn accept_rewind(&mut self, now: Timestamp) {
        if let Some(rewind) = self.rewind.as_mut().filter(|rewind| rewind.needs_approval) {
            rewind.needs_approval = false;
            self.link.rewound(rewind.to);
            self.note_gap(now);
        }
    }

    /// The marked events have been compared with the chain.
    pub fn reconciled(&mut self) {
        if self.rewind.as_ref().is_some_and(|rewind| !rewind.needs_approval) {
            self.rewind = None;
        }
    }

    /// What a verdict on freshness needs of the stream; the rest is the node's.
    #[must_use]
    pub fn sightings(&self, node: Option<(Height, Timestamp)>) -> Sightings {
        Sightings {
            heard_at: self.heard_at,
            indexer_tip: self.indexer_tip(),
            node_tip: node.map(|(tip, _)| tip),
            node_moved_at: node.map(|(_, moved_at)| moved_at),
        }
    }

    /// The highest block that the indexer is known to have read.
    #[must_use]
    pub fn indexer_tip(&self) -> Option<Height> {
        let said = self.heartbeat.map(|heartbeat| heartbeat.tip);
        said.max(self.link.highest().map(|block| block.height))
    }

    fn take_one(&mut self, event: &CloudEvent, automatic_rewind: u64, now: Timestamp) -> Change {
        match &event.payload {
            Payload::Block(block) => Change::Block(self.link.receive(block)),
            Payload::Heartbeat(heartbeat) => {
                self.heartbeat = Some(LastHeartbeat {
                    tip: heartbeat.tip_height,
                    tip_time: heartbeat.tip_time,
                    at: now,
                });
                Change::Nothing
            }
            Payload::Rewind(rewind) => {
                let verdict = self.link.judge_rewind(rewind, automatic_rewind);
                let (marked, needs_approval) = match verdict {
                    RewindVerdict::Nothing => return Change::Rewind(verdict),
                    RewindVerdict::Mark(marked) => (marked, false),
                    RewindVerdict::NeedsApproval(marked) => (marked, true),
                };
                if !needs_approval {
                    self.link.rewound(rewind.to);
                }
                let reason = rewind.reason.clone();
                self.rewind =
                    Some(PendingRewind { to: rewind.to, marked, needs_approval, reason, at: now });
                Change::Rewind(verdict)
            }
            Payload::Unknown { .. } => Change::Nothing,
        }
    }

    fn note_gap(&mut self, now: Timestamp) {
        self.gap_since = self.link.gap().and(self.gap_since.or(Some(now)));
    }
}
