//! Whether the blocks of a stream join: what has come without a hole (the *cursor*), what came ahead of it, what is
//! still in parts. A value that the store keeps per stream, and pure functions on it.
//!
//! It judges order and completeness only. The events of a block are stored and worked on whatever the verdict here is,
//! because events are hints; a hole costs a backfill, never a decision.
//!
//! The one surprising fact: while a gap is open the cursor stays where it is, so there is at most one gap, from the
//! cursor up to the first block that came ahead; a second hole shows once the first is closed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    envelope::{BlockEvent, BlockRef, Rewind},
    hash::BlockHash,
};
use crate::domain::Height;

/// The most separate runs of blocks that are kept ahead of the cursor; the highest are forgotten beyond it and show as
/// a gap again later.
pub const MAX_AHEAD: usize = 64;
/// The most blocks of which only some parts are here.
pub const MAX_PARTIAL: usize = 16;

/// How far a stream has come without a hole, and what came ahead.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    cursor: Option<BlockRef>,
    ahead: Vec<Run>,
    partial: Vec<Partial>,
}

/// Blocks ahead of the cursor that join each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    prev: Option<BlockRef>,
    first: Height,
    last: BlockRef,
}

/// A block of which not all parts are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Partial {
    at: BlockRef,
    prev: Option<BlockRef>,
    parts: u32,
    seen: BTreeSet<u32>,
    complete: bool,
}

/// The heights between which blocks of the stream are missing, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The first height above the cursor.
    pub from: Height,
    /// The last height that can be missing.
    pub to: Height,
}

/// What a block did to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The stream's first block here; the cursor is on it.
    Begun,
    /// It joined; the cursor moved to it, or further when blocks were waiting ahead.
    Advanced {
        /// Whether the gap that was open is closed now (another may be open behind it).
        closed_gap: bool,
    },
    /// At or below the cursor, or here already; nothing moved.
    Duplicate,
    /// It does not join.
    Gap {
        /// What is missing.
        gap: Gap,
        /// Whether this block opened it.
        opened: bool,
    },
    /// A part; others are missing.
    Waiting {
        /// How many parts are missing.
        missing: u32,
    },
    /// The indexer says that it could not read the whole block; nothing moved, so the next block opens a gap.
    Incomplete,
    /// Another hash for a block that is known: another chain, a fork, or a mistake. Nothing moved.
    Conflict {
        /// The block.
        height: Height,
        /// The hash that is known.
        known: BlockHash,
        /// The hash that was given.
        given: BlockHash,
    },
}

/// What a rewind asks for. Whatever it says, rows are marked unverified and compared with the chain; nothing is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewindVerdict {
    /// Nothing above that block has come.
    Nothing,
    /// The events of these heights are unverified.
    Mark(Gap),
    /// As [`Self::Mark`], and an operator must agree first: it is more blocks than may be rewound alone.
    NeedsApproval(Gap),
}

fn above(height: Height) -> Height {
    Height(height.0.saturating_add(1))
}

fn below(height: Height) -> Height {
    Height(height.0.saturating_sub(1))
}

/// A conflict when both are the same height and not the same block.
fn conflict(known: BlockRef, given: BlockRef) -> Option<Outcome> {
    (known.height == given.height && known.hash != given.hash).then_some(Outcome::Conflict {
        height: given.height,
        known: known.hash,
        given: given.hash,
    })
}

impl Run {
    /// Whether nothing is missing between `cursor` and this run.
    fn joins(&self, cursor: Height) -> bool {
        self.first <= above(cursor) || self.prev.is_some_and(|prev| prev.height <= cursor)
    }

    fn contains(&self, height: Height) -> bool {
        (self.first..=self.last.height).contains(&height)
    }
}

impl Link {
    /// A stream that stands at `cursor`.
    #[must_use]
    pub fn at(cursor: BlockRef) -> Self {
        Self { cursor: Some(cursor), ..Self::default() }
    }

    /// The last block up to which nothing is missing: what the next block's `prev` should be.
    #[must_use]
    pub const fn cursor(&self) -> Option<BlockRef> {
        self.cursor
    }

