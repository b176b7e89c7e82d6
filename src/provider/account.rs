//! The account that sends: wanted messages become signed, stored, broadcast and settled transactions.
//!
//! Bytes are stored before any node sees them, and only stored bytes are sent. Transactions are *unordered*: each has a
//! time-out of its own instead of a place in a sequence, so many are under way at once and none waits for another. The
//! chain itself refuses the same time-out twice and everything after it. What a transaction came to is
//! decided by a block, or by its absence from the state it would have changed, read at a block time past its time-out;
//! a node that does not know a hash decides nothing.

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Provider,
    intent::ChainIntent,
    port::{
        AccountCommit, AccountWork, Broadcast, ChainError, ChainErrorKind, Effect, EffectReport,
        EffectState, Included, Signer, Tip, Transaction, TransactionState,
    },
    step::back_off,
};
use crate::{
    domain::{Bid, BidId, BidState, DeploymentId, Height, OrderId, Price},
    wire::{
        self,
        key::PublicKey,
        tx::{Draft, Sequencing},
    },
};

/// Messages that are simulated, or transactions that are sent or looked for, at once.
const CONCURRENCY: usize = 8;
/// Simulated gas is raised by this many percent: the state may have changed until the block.
const GAS_MARGIN_PERCENT: u64 = 120;
/// The gas that a simulated transaction says it may use; only its fee counts there.
const TRIAL_GAS: u64 = 300_000;
/// How often an unsettled transaction is looked for.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_millis(500);
/// After so long without a block the same bytes are handed to a node again.
const SEND_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How often it is looked whether a bid that waits for the end of a pause may go.
const PAUSED_AGAIN: SignedDuration = SignedDuration::from_secs(2);

