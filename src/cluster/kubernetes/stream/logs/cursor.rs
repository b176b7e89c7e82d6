//! The place in the logs of many replicas from which a reader goes on.
//!
//! It says of each replica how far it was read, because lines of different replicas do not arrive in the order in which they
//! were written: one time for all would lose lines. A replica is named by four bytes of a hash, so the place of one replica has
//! 13 bytes, and the whole is short enough for a header.
//!
//! The surprising fact: a replica that the place does not name has not been read at all, unless there were more than
//! [`MAX_REPLICAS`]; then it is taken from the oldest time that is named, as if it had been read up to there.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// The most replicas that a place names, those read last. The text then has 487 characters.
const MAX_REPLICAS: usize = 28;
/// The bytes of one replica: its hash, nanoseconds, lines.
const ENTRY: usize = 4 + 8 + 1;

/// A replica's name, as short as it can be told apart.
type Replica = [u8; 4];

/// How far a replica was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// The time of the last line.
    pub(super) at: Timestamp,
    /// How many lines of exactly this time were read.
    pub(super) lines: u8,
}

/// How far each replica was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    replicas: BTreeMap<Replica, Position>,
    /// Some were forgotten.
    is_cut: bool,
}

impl Cursor {
    /// The place that a text names; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let (cut, entries) = bytes.split_first()?;
        if *cut > 1 || entries.len() % ENTRY != 0 || entries.len() > MAX_REPLICAS * ENTRY {
            return None;
        }
        let mut replicas = BTreeMap::new();
        for entry in entries.chunks_exact(ENTRY) {
            let (replica, rest) = entry.split_first_chunk::<4>()?;
            let (nanoseconds, lines) = rest.split_first_chunk::<8>()?;
            let at = Timestamp::from_nanosecond(i64::from_be_bytes(*nanoseconds).into()).ok()?;
            replicas.insert(*replica, Position { at, lines: *lines.first()? });
        }
        Some(Self { replicas, is_cut: *cut == 1 })
    }

    /// The text that names this place.
    pub(super) fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(1 + self.replicas.len() * ENTRY);
        bytes.push(u8::from(self.is_cut));
        for (replica, position) in &self.replicas {
            bytes.extend_from_slice(replica);
            // Times of logs lie between 1678 and 2261.
            let nanoseconds = i64::try_from(position.at.as_nanosecond()).unwrap_or_default();
            bytes.extend_from_slice(&nanoseconds.to_be_bytes());
            bytes.push(position.lines);
        }
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// How far a replica was read; `None` when it was not.
    pub(super) fn of(&self, replica: &str) -> Option<Position> {
        let known = self.replicas.get(&short(replica)).copied();
        if known.is_none() && self.is_cut {
            return self.replicas.values().min().copied();
        }
        known
    }

    /// A line of a replica was read.
    pub(super) fn pass(&mut self, replica: &str, at: Timestamp) {
        let position = self.replicas.entry(short(replica)).or_insert(Position { at, lines: 0 });
        if position.at == at {
            position.lines = position.lines.saturating_add(1);
        } else {
            *position = Position { at, lines: 1 };
        }
        if self.replicas.len() > MAX_REPLICAS {
            let oldest = self.replicas.iter().min_by_key(|(_, position)| **position);
            if let Some(replica) = oldest.map(|(replica, _)| *replica) {
                self.replicas.remove(&replica);
                self.is_cut = true;
            }
        }
    }
}

fn short(replica: &str) -> Replica {
    let digest: [u8; 32] = Sha256::digest(replica).into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_place_comes_back_from_its_text() {
        let mut cursor = Cursor::default();
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor.clone()));
        cursor.pass("web-0", at(5));
        cursor.pass("db-0", at(7));
        cursor.pass("db-0", at(7));
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor.clone()));
        assert_eq!(cursor.of("web-0"), Some(Position { at: at(5), lines: 1 }));
        assert_eq!(cursor.of("db-0"), Some(Position { at: at(7), lines: 2 }));
        assert_eq!(cursor.of("other"), None);
    }

    #[test]
    fn what_is_no_place_is_none() {
        for text in ["", "yesterday", "AAAA", "Ag", "2026-01-01T00:00:00Z"] {
            assert_eq!(Cursor::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_place_stays_short_and_forgets_the_replicas_that_were_read_first() {
        let mut cursor = Cursor::default();
        for number in 0..100 {
            cursor.pass(&format!("web-{number}"), at(number));
        }
        assert!(cursor.text().len() <= 512, "{}", cursor.text().len());
        assert_eq!(cursor.of("web-99"), Some(Position { at: at(99), lines: 1 }));
        assert_eq!(cursor.of("web-0"), Some(Position { at: at(72), lines: 1 }), "the oldest named");
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
    }
}
