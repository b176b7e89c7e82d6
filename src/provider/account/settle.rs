//! Handing signed bytes to a node, and finding out what became of them.

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    CONCURRENCY, kinds,
    lesson::{self, Learned, Meaning},
};
use crate::{
    domain::{BidId, BidState, Height, LeaseId, OrderId},
    provider::{
        Provider,
        port::{
            AccountCommit, Broadcast, ChainError, Included, Released, Tip, Transaction,
            TransactionState,
        },
    },
};

/// After so long without a block the same bytes are handed to a node again.
const SEND_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a message waits where only time may help: for somebody to send money, for a chain that is less full.
const WAIT: SignedDuration = SignedDuration::from_secs(60);

/// What became of a transaction that is under way.
pub(super) enum Looked {
    /// Nothing can change it any more.
    Settled(Settled),
    /// It may still come to something.
    Waiting,
    /// It may have been lost on the way.
    SendAgain,
}

/// How a transaction ended.
pub(super) struct Settled {
    pub(super) state: TransactionState,
}

impl Settled {
    /// Whether it was carried out in this block, or one after it.
    pub(super) fn is_at(&self, height: Height) -> bool {
        matches!(&self.state, TransactionState::Included(included) if included.height >= height)
    }
}

/// The messages of a settled transaction that are wanted again, by the table of [`lesson`]; and what is learned.
pub(super) fn released(
    transaction: &Transaction,
    state: &TransactionState,
    learned: &mut Learned,
    now: Timestamp,
) -> Vec<Released> {
    let effects = &transaction.effects;
    let (meaning, refusal) = match state {
        TransactionState::Included(Included { failure: None, gas_used, .. }) => {
            learned.carried_out(kinds(effects), *gas_used, transaction.gas_limit);
            return Vec::new();
        }
        TransactionState::Included(Included { failure: Some(failure), .. }) => {
            (lesson::failed(failure, effects.len()), failure)
        }
        TransactionState::Refused(refusal) => (lesson::refused(refusal, effects.len()), refusal),
        TransactionState::Signed
        | TransactionState::Broadcast
        | TransactionState::Expired { .. } => return Vec::new(),
    };
    let was_paid = matches!(state, TransactionState::Included(_)) && lesson::was_paid(refusal);
    let again = |except: Option<usize>, wait: SignedDuration| {
        let others = effects.iter().enumerate().filter(|(index, _)| Some(*index) != except);
        others
            .map(|(_, key)| Released {
                hash: transaction.hash.clone(),
                key: key.clone(),
                error: format!("{} code {}: {}", refusal.codespace, refusal.code, refusal.log),
                at: now.checked_add(wait).unwrap_or(Timestamp::MAX),
                was_paid,
            })
            .collect()
    };
    match meaning {
        Meaning::Final => Vec::new(),
        Meaning::One(index) => again(Some(index), SignedDuration::ZERO),
        Meaning::Again(what) => {
            let is_changed = learned.take(what, kinds(effects), now);
            again(None, if is_changed { SignedDuration::ZERO } else { WAIT })
        }
    }
}

impl Provider {
    pub(super) async fn hand_over(
        &self,
        mut transactions: Vec<Transaction>,
        wake_at: Option<Timestamp>,
        learned: &mut Learned,
    ) -> AccountCommit {
        // A node takes ordered ones only in their order.
        transactions.sort_by_key(|transaction| transaction.sequence);
        let is_ordered = transactions.iter().any(|transaction| transaction.sequence.is_some());
        let at_once = if is_ordered { 1 } else { CONCURRENCY };
        let answers: Vec<(Transaction, Result<Broadcast, ChainError>)> = stream::iter(transactions)
            .map(|transaction| async move {
                let answer = self.chain.broadcast(&transaction.bytes).await;
                (transaction, answer)
            })
            .buffered(at_once)
            .collect()
            .await;
        let now = self.clock.now();
        let mut commit = AccountCommit { wake_at, ..AccountCommit::default() };
        for (transaction, answer) in answers {
            let hash = transaction.hash.clone();
            match answer {
                Ok(Broadcast::Accepted | Broadcast::Known) => {
                    commit.changed.push((hash.clone(), TransactionState::Broadcast));
                    commit.handed.push((hash, now));
                }
                Ok(Broadcast::Refused(refusal)) => {
                    tracing::warn!(transaction = %hash, codespace = %refusal.codespace, code = refusal.code, "a transaction was refused");
                    let state = TransactionState::Refused(refusal);
                    commit.released.extend(released(&transaction, &state, learned, now));
                    commit.changed.push((hash, state));
                }
                // Whether a node has it is not known: it is looked for, and sent again.
                Ok(Broadcast::Busy(detail)) => {
                    tracing::warn!(transaction = %hash, %detail, "a node is busy");
                }
                Err(error) => {
                    tracing::warn!(transaction = %hash, error = %error, "a broadcast gave no answer");
                }
            }
        }
        commit
    }

