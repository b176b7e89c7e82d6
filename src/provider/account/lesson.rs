//! What a transaction that came to nothing means to its messages, and what is learned from it; pure.
//!
//! Which failure it is says [`Failure`]; this is what the sender does about it:
//!
//! | where | failure | the messages |
//! |---|---|---|
//! | simulation | of the moment, or of our purse | wait, and are tried again |
//! | simulation | any other | failed, nothing paid |
//! | mempool | funds | wait for somebody to send money |
//! | mempool | gas | again with more |
//! | mempool | fee | again at a higher price of gas |
//! | mempool | known, late | as sent, until the chain shows what it came to |
//! | mempool | full, early, a sequence ahead | the same bytes again |
//! | mempool | no unordered transactions here | again in order |
//! | mempool | any other | again one by one; failed when alone |
//! | block | gas | again with half as much more, three times at most |
//! | block | late | as if no block had it |
//! | block | sequence: one before it is missing, nothing paid | again in another place |
//! | block | any other | the one that failed is failed, the others go again alone |
//! | nowhere | the node was lost after the send | as sent, until the chain shows what it came to |
//!
//! The surprising fact: what is in a block and failed was paid for. So it is tried again only where another try costs less
//! than what is lost without it, and each time with something changed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    domain::Price,
    provider::{intent::MessageKind, port::Refusal},
    wire::failure::{Failure, Retry, failed_message},
};

/// Simulated gas is raised to this share, in percent: the state may have changed until the block.
const MARGIN: u64 = 120;
/// No estimate is raised beyond this; what does not do with it is not short of gas.
const MOST_MARGIN: u64 = 300;
/// By how much the price of gas is raised when a node wants more, in percent of the present one.
const PRICE_STEP: u64 = 120;
/// The price of gas is never raised beyond this share of the operator's, in percent.
const MOST_PRICE: u64 = 500;
/// How long a raised price is kept: what a full chain wants is no rule for ever.
const PRICE_KEPT: SignedDuration = SignedDuration::from_hours(1);
/// How long no unordered transaction is tried after a node refused one as such.
const ORDERED_FOR: SignedDuration = SignedDuration::from_hours(1);

/// What another try does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lesson {
    /// It pays for more gas.
    MoreGas,
    /// It offers a higher price of gas.
    HigherPrice,
    /// It is sent in order.
    Ordered,
    /// It waits until somebody sent money.
    Funds,
    /// It takes another place in the sequence.
    Place,
    /// It goes alone.
    Alone,
}

/// What a refusal or a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// No message of it can be carried out.
    Final,
    /// All messages are tried again.
    Again(Lesson),
    /// This message failed; the others did nothing wrong and are tried again.
    One(usize),
}

fn kind(refusal: &Refusal) -> Failure {
    Failure::of(&refusal.codespace, refusal.code, &refusal.log)
}

/// What a refusal by the mempool means to a transaction of `messages` messages. Nothing was paid.
pub(super) fn refused(refusal: &Refusal, messages: usize) -> Meaning {
    if wants_order(&refusal.log) {
        return Meaning::Again(Lesson::Ordered);
    }
    match kind(refusal) {
        Failure::Funds => Meaning::Again(Lesson::Funds),
        Failure::Gas => Meaning::Again(Lesson::MoreGas),
        Failure::Fee => Meaning::Again(Lesson::HigherPrice),
        // Too large, or one of the messages is wrong in itself.
        _ if messages > 1 => Meaning::Again(Lesson::Alone),
        _ => Meaning::Final,
    }
}

/// What a failure in a block means to a transaction of `messages` messages. The fee was paid.
pub(super) fn failed(failure: &Refusal, messages: usize) -> Meaning {
    match kind(failure) {
        Failure::Gas => Meaning::Again(Lesson::MoreGas),
        Failure::Sequence { .. } => Meaning::Again(Lesson::Place),
        _ if messages <= 1 => Meaning::Final,
        _ => match failed_message(&failure.log) {
            Some(index) if index < messages => Meaning::One(index),
            _ => Meaning::Again(Lesson::Alone),
        },
    }
}

/// Whether the fee was paid for what failed so in a block: what fails before its first message pays nothing.
pub(super) fn was_paid(failure: &Refusal) -> bool {
    !matches!(kind(failure), Failure::Sequence { .. })
}

/// Whether a node says that it takes no unordered transaction: it has them switched off, or does not know them.
pub(super) fn wants_order(text: &str) -> bool {
    text.contains("unordered transactions are not enabled")
        || (text.contains("errUnknownField") && text.contains("TxBody"))
}

/// The sequence that a node wants, by what its simulation says.
pub(super) fn expected_sequence(text: &str) -> Option<u64> {
    match Failure::of_simulation(text) {
        Failure::Sequence { expected, .. } => Some(expected),
        _ => None,
    }
}

