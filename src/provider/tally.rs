//! What this process did since it started, counted. Owns numbers that no row has; whoever watches many processes adds them up.
//!
//! The one surprising fact: an order that is decided on again counts again, for every decision is work and has a reason.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::bidengine::{Decision, Outcome};

/// What a bid's decision has in place of the reason of a refusal.
const NO_REASON: &str = "";

/// The counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// By the reason's code.
    decisions: Mutex<BTreeMap<&'static str, u64>>,
}

/// How often one thing was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// The code of the reason there was no bid; empty for a bid.
    pub reason: &'static str,
    /// Since the process started.
    pub times: u64,
}

impl Decided {
    /// Whether it is a bid.
    #[must_use]
    pub fn is_bid(&self) -> bool {
        self.reason == NO_REASON
    }
}

impl Tally {
    /// Notes decisions that were committed.
    pub(super) fn decided(&self, decisions: &[Decision]) {
        let mut counts = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        for decision in decisions {
            let reason = match decision.outcome {
                Outcome::Bid { .. } => NO_REASON,
                Outcome::NoBid { reason } => reason.reason(),
            };
            *counts.entry(reason).or_default() += 1;
        }
    }

    /// The decisions so far, by reason.
    #[must_use]
    pub fn decisions(&self) -> Vec<Decided> {
        let counts = self.decisions.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(reason, times)| Decided { reason, times: *times }).collect()
    }
}
