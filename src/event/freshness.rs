//! Whether a stream can be trusted to tell what happens now: a pure verdict on when it was last heard and on how far
//! the indexer and our own node have read.
//!
//! The one surprising fact: silence alone does not tell a dead indexer from a dead chain; our node's own tip does.

use jiff::{SignedDuration, Timestamp};

use crate::domain::Height;

/// What is known of a stream and of the node that lessor itself reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sightings {
    /// When the last delivery or heartbeat with a right signature came.
    pub heard_at: Option<Timestamp>,
    /// The newest block that the indexer says it has read.
    pub indexer_tip: Option<Height>,
    /// Our node's newest block.
    pub node_tip: Option<Height>,
    /// When that was first seen.
    pub node_moved_at: Option<Timestamp>,
    /// When the node answered last.
    pub node_seen_at: Option<Timestamp>,
}

/// How long is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Without a delivery or heartbeat the stream is deaf.
    pub silence: SignedDuration,
    /// Without a new block at our node the chain stands still; without an answer the node is silent.
    pub standstill: SignedDuration,
    /// The indexer may be this many blocks behind our node.
    pub lag: u64,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// It is heard, and the indexer keeps up.
    Live,
    /// Nothing was heard for too long although our node goes on (or says nothing).
    Deaf {
        /// When it was last heard; never, for a stream that never was.
        since: Option<Timestamp>,
    },
    /// Our node's tip stands still and nobody says that the chain goes on.
    Halted {
        /// The last block.
        tip: Height,
        /// When it was first seen.
        since: Timestamp,
    },
    /// It is heard, and our node gives no answer: nobody can say whether the indexer keeps up, or whether the chain goes on.
    NodeSilent {
        /// When the node answered last.
        since: Timestamp,
    },
    /// It is heard, and the indexer is too far behind our node.
    Behind {
        /// By how many blocks.
        blocks: u64,
    },
}

impl Freshness {
    /// One word for metrics and JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deaf { .. } => "deaf",
            Self::Halted { .. } => "halted",
            Self::NodeSilent { .. } => "node_silent",
            Self::Behind { .. } => "behind",
        }
    }
}

impl Patience {
    /// For a chain that makes a block each `block_interval`: a stream is deaf after `blocks` block times, and not
    /// before three heartbeats of `heartbeat` are missing.
    #[must_use]
    pub fn of(block_interval: SignedDuration, blocks: u16, heartbeat: SignedDuration) -> Self {
        let of_blocks = block_interval.saturating_mul(i32::from(blocks));
        let silence = of_blocks.max(heartbeat.saturating_mul(3));
        Self { silence, standstill: of_blocks, lag: u64::from(blocks) }
    }
}

/// The verdict at `now`.
#[must_use]
pub fn judge(sightings: &Sightings, patience: &Patience, now: Timestamp) -> Freshness {
    let passed = |since: Timestamp, limit| now.duration_since(since) > limit;
    let silent = sightings.heard_at.is_none_or(|heard| passed(heard, patience.silence));
    let indexer_ahead = !silent && sightings.indexer_tip > sightings.node_tip;
    let node_is_young = sightings.node_seen_at.is_some_and(|at| !passed(at, patience.standstill));
    if let (Some(tip), Some(since)) = (sightings.node_tip, sightings.node_moved_at)
        && node_is_young
        && passed(since, patience.standstill)
        && !indexer_ahead
    {
        return Freshness::Halted { tip, since };
    }
    if silent {
        return Freshness::Deaf { since: sightings.heard_at };
    }
    if let Some(since) = sightings.node_seen_at
        && !node_is_young
    {
        return Freshness::NodeSilent { since };
    }
    let behind = sightings
        .node_tip
        .zip(sightings.indexer_tip)
        .map(|(node, indexer)| node.0.saturating_sub(indexer.0));
    match behind {
        Some(blocks) if blocks > patience.lag => Freshness::Behind { blocks },
        _ => Freshness::Live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const PATIENCE: Patience = Patience {
        silence: SignedDuration::from_secs(90),
        standstill: SignedDuration::from_secs(60),
        lag: 10,
    };

    fn sightings(heard: i64, indexer: u64, node: u64, moved: i64) -> Sightings {
        Sightings {
            heard_at: Some(at(heard)),
            indexer_tip: Some(Height(indexer)),
            node_tip: Some(Height(node)),
            node_moved_at: Some(at(moved)),
            node_seen_at: Some(at(1095)),
        }
    }

    #[test]
    fn a_stream_that_is_heard_and_keeps_up_is_live() {
        assert_eq!(judge(&sightings(1000, 95, 100, 1000), &PATIENCE, at(1010)), Freshness::Live);
    }

    #[test]
    fn silence_while_the_node_goes_on_is_deaf_and_while_it_stands_still_is_halted() {
        assert_eq!(
            judge(&sightings(1000, 95, 100, 1095), &PATIENCE, at(1100)),
            Freshness::Deaf { since: Some(at(1000)) }
        );
        assert_eq!(
            judge(&sightings(1000, 100, 100, 1000), &PATIENCE, at(1100)),
            Freshness::Halted { tip: Height(100), since: at(1000) }
        );
        assert_eq!(
            judge(&Sightings::default(), &PATIENCE, at(1100)),
            Freshness::Deaf { since: None }
        );
    }

    #[test]
    fn a_node_that_gives_no_answer_is_silent_and_not_a_chain_that_stands_still() {
        let heard = Sightings { node_seen_at: Some(at(1000)), ..sightings(1099, 100, 100, 900) };
        assert_eq!(judge(&heard, &PATIENCE, at(1100)), Freshness::NodeSilent { since: at(1000) });
        let unheard = Sightings { heard_at: Some(at(1000)), ..heard };
        assert_eq!(judge(&unheard, &PATIENCE, at(1100)), Freshness::Deaf { since: Some(at(1000)) });
    }

    #[test]
    fn heartbeats_with_the_same_tip_over_a_node_that_stands_still_are_a_halted_chain() {
        assert_eq!(
            judge(&sightings(1099, 100, 100, 1000), &PATIENCE, at(1100)),
            Freshness::Halted { tip: Height(100), since: at(1000) }
        );
    }

    #[test]
    fn an_indexer_that_goes_on_over_a_node_that_stands_still_is_live() {
        assert_eq!(judge(&sightings(1099, 130, 100, 1000), &PATIENCE, at(1100)), Freshness::Live);
    }

    #[test]
    fn an_indexer_that_is_heard_and_far_below_the_node_is_behind() {
        assert_eq!(
            judge(&sightings(1099, 80, 100, 1099), &PATIENCE, at(1100)),
            Freshness::Behind { blocks: 20 }
        );
    }
}
