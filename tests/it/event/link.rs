//! Blocks in order, out of order, twice, in parts, and not at all.

use lessor::{
    domain::Height,
    event::{
        BlockEvent, BlockHash, BlockRef,
        envelope::Rewind,
        link::{Gap, Link, MAX_AHEAD, Outcome, RewindVerdict},
    },
};
use proptest::prelude::*;

/// A block's hash is its height, so that links are right unless a test says otherwise.
fn at(height: u64) -> BlockRef {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&height.to_be_bytes());
    BlockRef { height: Height(height), hash: BlockHash(hash) }
}

fn block(prev: Option<u64>, height: u64) -> BlockEvent {
    BlockEvent {
        chain_id: "local".to_owned(),
        at: at(height),
        prev: prev.map(at),
        cursor: None,
        complete: true,
        part: 0,
        parts: 1,
        events: Vec::new(),
    }
}

fn part(prev: Option<u64>, height: u64, part: u32, parts: u32) -> BlockEvent {
    BlockEvent { part, parts, ..block(prev, height) }
}

fn gap(from: u64, to: u64) -> Gap {
    Gap { from: Height(from), to: Height(to) }
}

fn forked(block: BlockEvent) -> BlockEvent {
    let hash = BlockHash([0xFF; 32]);
    BlockEvent { at: BlockRef { hash, ..block.at }, ..block }
}

/// Heights with holes between them: a filtered stream.
fn stream(steps: &[u64]) -> Vec<BlockEvent> {
    let heights: Vec<u64> = steps
        .iter()
        .scan(0, |height, step| {
            *height += step;
            Some(*height)
        })
        .collect();
    let prevs = std::iter::once(None).chain(heights.iter().map(|height| Some(*height)));
    prevs.zip(&heights).map(|(prev, height)| block(prev, *height)).collect()
}

#[test]
fn blocks_that_join_move_the_cursor_and_earlier_ones_do_not() {
    let mut link = Link::default();
    assert_eq!(link.receive(&block(None, 10)), Outcome::Begun);
    assert_eq!(link.receive(&block(Some(10), 14)), Outcome::Advanced { closed_gap: false });
    for earlier in [block(Some(10), 14), block(None, 10), block(Some(3), 5), block(Some(10), 12)] {
        assert_eq!(link.receive(&earlier), Outcome::Duplicate);
    }
    assert_eq!(link.cursor(), Some(at(14)));
    assert_eq!(link.gap(), None);
}

#[test]
fn a_link_that_does_not_join_opens_one_gap_from_the_cursor_and_what_is_missing_closes_it() {
    let mut link = Link::at(at(10));
    let opened = |opened| Outcome::Gap { gap: gap(11, 16), opened };
    assert_eq!(link.receive(&block(Some(16), 20)), opened(true));
    assert_eq!(link.receive(&block(Some(20), 23)), opened(false));
    assert_eq!(link.receive(&block(Some(25), 26)), opened(false));
    assert_eq!(link.cursor(), Some(at(10)));
    assert_eq!(link.receive(&block(Some(10), 13)), Outcome::Advanced { closed_gap: false });
    assert_eq!(link.gap(), Some(gap(14, 16)));
    assert_eq!(link.receive(&block(Some(13), 16)), Outcome::Advanced { closed_gap: true });
    assert_eq!(link.cursor(), Some(at(23)));
    assert_eq!(link.gap(), Some(gap(24, 25)));
    assert_eq!(link.receive(&block(Some(23), 25)), Outcome::Advanced { closed_gap: true });
    assert_eq!((link.cursor(), link.gap()), (Some(at(26)), None));
}

#[test]
fn an_indexer_that_forgot_its_place_opens_a_gap_that_a_backfill_closes() {
    let mut link = Link::at(at(10));
    assert_eq!(link.receive(&block(None, 20)), Outcome::Gap { gap: gap(11, 19), opened: true });
    assert!(!link.backfilled(at(15)));
    assert_eq!(link.gap(), Some(gap(16, 19)));
    assert!(link.backfilled(at(19)));
    assert_eq!((link.cursor(), link.gap()), (Some(at(20)), None));
    assert_eq!(link.receive(&block(None, 21)), Outcome::Advanced { closed_gap: false });
}

#[test]
fn the_cursor_moves_when_all_parts_are_in_whatever_their_order() {
    let mut link = Link::at(at(10));
    assert_eq!(link.receive(&part(Some(10), 12, 2, 3)), Outcome::Waiting { missing: 2 });
    assert_eq!(link.receive(&part(Some(10), 12, 2, 3)), Outcome::Duplicate);
    assert_eq!(link.receive(&block(Some(12), 13)), Outcome::Gap { gap: gap(11, 12), opened: true });
    assert_eq!(link.receive(&part(Some(10), 12, 0, 3)), Outcome::Waiting { missing: 1 });
    assert_eq!(link.receive(&part(Some(10), 12, 1, 3)), Outcome::Advanced { closed_gap: true });
    assert_eq!(link.cursor(), Some(at(13)));
}

#[test]
fn a_stream_that_begins_with_a_block_in_parts_waits_for_it() {
    let mut link = Link::default();
    assert_eq!(link.receive(&part(None, 5, 0, 2)), Outcome::Waiting { missing: 1 });
    assert_eq!(link.receive(&block(Some(5), 6)), Outcome::Gap { gap: gap(5, 5), opened: true });
    assert_eq!(link.receive(&part(None, 5, 1, 2)), Outcome::Begun);
    assert_eq!(link.cursor(), Some(at(6)));
}

