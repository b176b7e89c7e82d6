//! The host's time and randomness.

use jiff::Timestamp;

/// The host's wall clock. Deadlines that act on chain follow block time instead.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Randomness for identities of claims and nonces; nothing that must be kept secret.
pub trait Entropy: Send + Sync {
    /// Sixty-four unpredictable bits.
    fn bits(&self) -> u64;
}
