//! `google.protobuf`: the three well-known types that the chain uses. Owns the messages and their conversion to spans
//! and points in time.
//!
//! An [`Any`] of the chain has the type URL `/` + full name, without the host that protobuf's own convention has.
#![expect(missing_docs, reason = "the fields carry the names of the protobuf definitions")]

use jiff::Timestamp as Time;
use prost::{Message, Name};

/// A message of any type, with its type's name.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// A span of time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Duration {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// A point in time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

named! { "google.protobuf": Any, Duration, Timestamp }

/// Why an [`Any`] is not the wanted message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnyError {
    /// It holds another type.
    #[error("message is a {found:?}, wanted is {wanted:?}")]
    Type {
        /// The type URL that it has (shortened).
        found: String,
        /// The type URL that was asked for.
        wanted: String,
    },
    /// Its bytes are no message of that type.
    #[error("{type_url} does not decode: {reason}")]
    Malformed {
        /// The type URL.
        type_url: String,
        /// What the decoder says.
        reason: String,
    },
}

impl Any {
    /// Packs a message under its own type URL.
    pub fn pack<M: Message + Name>(message: &M) -> Self {
        Self { type_url: M::type_url(), value: message.encode_to_vec() }
    }

    /// Whether it holds an `M`.
    pub fn is<M: Name>(&self) -> bool {
        self.type_url == M::type_url()
    }

    /// The message in it.
    ///
    /// # Errors
    /// [`AnyError`] when it holds another type or does not decode.
    pub fn unpack<M: Message + Name + Default>(&self) -> Result<M, AnyError> {
        if !self.is::<M>() {
            return Err(AnyError::Type {
                found: self.type_url.chars().take(128).collect(),
                wanted: M::type_url(),
            });
        }
        M::decode(self.value.as_slice()).map_err(|error| AnyError::Malformed {
            type_url: M::type_url(),
            reason: error.to_string(),
        })
    }
}

impl Duration {
    /// A span of whole seconds.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanos: 0 }
    }
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        // Protobuf wants the nanoseconds from 0 up, also before 1970, so round the second down.
        let nanos = time.as_nanosecond();
        let seconds = nanos.div_euclid(1_000_000_000);
        Self {
            seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
            nanos: i32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }
}

impl Timestamp {
    /// The point in time, or `None` outside the years −9999 to 9999 or with nanoseconds out of range.
    pub fn to_time(self) -> Option<Time> {
        if !(0..1_000_000_000).contains(&self.nanos) {
            return None;
        }
        Time::new(self.seconds, self.nanos).ok()
    }
}