#[test]
fn a_block_that_the_indexer_could_not_read_whole_leaves_a_hole() {
    let mut link = Link::at(at(10));
    let incomplete = BlockEvent { complete: false, ..block(Some(10), 11) };
    assert_eq!(link.receive(&incomplete), Outcome::Incomplete);
    assert_eq!(link.receive(&block(Some(11), 12)), Outcome::Gap { gap: gap(11, 11), opened: true });
    assert_eq!(link.receive(&block(Some(10), 11)), Outcome::Advanced { closed_gap: true });
}

#[test]
fn another_hash_for_a_known_block_is_a_conflict_and_moves_nothing() {
    let mut link = Link::at(at(10));
    link.receive(&block(Some(14), 15));
    link.receive(&part(Some(15), 17, 0, 2));
    let before = link.clone();
    let wrong_prev = |height: u64, prev: u64| BlockEvent {
        prev: Some(forked(block(None, prev)).at),
        ..block(None, height)
    };
    for (other, height) in [
        (forked(block(None, 10)), 10),
        (wrong_prev(12, 10), 10),
        (forked(block(Some(14), 15)), 15),
        (wrong_prev(16, 15), 15),
        (forked(block(Some(10), 14)), 14),
        (forked(part(Some(15), 17, 1, 2)), 17),
    ] {
        let outcome = link.receive(&other);
        assert!(
            matches!(outcome, Outcome::Conflict { height: found, .. } if found == Height(height)),
            "{outcome:?} for block {height}"
        );
        assert_eq!(link, before);
    }
}

#[test]
fn blocks_ahead_are_kept_up_to_a_bound_and_the_rest_shows_as_a_gap_again() {
    let mut link = Link::at(at(1));
    let last = 1 + 10 * (MAX_AHEAD as u64 + 5);
    for height in (11..=last).step_by(10) {
        link.receive(&block(Some(height - 1), height));
    }
    let kept = link.highest().unwrap().height.0;
    assert_eq!(kept, 1 + 10 * MAX_AHEAD as u64);
    assert!(link.backfilled(at(kept)));
    assert_eq!(link.gap(), None);
    assert_eq!(
        link.receive(&block(Some(last), last + 1)),
        Outcome::Gap { gap: gap(kept + 1, last), opened: true }
    );
}

#[test]
fn a_short_rewind_marks_and_a_long_one_waits_for_an_operator() {
    let rewind = |to| Rewind { to: at(to), reason: "a wrong fork".to_owned() };
    let mut link = Link::at(at(100));
    assert_eq!(link.judge_rewind(&rewind(100), 10), RewindVerdict::Nothing);
    assert_eq!(link.judge_rewind(&rewind(90), 10), RewindVerdict::Mark(gap(91, 100)));
    assert_eq!(link.judge_rewind(&rewind(89), 10), RewindVerdict::NeedsApproval(gap(90, 100)));
    assert_eq!(link, Link::at(at(100)), "a verdict moves nothing");
    link.rewound(at(90));
    assert_eq!(link.receive(&block(Some(90), 95)), Outcome::Advanced { closed_gap: false });
}

#[test]
fn what_is_stored_of_a_stream_is_what_was_there() {
    let mut link = Link::at(at(10));
    link.receive(&block(Some(14), 15));
    link.receive(&part(Some(15), 17, 1, 2));
    let stored = serde_json::to_string(&link).unwrap();
    assert_eq!(serde_json::from_str::<Link>(&stored).unwrap(), link);
}

proptest! {
    #[test]
    fn any_order_with_any_repetition_ends_at_the_last_block_without_a_gap(
        steps in prop::collection::vec(1_u64..9, 1..40),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        seed: u64,
    ) {
        let blocks = stream(&steps);
        let mut order: Vec<&BlockEvent> =
            blocks.iter().chain(repeats.iter().map(|index| index.get(&blocks))).collect();
        // A fixed shuffle by seed: the first block begins the stream, whatever comes after it.
        order[1..].sort_by_key(|block| (block.at.height.0 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut link = Link::default();
        for block in order {
            let before = link.cursor();
            let outcome = link.receive(block);
            let refused = matches!(outcome, Outcome::Conflict { .. } | Outcome::Incomplete);
            prop_assert!(!refused, "{:?}", outcome);
            prop_assert!(link.cursor().map(|cursor| cursor.height) >= before.map(|cursor| cursor.height));
        }
        prop_assert_eq!(link.cursor(), blocks.last().map(|block| block.at));
        prop_assert_eq!(link.gap(), None);
        prop_assert_eq!(link, Link::at(blocks.last().unwrap().at));
    }

    #[test]
    fn a_missing_block_is_always_a_gap_that_it_alone_closes(
        steps in prop::collection::vec(1_u64..9, 3..40), missing: prop::sample::Index,
    ) {
        let blocks = stream(&steps);
        let missing = 1 + missing.index(blocks.len() - 2);
        let mut link = Link::default();
        for (i, block) in blocks.iter().enumerate() {
            if i != missing {
                link.receive(block);
            }
        }
        let hole = &blocks[missing];
        let from = blocks[missing - 1].at.height.0 + 1;
        prop_assert_eq!(link.gap(), Some(gap(from, hole.at.height.0)));
        prop_assert_eq!(link.receive(hole), Outcome::Advanced { closed_gap: true });
        prop_assert_eq!(link.cursor(), blocks.last().map(|block| block.at));
    }

    #[test]
    fn a_prefix_that_comes_again_changes_nothing(steps in prop::collection::vec(1_u64..9, 1..30), upto: prop::sample::Index) {
        let blocks = stream(&steps);
        let mut link = Link::default();
        for block in &blocks {
            link.receive(block);
        }
        let before = link.clone();
        for block in &blocks[..=upto.index(blocks.len())] {
            prop_assert_eq!(link.receive(block), Outcome::Duplicate);
        }
        prop_assert_eq!(link, before);
    }
}