    /// The open gap.
    #[must_use]
    pub fn gap(&self) -> Option<Gap> {
        let run = self.ahead.first()?;
        let from = self.cursor.map(|cursor| above(cursor.height)).or_else(|| {
            // Blocks came ahead of the first block, whose parts are not all here.
            self.partial.iter().map(|partial| partial.at.height).min()
        });
        let to = run.prev.map_or(below(run.first), |prev| prev.height);
        Some(Gap { from: from.unwrap_or(to), to })
    }

    /// The highest block that has come whole, joined or not.
    #[must_use]
    pub fn highest(&self) -> Option<BlockRef> {
        self.ahead.last().map(|run| run.last).or(self.cursor)
    }

    /// Takes in a block or a part of one.
    pub fn receive(&mut self, block: &BlockEvent) -> Outcome {
        if let Some(outcome) = self.known(block.at) {
            return outcome;
        }
        if let Some(outcome) = self.contradiction(block.at, block.prev) {
            return outcome;
        }
        let complete = if block.parts > 1 {
            match self.part(block) {
                Ok(complete) => complete,
                Err(outcome) => return outcome,
            }
        } else {
            block.complete
        };
        if !complete {
            return Outcome::Incomplete;
        }
        self.partial.retain(|partial| partial.at.height != block.at.height);
        self.place(block.at, block.prev)
    }

    /// Every block of the stream up to `through` has been read from the chain or the indexer. Returns whether an open
    /// gap is closed by it.
    pub fn backfilled(&mut self, through: BlockRef) -> bool {
        if self.cursor.is_some_and(|cursor| through.height <= cursor.height) {
            return false;
        }
        self.advance(through)
    }

    /// Gives up the open gap: its blocks are not asked for. Returns whether there was one.
    pub fn give_up_gap(&mut self) -> bool {
        let Some(last) = self.ahead.first().map(|run| run.last) else { return false };
        self.advance(last)
    }

    /// Forgets what is above `limit`, a height that the chain cannot have reached: what was taken at its word before our own
    /// node could be asked. A cursor up there is no cursor; the stream begins anew with its next block. Returns whether
    /// anything was forgotten.
    pub fn forget_above(&mut self, limit: Height) -> bool {
        if self.cursor.is_some_and(|cursor| cursor.height > limit) {
            *self = Self::default();
            return true;
        }
        let kept = self.ahead.len() + self.partial.len();
        self.ahead.retain(|run| run.last.height <= limit);
        self.partial.retain(|partial| partial.at.height <= limit);
        self.ahead.len() + self.partial.len() < kept
    }

    /// What `rewind` asks for, when more than `automatic` blocks need an operator.
    #[must_use]
    pub fn judge_rewind(&self, rewind: &Rewind, automatic: u64) -> RewindVerdict {
        let highest = self.highest().map(|block| block.height);
        let Some(to) = highest.filter(|highest| rewind.to.height < *highest) else {
            return RewindVerdict::Nothing;
        };
        let marked = Gap { from: above(rewind.to.height), to };
        if to.0 - rewind.to.height.0 > automatic {
            RewindVerdict::NeedsApproval(marked)
        } else {
            RewindVerdict::Mark(marked)
        }
    }

    /// Goes on from `to`, once a rewind is accepted (and its rows are marked): what came above it is to come again.
    pub fn rewound(&mut self, to: BlockRef) {
        self.ahead.retain(|run| run.last.height <= to.height);
        self.partial.retain(|partial| partial.at.height <= to.height);
        if self.cursor.is_some_and(|cursor| to.height <= cursor.height) {
            self.cursor = Some(to);
        }
    }

    /// A duplicate or another block of the same height.
    fn known(&self, at: BlockRef) -> Option<Outcome> {
        if let Some(cursor) = self.cursor.filter(|cursor| at.height <= cursor.height) {
            return conflict(cursor, at).or(Some(Outcome::Duplicate));
        }
        let run = self.ahead.iter().find(|run| run.contains(at.height))?;
        conflict(run.last, at).or(Some(Outcome::Duplicate))
    }

