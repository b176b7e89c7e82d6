//! How many subjects wait for a step, without counting them for every delivery.
//!
//! Between two counts the number is estimated too high: every wake counts as a new subject. So a delivery is refused on an
//! exact count only.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// How long a count is built on; steps of other processes change the number too.
const COUNT_AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// An upper bound of what waits.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Option<Counted>>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    at: Timestamp,
    /// What was counted, and every wake since.
    at_most: u64,
}

impl Waiting {
    /// Whether so many more stay below the limit for sure; they are added then. If not, the rows must be counted.
    pub(super) fn has_room(&self, more: u64, limit: u64, now: Timestamp) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counted) = held.as_mut() else { return false };
        let at_most = counted.at_most.saturating_add(more);
        if now.duration_since(counted.at).abs() >= COUNT_AGAIN || at_most >= limit {
            return false;
        }
        counted.at_most = at_most;
        true
    }

    /// What the rows say, with those that are about to be added.
    pub(super) fn counted(&self, at_most: u64, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Counted { at: now, at_most });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_until_the_estimate_reaches_the_limit_or_the_count_is_old() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let waiting = Waiting::default();
        assert!(!waiting.has_room(1, 10, at(0)), "nothing was counted yet");
        waiting.counted(5, at(0));
        assert!(waiting.has_room(4, 10, at(0)));
        assert!(!waiting.has_room(1, 10, at(0)), "nine and one more is the limit");
        assert!(waiting.has_room(0, 10, at(0)));
        waiting.counted(1, at(0));
        assert!(!waiting.has_room(1, 10, at(1)), "a second later");
    }
}
