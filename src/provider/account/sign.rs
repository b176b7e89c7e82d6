//! Signing: each wanted message is looked at once more, tried alone, put together with others, and signed.

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use super::{
    CONCURRENCY,
    lesson::{Learned, expected_sequence, is_for_now, wants_order},
    plan::{self, Wanted},
};
use crate::{
    domain::{Coin, Height, Price},
    provider::{
        Error, Provider,
        intent::{ChainIntent, MessageKind},
        port::{
            AccountCommit, ChainError, ChainErrorKind, Effect, EffectReport, EffectState, Signer,
            Tip, Transaction, TransactionState,
        },
        step::back_off,
    },
    wire::{
        self,
        google::Any,
        key::PublicKey,
        tx::{Draft, Sequencing},
    },
};

/// The gas that a simulated transaction says it may use; only its fee counts there.
const TRIAL_GAS: u64 = 300_000;
/// How often it is looked whether a bid that waits for the end of a pause may go.
const PAUSED_AGAIN: SignedDuration = SignedDuration::from_secs(2);
/// How often it is looked whether streams and node agree again.
const DISPUTE_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// How often it is looked whether the fees of the last day leave room again.
const BUDGET_AGAIN: SignedDuration = SignedDuration::from_mins(1);
/// How often a message may fail in a block, each time with its fee paid, before it is given up.
const MOST_PAID: u32 = 3;
/// An ordered transaction may be in one of so many blocks from now on.
const ORDERED_BLOCKS: u64 = 20;

/// What one pass of the account has to sign.
pub(super) struct Wanting<'a> {
    pub(super) wanted: Vec<Effect>,
    /// Transactions that are under way.
    pub(super) open: &'a [&'a Transaction],
    /// The effects that they hold, and those that the newest block carried out.
    pub(super) held: &'a [String],
    /// The fees of a day, each text as often as it says.
    pub(super) fees: &'a [(String, u64)],
}

/// What every message of a pass is signed with.
struct Pass<'a> {
    signer: &'a dyn Signer,
    key: PublicKey,
    account: u64,
    tip: &'a Tip,
    gas_price: Price,
    /// In order: the place of the next, and those that are taken.
    order: Option<Order>,
}

/// Places in an account's sequence.
struct Order {
    next: u64,
    taken: Vec<u64>,
    last_block: Height,
}

impl Order {
    fn place(&self) -> u64 {
        let mut place = self.next;
        while self.taken.contains(&place) {
            place = place.saturating_add(1);
        }
        place
    }
}

/// A message that may be signed, with the gas that it took alone.
struct Tried {
    wanted: Wanted,
    gas: u64,
}

/// Why a message is not signed now.
type Unsigned = (String, EffectReport);

impl Provider {
    /// Signs what is wanted and may go. Returns whether something waits for what is under way.
    pub(super) async fn sign_wanted(
        &self,
        signer: &dyn Signer,
        work: Wanting<'_>,
        tip: &Tip,
        learned: &mut Learned,
        commit: &mut AccountCommit,
    ) -> Result<bool, Error> {
        let Wanting { wanted, open, held, fees } = work;
        let sorted = plan::sort(wanted, held.iter().map(String::as_str));
        for (key, reason) in sorted.unreadable {
            commit.reports.push((key, failed(&reason)));
        }
        // As long as it cannot be read whether bids are wanted, they wait.
        let paused = self.paused().await.unwrap_or_else(|error| Some(error.to_string()));
        let allowed = self.within_budget(sorted.ready, fees, commit);
        let pass = match self.pass(signer, open, tip, learned).await {
            Ok(pass) => pass,
            Err(error) => {
                commit.reports.extend(allowed.iter().map(|wanted| self.not_now(wanted, &error)));
                return Ok(sorted.waits);
            }
        };
        let allowed = self.not_in_dispute(allowed, commit).await?;
        let (tried, refused_order) = self.try_all(&pass, allowed, paused.as_deref(), commit).await;
        if refused_order {
            learned.take(super::lesson::Lesson::Ordered, std::iter::empty(), self.clock.now());
        }
        self.sign_all(pass, tried, learned, commit).await;
        Ok(sorted.waits)
    }

