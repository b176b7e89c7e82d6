//! Hashes as values: of a block, of a transaction, of a delivery's body. They print in upper-case hex, as CometBFT
//! does, except the body's digest, which is ours and prints in lower case.
//!
//! The one surprising fact: events that no transaction made (begin and end of a block) carry the word `block` where the
//! others carry a transaction's hash.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};
use sha2::{Digest, Sha256};

/// The word in place of a transaction's hash for an event that the block itself made.
const BLOCK: &str = "block";

/// Why a text is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct HashError;

/// The hash of a block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockHash(pub [u8; 32]);

/// What made an event: a transaction, or the block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TxHash {
    /// Begin or end of the block.
    Block,
    /// The SHA-256 of the transaction's bytes.
    Tx([u8; 32]),
}

/// The SHA-256 of a delivery's body, decompressed: two deliveries with one id and different digests are an alarm.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BodyDigest(pub [u8; 32]);

fn parse(text: &str) -> Result<[u8; 32], HashError> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return Err(HashError);
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| char::from(digit).to_digit(16));
        let value = high.zip(low).map(|(high, low)| high * 16 + low).ok_or(HashError)?;
        *byte = u8::try_from(value).map_err(|_| HashError)?;
    }
    Ok(bytes)
}

fn upper(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
}

impl TxHash {
    /// The hash of a transaction's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::Tx(Sha256::digest(bytes).into())
    }
}

impl BodyDigest {
    /// The digest of a body, decompressed.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

impl FromStr for BlockHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        parse(text).map(Self)
    }
}

impl FromStr for TxHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text == BLOCK { Ok(Self::Block) } else { parse(text).map(Self::Tx) }
    }
}

impl FromStr for BodyDigest {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        parse(text).map(Self)
    }
}

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        upper(&self.0, f)
    }
}

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str(BLOCK),
            Self::Tx(bytes) => upper(bytes, f),
        }
    }
}

impl fmt::Display for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! hash_text {
    ($($hash:ty),*) => {$(
        impl fmt::Debug for $hash {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $hash {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $hash {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

hash_text!(BlockHash, TxHash, BodyDigest);
