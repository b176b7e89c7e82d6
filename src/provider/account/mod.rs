//! The account that sends: wanted messages become signed, stored, broadcast and settled transactions.
//!
//! Bytes are stored before any node sees them, and only stored bytes are sent. Transactions are *unordered* where the
//! chain takes them: each has a time-out of its own instead of a place in a sequence, so many are under way at once and
//! none waits for another; the chain itself refuses the same time-out twice and everything after it. Elsewhere they are
//! *ordered* and pipelined, each with a last block. What a transaction came to is decided by a block, or by its absence from
//! the state it would have changed, read past its time-out; a node that does not know a hash decides nothing.
//!
//! | file | what |
//! |---|---|
//! | `plan` | which messages may be signed now, and which go together |
//! | `sign` | what each is tried with, and what it may cost |
//! | `settle` | handing over, and finding out what became of it |
//! | `lesson` | what each refusal and failure means, and what is learned from it |
//!
//! The one surprising fact: messages that wait together share a transaction only after each was tried alone, and a
//! transaction that failed costs only the message that failed its place: the others go again, alone.

mod lesson;
mod plan;
mod settle;
mod sign;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};

use self::{
    lesson::Learned,
    settle::{Looked, Settled},
    sign::Wanting,
};
use super::{
    Error, Provider,
    intent::MessageKind,
    port::{AccountCommit, AccountWork, ChainError, Observation, Signer, Tip, Transaction},
};
use crate::domain::{Bid, BidId, DeploymentId, Height};

/// Messages that are simulated, or transactions that are sent or looked for, at once.
const CONCURRENCY: usize = 8;
/// How often an unsettled transaction is looked for.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_millis(500);
/// Under which name is kept what the account learned.
const LEARNED: &str = "account";

impl Provider {
    /// One step of the provider's own account. Returns how many transactions were signed or settled.
    pub async fn run_account(&self, tip: &Tip) -> Result<u32, Error> {
        let Some(signer) = self.signer.clone() else { return Ok(0) };
        let account = signer.address();
        // What a node of another chain says of transactions is worth nothing, and what was signed for it would be lost.
        if self.chain_name().await? != tip.chain_id {
            tracing::warn!(chain = %tip.chain_id, "the node says that it is on another chain; nothing is signed or settled");
            return Ok(0);
        }
        // Two passes of one process would sign for the same effects; another process may, and the rows let one through.
        let _one_at_a_time = self.sending.lock().await;
        let now = self.clock.now();
        let Some(work) = self.store.account_work(account, now).await? else { return Ok(0) };
        let wakes = work.wakes;
        let before = self.learned().await?;
        let mut learned = before.clone();
        let (commit, again) = self.prepare_commit(signer.as_ref(), work, tip, &mut learned).await?;
        let count = commit.signed.len() + commit.changed.len();
        let kept = self.store.commit_account(account, wakes, self.clock.now(), &commit).await?;
        let to_send: Vec<Transaction> = kept.into_iter().chain(again).collect();
        if !to_send.is_empty() {
            let sent = self.hand_over(to_send, self.after(LOOK_AGAIN), &mut learned).await;
            self.store.commit_account(account, wakes, self.clock.now(), &sent).await?;
        }
        if learned != before {
            self.keep_learned(&learned).await?;
        }
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Looks for what is under way and signs what is wanted; with it, the transactions to hand to a node again.
    async fn prepare_commit(
        &self,
        signer: &dyn Signer,
        work: AccountWork,
        tip: &Tip,
        learned: &mut Learned,
    ) -> Result<(AccountCommit, Vec<Transaction>), Error> {
        let AccountWork { wanted, unsettled, fees, .. } = work;
        let mut commit = AccountCommit::default();
        let mut again = Vec::new();
        let mut waiting = Vec::new();
        let mut held = Vec::new();
        for (transaction, looked) in self.look_for_all(unsettled, tip).await {
            match looked {
                Looked::Settled(settled) => {
                    // What is simulated on that very block would settle the account a second time in it.
                    if settled.is_at(tip.height) {
                        held.extend(transaction.effects.iter().cloned());
                    }
                    self.settle(&mut commit, transaction, settled, learned);
                }
                Looked::Waiting => waiting.push(transaction),
                Looked::SendAgain => again.push(transaction),
            }
        }
        // A message that the rows of a backup want may be on its way already, in a transaction that they do not know.
        let is_quiet = self.restore().is_some_and(|restore| restore.is_quiet(tip.time));
        let waits = is_quiet && !wanted.is_empty();
        let mut blocked = false;
        if !is_quiet && !wanted.is_empty() {
            let open: Vec<&Transaction> = waiting.iter().chain(&again).collect();
            held.extend(open.iter().flat_map(|open| open.effects.iter().cloned()));
            let work = Wanting { wanted, open: &open, held: &held, fees: &fees };
            blocked = self.sign_wanted(signer, work, tip, learned, &mut commit).await?;
        }
        // Until it is handed over or found, it is somebody's to look at again soon: ours, or another's if we die.
        let is_open = !waiting.is_empty() || !again.is_empty() || !commit.signed.is_empty();
        if is_open || waits || blocked {
            commit.wake_at = self.after(LOOK_AGAIN);
        }
        Ok((commit, again))
    }

    async fn look_for_all(
        &self,
        unsettled: Vec<Transaction>,
        tip: &Tip,
    ) -> Vec<(Transaction, Looked)> {
        stream::iter(unsettled)
            .map(|transaction| async {
                let looked = self.look_for(&transaction, tip).await;
                (transaction, looked)
            })
            .buffered(CONCURRENCY)
            .collect()
            .await
    }

    /// Notes what a transaction came to: its state, the messages that are wanted again, and what is learned.
    fn settle(
        &self,
        commit: &mut AccountCommit,
        transaction: Transaction,
        settled: Settled,
        learned: &mut Learned,
    ) {
        let released = settle::released(&transaction, &settled.state, learned, self.clock.now());
        commit.released.extend(released);
        commit.changed.push((transaction.hash, settled.state));
    }

    async fn learned(&self) -> Result<Learned, Error> {
        let kept = self.store.observation(LEARNED).await?;
        Ok(kept.and_then(|kept| serde_json::from_value(kept.body).ok()).unwrap_or_default())
    }

    async fn keep_learned(&self, learned: &Learned) -> Result<(), Error> {
        let observation = Observation {
            key: LEARNED.to_owned(),
            taken_at: self.clock.now(),
            body: serde_json::to_value(learned).unwrap_or_default(),
        };
        Ok(self.store.observe(&observation).await?)
    }

    fn after(&self, wait: SignedDuration) -> Option<Timestamp> {
        self.clock.now().checked_add(wait).ok()
    }

    async fn bid(&self, id: &BidId, at_least: Height) -> Result<Option<Bid>, ChainError> {
        let deployment: &DeploymentId = id.order.deployment();
        let bids = self.chain.bids(deployment, at_least).await?;
        Ok(bids.value.into_iter().find(|bid| bid.id == *id))
    }
}

/// The kinds of a transaction's messages.
fn kinds(effects: &[String]) -> impl Iterator<Item = MessageKind> + '_ {
    effects.iter().filter_map(|key| MessageKind::of_key(key))
}