    /// What every message of this pass is signed with.
    async fn pass<'a>(
        &self,
        signer: &'a dyn Signer,
        open: &[&Transaction],
        tip: &'a Tip,
        learned: &Learned,
    ) -> Result<Pass<'a>, ChainError> {
        let now = self.clock.now();
        let unreadable = |error: &dyn std::fmt::Display| ChainError {
            doing: "read the signer's public key",
            detail: error.to_string(),
            kind: ChainErrorKind::Refused,
        };
        let key = PublicKey::from_bytes(signer.public_key()).map_err(|error| unreadable(&error))?;
        let account = self.chain_account(signer).await?;
        let order = if learned.is_ordered(now) {
            Some(Order {
                next: self.sequence(signer, tip.height).await?,
                taken: open.iter().filter_map(|open| open.sequence).collect(),
                last_block: Height(tip.height.0.saturating_add(ORDERED_BLOCKS)),
            })
        } else {
            None
        };
        let gas_price = learned.price(&self.settings().gas_price, now);
        Ok(Pass { signer, key, account, tip, gas_price, order })
    }

    /// The account's number, which never changes once it exists.
    async fn chain_account(&self, signer: &dyn Signer) -> Result<u64, ChainError> {
        self.account_number
            .get_or_try_init(|| async {
                let account = self.chain.account(signer.address(), Height(0)).await?;
                account.value.map(|account| account.number).ok_or_else(|| no_account(signer))
            })
            .await
            .copied()
    }

    /// The sequence that the next ordered transaction needs when nothing is under way.
    async fn sequence(&self, signer: &dyn Signer, at_least: Height) -> Result<u64, ChainError> {
        let account = self.chain.account(signer.address(), at_least).await?;
        account.value.map(|account| account.sequence).ok_or_else(|| no_account(signer))
    }

    /// Bids and withdrawals wait when the fees of the last day are used up. What ends an obligation goes on.
    fn within_budget(
        &self,
        ready: Vec<Wanted>,
        fees: &[(String, u64)],
        commit: &mut AccountCommit,
    ) -> Vec<Wanted> {
        let Some(budget) = self.settings().fee_budget.clone() else { return ready };
        let spent = spent(fees, &budget);
        if spent < budget.amount {
            return ready;
        }
        let waits = |wanted: &Wanted| {
            matches!(wanted.intent.kind(), MessageKind::CreateBid | MessageKind::Withdraw)
        };
        let (waiting, going): (Vec<_>, Vec<_>) = ready.into_iter().partition(waits);
        if !waiting.is_empty() {
            tracing::warn!(%budget, waiting = waiting.len(), "the fees of a day are used up");
        }
        for wanted in waiting {
            let error = format!(
                "the fees of the last day are {spent}{}, allowed are {budget}",
                budget.denom
            );
            let at = self.after(BUDGET_AGAIN).unwrap_or(Timestamp::MAX);
            commit.reports.push((wanted.effect.key, EffectReport::Later { error, at }));
        }
        going
    }

    /// What ends a lease waits while a stream and our node tell of different chains.
    async fn not_in_dispute(
        &self,
        ready: Vec<Wanted>,
        commit: &mut AccountCommit,
    ) -> Result<Vec<Wanted>, Error> {
        if !ready.iter().any(|wanted| wanted.intent.ends_lease()) {
            return Ok(ready);
        }
        let Some(error) = self.disagreement().await? else { return Ok(ready) };
        let (waiting, going): (Vec<_>, Vec<_>) =
            ready.into_iter().partition(|wanted| wanted.intent.ends_lease());
        for wanted in waiting {
            let at = self.after(DISPUTE_AGAIN).unwrap_or(Timestamp::MAX);
            let report = EffectReport::Later { error: error.clone(), at };
            commit.reports.push((wanted.effect.key, report));
        }
        Ok(going)
    }

    // -------------------------------------------------------------------------------------------------------- trying

    /// Tries each message alone. The second part says whether a node takes transactions in order only.
    async fn try_all(
        &self,
        pass: &Pass<'_>,
        wanted: Vec<Wanted>,
        paused: Option<&str>,
        commit: &mut AccountCommit,
    ) -> (Vec<Tried>, bool) {
        // Collected first: a borrowing closure that is held over an await hides that the future is `Send`.
        let trying: Vec<_> = wanted
            .into_iter()
            .enumerate()
            .map(|(index, wanted)| self.try_alone(pass, wanted, index, paused))
            .collect();
        let outcomes: Vec<Result<Tried, NotTried>> =
            stream::iter(trying).buffered(CONCURRENCY).collect().await;
        let mut tried = Vec::new();
        let mut refused_order = false;
        for outcome in outcomes {
            match outcome {
                Ok(message) => tried.push(message),
                Err(NotTried::Report(report)) => commit.reports.push(report),
                Err(NotTried::WantsOrder(report)) => {
                    refused_order = true;
                    commit.reports.push(report);
                }
            }
        }
        (tried, refused_order)
    }

    async fn try_alone(
        &self,
        pass: &Pass<'_>,
        wanted: Wanted,
        index: usize,
        paused: Option<&str>,
    ) -> Result<Tried, NotTried> {
        let key = || wanted.effect.key.clone();
        if wanted.effect.paid >= MOST_PAID {
            let last = wanted.effect.last_error.as_deref().unwrap_or_default();
            let reason = format!("failed in {MOST_PAID} blocks, the last time: {last}");
            return Err(NotTried::Report((key(), failed(&reason))));
        }
        if let (ChainIntent::CreateBid { .. }, Some(reason)) = (&wanted.intent, paused) {
            let at = self.after(PAUSED_AGAIN).unwrap_or(Timestamp::MAX);
            let report = EffectReport::Later { error: reason.to_owned(), at };
            return Err(NotTried::Report((key(), report)));
        }
        match self.still_wanted(&wanted.intent, &wanted.effect, pass.tip).await {
            Ok(None) => {}
            Ok(Some(reason)) => return Err(NotTried::Report((key(), failed(&reason)))),
            Err(error) => return Err(NotTried::Report(self.not_now(&wanted, &error))),
        }
        match self.simulate(pass, vec![wanted.intent.message()], index).await {
            Ok(gas) => Ok(Tried { wanted, gas }),
            Err(error) if error.kind != ChainErrorKind::Refused || is_for_now(&error.detail) => {
                Err(NotTried::Report(self.not_now(&wanted, &error)))
            }
            Err(error) if wants_order(&error.detail) && pass.order.is_none() => {
                Err(NotTried::WantsOrder(self.not_now(&wanted, &error)))
            }
            Err(error) => Err(NotTried::Report((key(), failed(&error.detail)))),
        }
    }

    /// The gas that these messages would use together. The trial carries a fee: without one, the gas of deducting it
    /// would be missing.
    async fn simulate(
        &self,
        pass: &Pass<'_>,
        messages: Vec<Any>,
        index: usize,
    ) -> Result<u64, ChainError> {
        let mut sequencing = self.sequencing(pass, index);
        for is_last in [false, true] {
            let trial = draft(messages.clone(), sequencing, &pass.gas_price, TRIAL_GAS)
                .ok_or_else(too_large)?;
            let answer = self.chain.simulate(&trial.unsigned(&pass.key).for_simulation()).await;
            match (answer, sequencing) {
                // What is in the node's mempool counts there, and only there.
                (Err(error), Sequencing::Ordered { timeout, .. })
                    if !is_last && expected_sequence(&error.detail).is_some() =>
                {
                    let sequence = expected_sequence(&error.detail).unwrap_or_default();
                    sequencing = Sequencing::Ordered { sequence, timeout };
                }
                // A node that lags behind the account is no judge of the message.
                (Err(error), _) if expected_sequence(&error.detail).is_some() => {
                    return Err(ChainError { kind: ChainErrorKind::Behind, ..error });
                }
                (answer, _) => return answer,
            }
        }
        Err(too_large())
    }

    fn sequencing(&self, pass: &Pass<'_>, index: usize) -> Sequencing {
        match &pass.order {
            Some(order) => {
                Sequencing::Ordered { sequence: order.place(), timeout: Some(order.last_block) }
            }
            None => Sequencing::Unordered { timeout: self.timeout(index, pass.tip) },
        }
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
            // The simulation says what the chain thinks of these; once more costs a fee and nothing else.
            ChainIntent::StartReclaim { .. } | ChainIntent::Withdraw { .. } => return Ok(None),
        };
        let found = self.bid(bid, tip.height).await?;
        Ok(match found {
            Some(found) if found.state == *only_if => None,
            Some(found) => Some(format!("the bid is {}, not {only_if}", found.state)),
            None => Some("there is no such bid".to_owned()),
        })
    }

    // ------------------------------------------------------------------------------------------------------- signing

    /// Signs what was tried, together where that can be.
    async fn sign_all(
        &self,
        mut pass: Pass<'_>,
        tried: Vec<Tried>,
        learned: &Learned,
        commit: &mut AccountCommit,
    ) {
        let most = usize::from(self.settings().messages_together.max(1));
        let mut groups = plan::together(tried, most, |tried| &tried.wanted);
        groups.reverse();
        let mut index = 0;
        while let Some(mut group) = groups.pop() {
            index += 1;
            match self.sign(&pass, &group, index, learned).await {
                Ok(transaction) => {
                    if let (Some(order), Some(place)) = (&mut pass.order, transaction.sequence) {
                        order.taken.push(place);
                    }
                    commit.signed.push(transaction);
                }
                // Each of them would be carried out alone and all of them not: half of them, and the other half.
                Err(error) if error.kind == ChainErrorKind::Refused && group.len() > 1 => {
                    let rest = group.split_off(group.len() / 2);
                    groups.push(rest);
                    groups.push(group);
                }
                Err(error) if error.kind == ChainErrorKind::Refused => {
                    let reports = group
                        .into_iter()
                        .map(|tried| (tried.wanted.effect.key, failed(&error.detail)));
                    commit.reports.extend(reports);
                }
                Err(error) => {
                    commit
                        .reports
                        .extend(group.iter().map(|tried| self.not_now(&tried.wanted, &error)));
                }
            }
        }
    }

    async fn sign(
        &self,
        pass: &Pass<'_>,
        group: &[Tried],
        index: usize,
        learned: &Learned,
    ) -> Result<Transaction, ChainError> {
        let messages: Vec<Any> = group.iter().map(|tried| tried.wanted.intent.message()).collect();
        let used = match group {
            [alone] => alone.gas,
            _ => self.simulate(pass, messages.clone(), index).await?,
        };
        let margin = learned.margin(group.iter().map(|tried| tried.wanted.intent.kind()));
        let gas = used.saturating_mul(margin) / 100;
        let sequencing = self.sequencing(pass, index);
        let draft = draft(messages, sequencing, &pass.gas_price, gas).ok_or_else(too_large)?;
        let unsigned = draft.unsigned(&pass.key);
        let document = unsigned.sign_doc(&pass.tip.chain_id, pass.account);
        let signature = pass.signer.sign(&document).await.map_err(|error| ChainError {
            doing: "sign",
            detail: error.to_string(),
            // What a policy forbids is not asked for again and again.
            kind: if error.is_final {
                ChainErrorKind::Refused
            } else {
                ChainErrorKind::Unavailable
            },
        })?;
        let bytes = unsigned.with_signature(&signature);
        let (sequence, last_block, timeout) = match sequencing {
            Sequencing::Ordered { sequence, timeout } => {
                (Some(sequence), timeout, self.timeout(index, pass.tip))
            }
            Sequencing::Unordered { timeout } => (None, None, timeout),
        };
        Ok(Transaction {
            hash: wire::tx::hash(&bytes),
            account: pass.signer.address().clone(),
            effects: group.iter().map(|tried| tried.wanted.effect.key.clone()).collect(),
            bytes,
            timeout_ns: timeout.as_nanosecond().try_into().unwrap_or(i64::MAX),
            sequence,
            last_block,
            gas_limit: draft.gas_limit,
            fee: draft.fee.first().map(ToString::to_string).unwrap_or_default(),
            state: TransactionState::Signed,
            signed_at: self.clock.now(),
            broadcast_at: None,
            broadcasts: 0,
        })
    }

    fn not_now(&self, wanted: &Wanted, error: &ChainError) -> Unsigned {
        let at = self.after(back_off(wanted.effect.attempts)).unwrap_or(Timestamp::MAX);
        (wanted.effect.key.clone(), EffectReport::Later { error: error.to_string(), at })
    }
}

