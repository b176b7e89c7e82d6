//! Moments and draws that depend on nothing but their arguments.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// The moment `ms` milliseconds after `at`, or the last one there is.
pub(super) fn later(at: Timestamp, ms: u64) -> Timestamp {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    at.checked_add(SignedDuration::from_millis(ms)).unwrap_or(Timestamp::MAX)
}

/// The very next moment.
pub(super) fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX)
}

/// Whole steps of `ms` milliseconds from `from` to `to`; 0 when `to` is earlier.
pub(super) fn steps_between(from: Timestamp, to: Timestamp, ms: u64) -> u64 {
    let nanos = to.as_nanosecond() - from.as_nanosecond();
    u64::try_from(nanos / (i128::from(ms.max(1)) * 1_000_000)).unwrap_or(0)
}

/// A number from 0 to below `below` that is always the same for the same words.
pub(super) fn draw(words: &[&str], below: u64) -> u64 {
    digest(words) % below.max(1)
}

/// The first `length` hex digits, at most 16, of a digest of the words.
pub(super) fn short_hash(words: &[&str], length: usize) -> String {
    let mut hex = format!("{:016x}", digest(words));
    hex.truncate(length);
    hex
}

fn digest(words: &[&str]) -> u64 {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word.as_bytes());
        // Keeps `a, bc` apart from `ab, c`.
        hash.update([0]);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}