    pub(super) async fn look_for(&self, transaction: &Transaction, tip: &Tip) -> Looked {
        match self.chain.transaction(&transaction.hash).await {
            // A block may hold it and have refused it for its time: that is as if no block had it.
            Ok(Some(Included { height, failure: Some(refusal), .. })) if refusal.is_late() => {
                return settled(TransactionState::Expired { seen_at: height });
            }
            Ok(Some(included)) => return settled(TransactionState::Included(included)),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(transaction = %transaction.hash, error = %error, "a transaction could not be looked for");
            }
        }
        if is_past(transaction, tip) {
            return match self.left_a_trace(transaction, tip).await {
                Ok(state) => settled(state),
                Err(error) => {
                    tracing::warn!(transaction = %transaction.hash, error = %error, "what a transaction left could not be read");
                    Looked::Waiting
                }
            };
        }
        let now = self.clock.now();
        let rests =
            transaction.broadcast_at.is_some_and(|at| now.duration_since(at).abs() < SEND_AGAIN);
        if rests { Looked::Waiting } else { Looked::SendAgain }
    }

    /// Past its time-out: did it change the state that it would have changed? Its messages were carried out together or not
    /// at all, so the first one tells. A bid that others closed meanwhile can tell wrongly of the closes beside it: their
    /// steps find those bids open still, and want them closed anew.
    async fn left_a_trace(
        &self,
        transaction: &Transaction,
        tip: &Tip,
    ) -> Result<TransactionState, ChainError> {
        let expired = TransactionState::Expired { seen_at: tip.height };
        let Some(key) = transaction.effects.first() else { return Ok(expired) };
        let Some((kind, rest)) = key.split_once('/') else { return Ok(expired) };
        let ended = |height: Height| {
            TransactionState::Included(Included { height, failure: None, gas_used: 0 })
        };
        // Keys end in an attempt number behind the path that they are about.
        let path = rest.rsplit_once('/').map_or(rest, |(path, _)| path);
        match kind {
            "create-bid" => {
                let Ok(order) = path.parse::<OrderId>() else { return Ok(expired) };
                let found = self.bid(&order.bid(&transaction.account), tip.height).await?;
                Ok(found.map_or(expired, |bid| ended(bid.created_at)))
            }
            "close-bid" => {
                let Ok(bid) = path.parse::<BidId>() else { return Ok(expired) };
                let found = self.bid(&bid, tip.height).await?;
                let closed =
                    found.is_none_or(|bid| !matches!(bid.state, BidState::Open | BidState::Active));
                Ok(if closed { ended(tip.height) } else { expired })
            }
            "start-reclaim" => {
                let Ok(lease) = path.parse::<LeaseId>() else { return Ok(expired) };
                let leases = self.chain.leases(lease.order.deployment(), tip.height).await?;
                let begun = leases.value.iter().any(|found| {
                    found.id == lease && found.state != crate::domain::LeaseState::Active
                });
                Ok(if begun { ended(tip.height) } else { expired })
            }
            // Whether it was carried out cannot be told from others' settlements; the next one takes what it left.
            _ => Ok(expired),
        }
    }
}

/// Whether no block after `tip` can hold it.
fn is_past(transaction: &Transaction, tip: &Tip) -> bool {
    match transaction.last_block {
        Some(last) => tip.height >= last,
        None => tip.time.as_nanosecond() > i128::from(transaction.timeout_ns),
    }
}

fn settled(state: TransactionState) -> Looked {
    Looked::Settled(Settled { state })
}