/// Why a message was not tried, or not with success.
enum NotTried {
    Report(Unsigned),
    /// A node takes no unordered transactions: it is tried again in order.
    WantsOrder(Unsigned),
}

fn failed(reason: &str) -> EffectReport {
    let outcome = serde_json::json!({ "reason": reason });
    EffectReport::Settled(EffectState::Failed { outcome })
}

fn too_large() -> ChainError {
    ChainError {
        doing: "work out a fee",
        detail: "the fee is too large".to_owned(),
        kind: ChainErrorKind::Refused,
    }
}

fn no_account(signer: &dyn Signer) -> ChainError {
    ChainError {
        doing: "read the provider's account",
        detail: format!(
            "{} is not on chain: send it funds for fees and deposits",
            signer.address()
        ),
        kind: ChainErrorKind::Unavailable,
    }
}

/// What fees in the budget's denom come to: each text as often as it says.
fn spent(fees: &[(String, u64)], budget: &Coin) -> u128 {
    let of_budget = |(fee, times): &(String, u64)| {
        let fee: Coin = fee.parse().ok()?;
        (fee.denom == budget.denom).then(|| fee.amount.saturating_mul(u128::from(*times)))
    };
    fees.iter().filter_map(of_budget).fold(0, u128::saturating_add)
}

/// A transaction of these messages that pays for so much gas; `None` when the fee is too large.
fn draft(
    messages: Vec<Any>,
    sequencing: Sequencing,
    gas_price: &Price,
    gas_limit: u64,
) -> Option<Draft> {
    Some(Draft {
        messages,
        memo: String::new(),
        sequencing,
        fee: vec![wire::tx::fee(gas_price, gas_limit)?],
        gas_limit,
    })
}