/// Whether a simulation that failed says nothing against the message: only of the moment, or of our purse.
pub(super) fn is_for_now(text: &str) -> bool {
    matches!(Failure::of_simulation(text).retry(), Retry::SameBytes | Retry::Look | Retry::Later)
        || Failure::of_simulation(text) == Failure::Funds
}

/// What an account has learned of its chain. Kept as an observation, so that another process need not pay for it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Learned {
    /// How far simulated gas is raised, in percent, where that is more than usual.
    #[serde(default)]
    margins: BTreeMap<MessageKind, u64>,
    /// The price of gas, in percent of the operator's, and since when.
    #[serde(default)]
    price: Option<(u64, Timestamp)>,
    /// Until when transactions are sent in order.
    #[serde(default)]
    ordered_until: Option<Timestamp>,
    /// What was learned in this pass: transactions that were signed alike teach it once.
    #[serde(skip)]
    fresh: BTreeSet<(Lesson, Option<MessageKind>)>,
}

impl Learned {
    /// What simulated gas is raised to, in percent, for messages of these kinds.
    pub(super) fn margin(&self, kinds: impl Iterator<Item = MessageKind>) -> u64 {
        kinds.filter_map(|kind| self.margins.get(&kind)).copied().max().unwrap_or(MARGIN)
    }

    /// What gas is paid for at `now`.
    pub(super) fn price(&self, set: &Price, now: Timestamp) -> Price {
        let percent = self.price_percent(now);
        let raised = set.amount.checked_mul_ratio_up(u128::from(percent), 100);
        Price { amount: raised.unwrap_or(set.amount), denom: set.denom.clone() }
    }

    fn price_percent(&self, now: Timestamp) -> u64 {
        match self.price {
            Some((percent, since)) if now.duration_since(since) < PRICE_KEPT => percent,
            _ => 100,
        }
    }

    /// Whether transactions are sent in order at `now`.
    pub(super) fn is_ordered(&self, now: Timestamp) -> bool {
        self.ordered_until.is_some_and(|until| now < until)
    }

    /// Takes in a lesson about messages of these kinds. Returns whether another try has something changed; if not, only
    /// time may help.
    pub(super) fn take(
        &mut self,
        lesson: Lesson,
        kinds: impl Iterator<Item = MessageKind>,
        now: Timestamp,
    ) -> bool {
        match lesson {
            Lesson::Alone | Lesson::Place => true,
            Lesson::Funds => false,
            Lesson::Ordered => {
                self.ordered_until = now.checked_add(ORDERED_FOR).ok();
                true
            }
            Lesson::HigherPrice if !self.fresh.insert((lesson, None)) => true,
            Lesson::HigherPrice => {
                let percent = self.price_percent(now);
                let raised = (percent * PRICE_STEP / 100).min(MOST_PRICE);
                self.price = Some((raised, now));
                raised > percent
            }
            Lesson::MoreGas => {
                let mut changed = false;
                for kind in kinds {
                    if !self.fresh.insert((lesson, Some(kind))) {
                        changed = true;
                        continue;
                    }
                    let margin = self.margins.entry(kind).or_insert(MARGIN);
                    let raised = (*margin * 3 / 2).min(MOST_MARGIN);
                    changed |= raised > *margin;
                    *margin = raised;
                }
                changed
            }
        }
    }