impl Provider {
    /// One step of the provider's own account. Returns how many transactions were signed or settled.
    pub async fn run_account(&self, tip: &Tip) -> Result<u32, Error> {
        let Some(signer) = self.signer.clone() else { return Ok(0) };
        let account = signer.address();
        // Two passes of one process would sign for the same effects; another process may, and the rows let one through.
        let _one_at_a_time = self.sending.lock().await;
        let now = self.clock.now();
        let Some(work) = self.store.account_work(account, now).await? else { return Ok(0) };
        let wakes = work.wakes;
        let (commit, again) = self.prepare_commit(signer.as_ref(), work, tip).await;
        let count = commit.signed.len() + commit.changed.len();
        let kept = self.store.commit_account(account, wakes, self.clock.now(), &commit).await?;
        let to_send: Vec<Transaction> = kept.into_iter().chain(again).collect();
        if !to_send.is_empty() {
            let sent = self.hand_over(to_send, self.after(LOOK_AGAIN)).await;
            self.store.commit_account(account, wakes, self.clock.now(), &sent).await?;
        }
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Looks for what is under way and signs what is wanted; with it, the transactions to hand to a node again.
    async fn prepare_commit(
        &self,
        signer: &dyn Signer,
        work: AccountWork,
        tip: &Tip,
    ) -> (AccountCommit, Vec<Transaction>) {
        // A message that the rows of a backup want may be on its way already, in a transaction that they do not know.
        let is_quiet = self.restore().is_some_and(|restore| restore.is_quiet(tip.time));
        let wanted = if is_quiet { &[][..] } else { &work.wanted[..] };
        let mut commit = AccountCommit::default();
        let mut again = Vec::new();
        let looked: Vec<(Transaction, Looked)> = stream::iter(work.unsettled)
            .map(|transaction| async {
                let looked = self.look_for(&transaction, tip).await;
                (transaction, looked)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let mut open = false;
        for (transaction, looked) in looked {
            match looked {
                Looked::Settled(state) => commit.changed.push((transaction.hash, state)),
                Looked::Waiting => open = true,
                Looked::SendAgain => again.push(transaction),
            }
        }
        let paused = if work.wanted.is_empty() {
            None
        } else {
            // As long as it cannot be read whether bids are wanted, they wait.
            self.paused().await.unwrap_or_else(|error| Some(error.to_string()))
        };
        let paused = paused.as_deref();
        // Collected first: a borrowing closure that is held over an await hides that the future is `Send`.
        let preparing: Vec<_> = wanted
            .iter()
            .enumerate()
            .map(|(index, effect)| async move {
                (effect.key.clone(), self.prepare(signer, effect, index, tip, paused).await)
            })
            .collect();
        let prepared: Vec<(String, Result<Transaction, EffectReport>)> =
            stream::iter(preparing).buffered(CONCURRENCY).collect().await;
        for (key, outcome) in prepared {
            match outcome {
                Ok(transaction) => commit.signed.push(transaction),
                Err(report) => commit.reports.push((key, report)),
            }
        }
        // Until it is handed over or found, it is somebody's to look at again soon: ours, or another's if we die.
        let waits = is_quiet && !work.wanted.is_empty();
        if open || waits || !commit.signed.is_empty() || !again.is_empty() {
            commit.wake_at = self.after(LOOK_AGAIN);
        }
        (commit, again)
    }

    fn after(&self, wait: SignedDuration) -> Option<Timestamp> {
        self.clock.now().checked_add(wait).ok()
    }

    // ------------------------------------------------------------------------------------------------------- signing

    /// A wanted message as a signed transaction; or why there is none.
    async fn prepare(
        &self,
        signer: &dyn Signer,
        effect: &Effect,
        index: usize,
        tip: &Tip,
        paused: Option<&str>,
    ) -> Result<Transaction, EffectReport> {
        let failed = |reason: String| {
            EffectReport::Settled(EffectState::Failed {
                outcome: serde_json::json!({ "reason": reason }),
            })
        };
        let later = |error: &dyn std::fmt::Display| EffectReport::Later {
            error: error.to_string(),
            at: self.after(back_off(effect.attempts)).unwrap_or(Timestamp::MAX),
        };
        let intent: ChainIntent = serde_json::from_value(effect.body.clone())
            .map_err(|error| failed(error.to_string()))?;
        if let (ChainIntent::CreateBid { .. }, Some(reason)) = (&intent, paused) {
            return Err(EffectReport::Later {
                error: reason.to_owned(),
                at: self.after(PAUSED_AGAIN).unwrap_or(Timestamp::MAX),
            });
        }
        match self.still_wanted(&intent, effect, tip).await {
            Ok(None) => {}
            Ok(Some(reason)) => return Err(failed(reason)),
            Err(error) => return Err(later(&error)),
        }
        let account = self.chain_account(signer).await.map_err(|error| later(&error))?;
        let key = PublicKey::from_bytes(signer.public_key())
            .map_err(|error| failed(error.to_string()))?;
        let message = intent.message();
        let timeout = self.timeout(index, tip);
        let gas_price = self.settings().gas_price.clone();
        // A simulation without a fee misses the gas of deducting one.
        let trial = draft(message.clone(), timeout, &gas_price, TRIAL_GAS)
            .ok_or_else(|| failed("the fee is too large".to_owned()))?;
        let used = match self.chain.simulate(&trial.unsigned(&key).for_simulation()).await {
            Ok(used) => used,
            Err(error) if error.kind == ChainErrorKind::Refused => {
                return Err(failed(error.detail));
            }
            Err(error) => return Err(later(&error)),
        };
        let gas = used.saturating_mul(GAS_MARGIN_PERCENT) / 100;
        let draft = draft(message, timeout, &gas_price, gas)
            .ok_or_else(|| failed("the fee is too large".to_owned()))?;
        let unsigned = draft.unsigned(&key);
        let signature = signer
            .sign(&unsigned.sign_doc(&tip.chain_id, account))
            .await
            .map_err(|error| later(&error))?;
        let bytes = unsigned.with_signature(&signature);
        Ok(Transaction {
            hash: wire::tx::hash(&bytes),
            account: signer.address().clone(),
            effects: vec![effect.key.clone()],
            bytes,
            timeout_ns: timeout.as_nanosecond().try_into().unwrap_or(i64::MAX),
            gas_limit: draft.gas_limit,
            fee: draft.fee.first().map(ToString::to_string).unwrap_or_default(),
            state: TransactionState::Signed,
            signed_at: self.clock.now(),
            broadcast_at: None,
            broadcasts: 0,
        })
    }

    /// Time-outs are unique per account: one draw a transaction, spread over the last second of the time to live.
    fn timeout(&self, index: usize, tip: &Tip) -> Timestamp {
        let spread = i64::try_from(self.entropy.bits() % 999_999_000).unwrap_or(0);
        let place = i64::try_from(index % 1_000).unwrap_or(0);
        tip.time
            .saturating_add(self.settings().transaction_ttl)
            .and_then(|at| at.saturating_sub(SignedDuration::from_nanos(spread + place)))
            .unwrap_or(Timestamp::MAX)
    }

    /// The account's number, which never changes once it exists.
    async fn chain_account(&self, signer: &dyn Signer) -> Result<u64, ChainError> {
        self.account_number
            .get_or_try_init(|| async {
                let account = self.chain.account(signer.address(), Height(0)).await?;
                account.value.map(|account| account.number).ok_or_else(|| ChainError {
                    doing: "read the provider's account",
                    detail: format!(
                        "{} is not on chain: send it funds for fees and deposits",
                        signer.address()
                    ),
                    kind: ChainErrorKind::Unavailable,
                })
            })
            .await
            .copied()
    }

    /// Why a message is not wanted any more, by a last look at the chain; closing a bid that became a lease meanwhile would end
    /// the lease.
    async fn still_wanted(
        &self,
        intent: &ChainIntent,
        effect: &Effect,
        tip: &Tip,
    ) -> Result<Option<String>, ChainError> {
        let (bid, only_if) = match intent {
            ChainIntent::CloseBid { bid, only_if, .. } => (bid, only_if),
            ChainIntent::CreateBid { order, provider, .. } => {
                // Only a backup can want a bid that is there: others are on chain before this row says so.
                let from_backup =
                    self.restore().is_some_and(|restore| effect.wanted_at <= restore.restored_at);
                let found = if from_backup {
                    self.bid(&order.bid(provider), tip.height).await?
                } else {
                    None
                };
                return Ok(found.map(|bid| format!("the bid is there and {}", bid.state)));
            }
        };
        let found = self.bid(bid, tip.height).await?;
        Ok(match found {
            Some(found) if found.state == *only_if => None,
            Some(found) => Some(format!("the bid is {}, not {only_if}", found.state)),
            None => Some("there is no such bid".to_owned()),
        })
    }

    async fn bid(&self, id: &BidId, at_least: Height) -> Result<Option<Bid>, ChainError> {
        let deployment: &DeploymentId = id.order.deployment();
        let bids = self.chain.bids(deployment, at_least).await?;
        Ok(bids.value.into_iter().find(|bid| bid.id == *id))
    }

    // ------------------------------------------------------------------------------------------------------- sending

    async fn hand_over(
        &self,
        transactions: Vec<Transaction>,
        wake_at: Option<Timestamp>,
    ) -> AccountCommit {
        let answers: Vec<(String, Result<Broadcast, ChainError>)> = stream::iter(transactions)
            .map(|transaction| async move {
                let answer = self.chain.broadcast(&transaction.bytes).await;
                (transaction.hash, answer)
            })
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let now = self.clock.now();
        let mut commit = AccountCommit { wake_at, ..AccountCommit::default() };
        for (hash, answer) in answers {
            match answer {
                Ok(Broadcast::Accepted | Broadcast::Known) => {
                    commit.changed.push((hash.clone(), TransactionState::Broadcast));
                    commit.handed.push((hash, now));
                }
                Ok(Broadcast::Refused(refusal)) => {
                    tracing::warn!(transaction = %hash, codespace = %refusal.codespace, code = refusal.code, "a transaction was refused");
                    commit.changed.push((hash, TransactionState::Refused(refusal)));
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

    // ------------------------------------------------------------------------------------------------------ settling

    async fn look_for(&self, transaction: &Transaction, tip: &Tip) -> Looked {
        match self.chain.transaction(&transaction.hash).await {
            // A block may hold it and have refused it for its time: that is as if no block had it.
            Ok(Some(Included { height, failure: Some(refusal), .. })) if refusal.is_late() => {
                return Looked::Settled(TransactionState::Expired { seen_at: height });
            }
            Ok(Some(included)) => return Looked::Settled(TransactionState::Included(included)),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(transaction = %transaction.hash, error = %error, "a transaction could not be looked for");
            }
        }
        if tip.time.as_nanosecond() > i128::from(transaction.timeout_ns) {
            return match self.left_a_trace(transaction, tip).await {
                Ok(state) => Looked::Settled(state),
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

    /// Past its time-out: did it change the state that it would have changed?
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
            _ => Ok(expired),
        }
    }
}

enum Looked {
    Settled(TransactionState),
    Waiting,
    SendAgain,
}

/// A transaction of one message that pays for so much gas; `None` when the fee is too large.
fn draft(
    message: wire::google::Any,
    timeout: Timestamp,
    gas_price: &Price,
    gas_limit: u64,
) -> Option<Draft> {
    Some(Draft {
        messages: vec![message],
        memo: String::new(),
        sequencing: Sequencing::Unordered { timeout },
        fee: vec![wire::tx::fee(gas_price, gas_limit)?],
        gas_limit,
    })
}