    /// A hash that contradicts what is known of the neighbours.
    fn contradiction(&self, at: BlockRef, prev: Option<BlockRef>) -> Option<Outcome> {
        let before = self.cursor.into_iter().chain(self.ahead.iter().map(|run| run.last));
        let behind = self.ahead.iter().filter_map(|run| run.prev);
        let in_parts = self.partial.iter().map(|partial| partial.at);
        prev.and_then(|prev| before.into_iter().find_map(|known| conflict(known, prev)))
            .or_else(|| behind.into_iter().find_map(|known| conflict(known, at)))
            .or_else(|| in_parts.into_iter().find_map(|known| conflict(known, at)))
    }

    /// Notes a part. `Ok` with the last part's `complete` once all are in.
    fn part(&mut self, block: &BlockEvent) -> Result<bool, Outcome> {
        let known = self
            .partial
            .iter()
            .position(|partial| partial.at == block.at && partial.parts == block.parts);
        let index = known.unwrap_or_else(|| self.begin_parts(block));
        let partial = &mut self.partial[index];
        let fresh = partial.seen.insert(block.part);
        if block.part + 1 == block.parts {
            partial.complete = block.complete;
        }
        let seen = u32::try_from(partial.seen.len()).unwrap_or(u32::MAX);
        let missing = partial.parts.saturating_sub(seen);
        if missing == 0 {
            Ok(self.partial.remove(index).complete)
        } else if fresh {
            Err(Outcome::Waiting { missing })
        } else {
            Err(Outcome::Duplicate)
        }
    }

    /// Begins a block in parts (again, when it now has another number of them) and returns where it is.
    fn begin_parts(&mut self, block: &BlockEvent) -> usize {
        self.partial.retain(|partial| partial.at.height != block.at.height);
        if self.partial.len() >= MAX_PARTIAL {
            self.partial.remove(0);
        }
        self.partial.push(Partial {
            at: block.at,
            prev: block.prev,
            parts: block.parts,
            seen: BTreeSet::new(),
            complete: false,
        });
        self.partial.len() - 1
    }

    fn place(&mut self, at: BlockRef, prev: Option<BlockRef>) -> Outcome {
        let run = Run { prev, first: at.height, last: at };
        let joins = match self.cursor {
            Some(cursor) => run.joins(cursor.height),
            // The stream begins with its lowest block that has come; one in parts below this one is waited for.
            None => !self.partial.iter().any(|partial| partial.at.height < at.height),
        };
        if !joins {
            let opened = self.ahead.is_empty();
            self.keep_ahead(run);
            return self.gap().map_or(Outcome::Duplicate, |gap| Outcome::Gap { gap, opened });
        }
        let begun = self.cursor.is_none();
        let closed_gap = self.advance(at);
        if begun { Outcome::Begun } else { Outcome::Advanced { closed_gap } }
    }

    /// Moves the cursor to `at` and over the runs that join it. Returns whether the open gap is closed.
    fn advance(&mut self, at: BlockRef) -> bool {
        let mut cursor = at;
        let joined = self
            .ahead
            .iter()
            .take_while(|run| {
                let joins = run.joins(cursor.height);
                if joins && run.last.height > cursor.height {
                    cursor = run.last;
                }
                joins
            })
            .count();
        self.ahead.drain(..joined);
        self.partial.retain(|partial| partial.at.height > cursor.height);
        self.cursor = Some(cursor);
        joined > 0
    }

    fn keep_ahead(&mut self, run: Run) {
        let index = self.ahead.partition_point(|other| other.first < run.first);
        self.ahead.insert(index, run);
        let mut merged: Vec<Run> = Vec::with_capacity(self.ahead.len());
        for run in self.ahead.drain(..) {
            match merged.last_mut() {
                Some(before) if run.joins(before.last.height) => before.last = run.last,
                _ => merged.push(run),
            }
        }
        merged.truncate(MAX_AHEAD);
        self.ahead = merged;
    }
}
