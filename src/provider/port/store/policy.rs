//! Versions of policy and prices.

use jiff::Timestamp;
use serde_json::Value;

/// One version of policy and prices.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRow {
    /// Counts from 1.
    pub version: u64,
    /// A [`crate::provider::policy::Rules`].
    pub body: Value,
    /// When, by the host's clock.
    pub made_at: Timestamp,
    /// `settings` or `operator`.
    pub made_by: String,
    /// Why, for people.
    pub reason: String,
}

/// A version that is to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPolicy {
    /// A [`crate::provider::policy::Rules`].
    pub body: Value,
    /// `settings` or `operator`.
    pub made_by: String,
    /// Why, for people.
    pub reason: String,
}

/// What became of a [`NewPolicy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyStored {
    /// It is the newest version.
    Done {
        /// Its number.
        version: u64,
    },
    /// Another version came since the one that it was made on; nothing was stored.
    Changed {
        /// The newest version's number; 0 when there is none.
        version: u64,
    },
}
