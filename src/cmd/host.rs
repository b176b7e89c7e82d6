//! The host's clock and randomness: the only place that reads them.

use jiff::Timestamp;

use crate::provider::port::{Clock, Entropy};

/// The host's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostClock;

/// Now, by the host's wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock that everything else is given")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// The host's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostEntropy;

impl Entropy for HostEntropy {
    fn bits(&self) -> u64 {
        // The last eight bytes of a version 4 UUID are random but for two bits.
        uuid::Uuid::new_v4().as_u64_pair().1
    }
}
