//! What a lease earns: when it is withdrawn, and that nothing of it is left behind.
//!
//! The chain watches no balance. A withdrawal settles the deployment's account, and only that shows an escrow that has run
//! out: the lease ends with it. So a lease is withdrawn from at the operator's pace and when its money must be gone.
//!
//! The surprising fact: a lease that is closed may go on earning. When two leases of one deployment are closed in one block,
//! the second payment stays open until the tenant closes the deployment. So the payment's state is looked at, not the
//! lease's alone, and what it earns is withdrawn like any other.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::advance::Step;
use crate::{
    domain::{Height, OrderId},
    provider::{
        intent::{self, ChainIntent},
        lease::LeaseRecord,
        port::EffectState,
        step::back_off,
    },
};

/// How long after a withdrawal that ended neither a lease without money nor a payment that was left open the next is tried.
const TRY_AGAIN: SignedDuration = SignedDuration::from_mins(10);
/// What came to nothing was refused for free, most likely since the account was settled in the same block: it is tried again
/// soon, then ever more rarely, from the sixth step of the back-off on.
const SOON: u32 = 6;
/// How soon a closed lease's payment is looked at.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How often a payment that was left open is withdrawn from where no pace is set.
const LEFT_OPEN: SignedDuration = SignedDuration::from_hours(24);
/// Withdrawals go after bids and closes.
const PRIORITY: u8 = 2;

/// What is known of a lease's earnings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Earnings {
    /// How many withdrawals were wanted.
    #[serde(default)]
    pub withdrawals: u32,
    /// In block time: the next at the operator's pace.
    #[serde(default)]
    pub next_at: Option<Timestamp>,
    /// In block time: the last was wanted then.
    #[serde(default)]
    pub tried_at: Option<Timestamp>,
    /// How many in a row came to nothing.
    #[serde(default)]
    pub failures: u32,
    /// The lease has ended.
    #[serde(default)]
    pub is_over: bool,
    /// The lease has ended, and so has its payment.
    #[serde(default)]
    pub is_settled: bool,
}

/// Why a withdrawal is wanted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It is time.
    Due,
    /// What the tenant put into escrow must be gone.
    OutOfFunds,
    /// The lease has ended and its payment goes on.
    LeftOpen,
}

impl Cause {
    const fn text(self) -> &'static str {
        match self {
            Self::Due => "at the set pace",
            Self::OutOfFunds => "the escrow must be used up",
            Self::LeftOpen => "the lease has ended and its payment goes on",
        }
    }
}

impl Step<'_> {
    /// Wants a withdrawal where one is due, and takes in what became of the last.
    pub(super) fn collect(&mut self, order: &OrderId, lease: &mut LeaseRecord) {
        let now = self.facts.at.time;
        let key = intent::withdraw_key(&lease.id, lease.earnings.withdrawals);
        match self.effect(&key).map(|effect| &effect.state) {
            Some(EffectState::Wanted | EffectState::Begun) => return,
            Some(state) => {
                let is_done =
                    matches!(state, EffectState::Done { outcome } if outcome["failure"].is_null());
                self.absorb_key(key);
                let earnings = &mut lease.earnings;
                earnings.withdrawals += 1;
                earnings.failures = if is_done { 0 } else { earnings.failures.saturating_add(1) };
                if !is_done {
                    earnings.next_at = now.checked_add(rest(earnings)).ok();
                }
            }
            None => {}
        }
        let Some(cause) = self.cause(order, lease, now) else { return };
        lease.earnings.tried_at = Some(now);
        let pace = match cause {
            Cause::LeftOpen => Some(self.settings.withdraw_every.unwrap_or(LEFT_OPEN)),
            Cause::Due | Cause::OutOfFunds => self.settings.withdraw_every,
        };
        lease.earnings.next_at = pace.and_then(|pace| now.checked_add(pace).ok());
        self.audit("withdraw", &lease.id.to_string(), cause.text().to_owned());
        let key = intent::withdraw_key(&lease.id, lease.earnings.withdrawals);
        self.want_on_chain(key, &ChainIntent::Withdraw { lease: lease.id.clone() }, PRIORITY);
    }

    fn cause(&mut self, order: &OrderId, lease: &mut LeaseRecord, now: Timestamp) -> Option<Cause> {
        let earnings = &mut lease.earnings;
        let rest = rest(earnings);
        let rested = earnings.tried_at.is_none_or(|at| now.duration_since(at) >= rest);
        if lease.state.is_running() {
            let pace = self.settings.withdraw_every;
            if earnings.next_at.is_none() {
                earnings.next_at = pace.and_then(|pace| now.checked_add(pace).ok());
            }
            let is_due = pace.is_some() && earnings.next_at.is_some_and(|at| now >= at);
            let out = lease.funded_until.is_some_and(|until| is_gone(until, self.facts.at.height));
            return match (is_due, out && rested) {
                (_, true) => Some(Cause::OutOfFunds),
                (true, false) => Some(Cause::Due),
                (false, false) => None,
            };
        }
        if !earnings.is_over {
            earnings.is_over = true;
            earnings.next_at = None;
        }
        if earnings.is_settled {
            return None;
        }
        let Some(payments) = &self.facts.payments else {
            self.wake_within(LOOK_AGAIN);
            return None;
        };
        let ours = order.lease(&self.facts.provider);
        let payment = payments.iter().find(|payment| payment.lease == ours);
        let is_open = payment.is_some_and(crate::domain::Payment::is_left_open);
        earnings.is_settled = !is_open;
        let is_due = earnings.next_at.is_none_or(|at| now >= at);
        (is_open && is_due).then_some(Cause::LeftOpen)
    }
}

/// How long the next withdrawal waits that is not made at the operator's pace.
fn rest(earnings: &Earnings) -> SignedDuration {
    match earnings.failures {
        0 => TRY_AGAIN,
        failures => back_off(failures.saturating_add(SOON)),
    }
}

/// Whether the last block that is paid in full lies before `height`.
fn is_gone(funded_until: Height, height: Height) -> bool {
    funded_until < height
}