    /// A transaction with these messages was carried out with so much of its gas: what was learned in worse times is
    /// slowly forgotten.
    pub(super) fn carried_out(
        &mut self,
        kinds: impl Iterator<Item = MessageKind>,
        gas_used: u64,
        gas_limit: u64,
    ) {
        let spare = gas_used.saturating_mul(2) < gas_limit;
        for kind in kinds {
            if let Some(margin) = self.margins.get_mut(&kind).filter(|_| spare) {
                *margin = margin.saturating_sub(10).max(MARGIN);
                if *margin == MARGIN {
                    self.margins.remove(&kind);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Denom;

    fn refusal(codespace: &str, code: u32, log: &str) -> Refusal {
        Refusal { codespace: codespace.to_owned(), code, log: log.to_owned() }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// What another pass reads of what was kept.
    fn next_pass(learned: &mut Learned) -> &mut Learned {
        *learned = serde_json::from_value(serde_json::to_value(&*learned).unwrap()).unwrap();
        learned
    }

    #[test]
    fn transactions_of_one_pass_teach_once() {
        let mut learned = Learned::default();
        let kinds = || std::iter::once(MessageKind::CreateBid);
        for _ in 0..8 {
            assert!(learned.take(Lesson::MoreGas, kinds(), at(0)));
        }
        assert_eq!(learned.margin(kinds()), 180);
    }

    #[test]
    fn the_mempools_refusals_mean_what_the_table_says() {
        let meaning = |code, messages| refused(&refusal("sdk", code, ""), messages);
        assert_eq!(meaning(5, 1), Meaning::Again(Lesson::Funds));
        assert_eq!(meaning(11, 1), Meaning::Again(Lesson::MoreGas));
        assert_eq!(meaning(13, 3), Meaning::Again(Lesson::HigherPrice));
        assert_eq!(meaning(21, 3), Meaning::Again(Lesson::Alone));
        assert_eq!(meaning(21, 1), Meaning::Final);
        assert_eq!(refused(&refusal("market", 19, ""), 1), Meaning::Final);
        assert_eq!(refused(&refusal("market", 19, ""), 2), Meaning::Again(Lesson::Alone));
        let off = "unordered transactions are not enabled: not supported";
        assert_eq!(refused(&refusal("sdk", 37, off), 3), Meaning::Again(Lesson::Ordered));
        let unknown = "errUnknownField \"/cosmos.tx.v1beta1.TxBody\": {TagNum: 4, WireType:\"varint\"}: tx parse error";
        assert_eq!(refused(&refusal("sdk", 2, unknown), 1), Meaning::Again(Lesson::Ordered));
    }

    #[test]
    fn of_a_failed_transaction_only_the_message_that_failed_is_given_up() {
        let log = "failed to execute message; message index: 2: deployment is not active";
        assert_eq!(failed(&refusal("market", 7, log), 4), Meaning::One(2));
        assert_eq!(failed(&refusal("market", 7, log), 1), Meaning::Final);
        assert_eq!(failed(&refusal("market", 7, log), 2), Meaning::Again(Lesson::Alone));
        let out_of_place = refusal("sdk", 32, "account sequence mismatch, expected 6, got 7");
        assert_eq!(failed(&out_of_place, 1), Meaning::Again(Lesson::Place));
        assert!(!was_paid(&out_of_place));
        let panic = refusal("undefined", 111_222, "recovered: couldn't find payment");
        assert_eq!(failed(&panic, 3), Meaning::Again(Lesson::Alone));
        assert_eq!(failed(&panic, 1), Meaning::Final);
    }

    #[test]
    fn gas_that_ran_out_is_raised_by_half_up_to_three_times_the_estimate_and_forgotten_slowly() {
        let out = refusal("sdk", 11, "out of gas in location: WriteFlat; gasWanted: 1, gasUsed: 2");
        assert_eq!(failed(&out, 1), Meaning::Again(Lesson::MoreGas));
        let mut learned = Learned::default();
        let kinds = || std::iter::once(MessageKind::CreateBid);
        assert_eq!(learned.margin(kinds()), 120);
        let raised: Vec<(bool, u64)> = (0..4)
            .map(|_| {
                let changed = next_pass(&mut learned).take(Lesson::MoreGas, kinds(), at(0));
                (changed, learned.margin(kinds()))
            })
            .collect();
        assert_eq!(raised, [(true, 180), (true, 270), (true, 300), (false, 300)]);
        assert_eq!(learned.margin(std::iter::once(MessageKind::Withdraw)), 120);
        learned.carried_out(kinds(), 90, 100);
        assert_eq!(learned.margin(kinds()), 300, "it needed what it had");
        for _ in 0..30 {
            learned.carried_out(kinds(), 40, 100);
        }
        assert_eq!(*next_pass(&mut learned), Learned::default());
    }

    #[test]
    fn a_higher_price_is_kept_for_an_hour_and_has_an_end() {
        let set = Price { denom: Denom::uakt(), amount: "0.025".parse().unwrap() };
        let mut learned = Learned::default();
        assert_eq!(learned.price(&set, at(0)), set);
        assert!(learned.take(Lesson::HigherPrice, std::iter::empty(), at(0)));
        assert_eq!(learned.price(&set, at(0)).amount, "0.03".parse().unwrap());
        assert_eq!(learned.price(&set, at(3600)), set);
        let tries = (0..20)
            .filter(|_| {
                next_pass(&mut learned).take(Lesson::HigherPrice, std::iter::empty(), at(1))
            })
            .count();
        assert!(tries < 12, "{tries}");
        assert_eq!(learned.price(&set, at(1)).amount, "0.125".parse().unwrap());
    }

    #[test]
    fn a_node_without_unordered_transactions_is_asked_again_after_an_hour() {
        let mut learned = Learned::default();
        assert!(!learned.is_ordered(at(0)));
        assert!(learned.take(Lesson::Ordered, std::iter::empty(), at(0)));
        assert!(learned.is_ordered(at(3599)) && !learned.is_ordered(at(3600)));
    }

    #[test]
    fn a_simulation_says_which_sequence_it_wants_and_what_is_of_the_moment_only() {
        let text = "account sequence mismatch, expected 39, got 40: incorrect account sequence";
        assert_eq!(expected_sequence(text), Some(39));
        assert_eq!(expected_sequence("account sequence"), None);
        assert!(is_for_now(text) && is_for_now("recovered: couldn't find payment"));
        assert!(is_for_now("spendable balance 1uact is smaller: insufficient funds"));
        assert!(!is_for_now("order closed") && !is_for_now("something else"));
    }
}
