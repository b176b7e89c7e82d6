//! Teardowns that are held.

use jiff::Timestamp;

/// Whether teardowns go on, and what an operator said to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Breaker {
    /// Since when none is carried out, by the host's clock; `None` while they go on.
    pub held_since: Option<Timestamp>,
    /// How many had been decided when they were held.
    pub decided: u64,
    /// When an operator agreed last, by the host's clock: decisions up to then do not count.
    pub agreed_at: Option<Timestamp>,
    /// Who agreed.
    pub agreed_by: Option<String>,
}
