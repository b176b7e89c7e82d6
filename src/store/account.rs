//! The account that sends: its transactions, and the effects that they hold.
//!
//! A transaction's bytes are written once, before any node sees them; afterwards only its state and the count of
//! hand-overs change. Settling it settles its effects in the same commit.
//!
//! The one surprising fact: nobody claims an account. That an effect is held by one transaction is the rows' own rule, so a
//! second process that signs for the same effect has wasted a simulation and nothing else, and one that dies in between
//! keeps nobody waiting.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::{
    FromRow, SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    columns::{Micros, signed, small, unsigned},
    effects::{EffectRow, settled_columns},
    error::Failure,
    open::Sqlite,
    operator::count_changes,
    page::{Cursor, Limit},
    sql,
    subjects::wake_all,
};
use crate::{
    domain::{Address, Height},
    provider::port::{
        AccountCommit, AccountWork, Effect, EffectReport, EffectState, Page, Subject, Topic,
        Transaction, TransactionState,
    },
};

/// The most effects that one step of an account is given; far more than one transaction takes.
const MAX_WANTED: i64 = 1_000;

#[derive(FromRow)]
struct TransactionRow {
    seq: i64,
    hash: String,
    account: Text<Address>,
    effects: Json<Vec<String>>,
    bytes: Vec<u8>,
    timeout_ns: i64,
    sequence: Option<i64>,
    last_block: Option<i64>,
    gas_limit: i64,
    fee: String,
    state: Json<TransactionState>,
    signed_at: Micros,
    broadcast_at: Option<Micros>,
    broadcasts: i64,
}

impl From<TransactionRow> for Transaction {
    fn from(row: TransactionRow) -> Self {
        Self {
            hash: row.hash,
            account: row.account.0,
            effects: row.effects.0,
            bytes: row.bytes,
            timeout_ns: row.timeout_ns,
            sequence: row.sequence.map(unsigned),
            last_block: row.last_block.map(|height| Height(unsigned(height))),
            gas_limit: unsigned(row.gas_limit),
            fee: row.fee,
            state: row.state.0,
            signed_at: row.signed_at.0,
            broadcast_at: row.broadcast_at.map(|Micros(at)| at),
            broadcasts: small(row.broadcasts),
        }
    }
}

/// What a settled transaction means to the effects that it holds. One that is in a block was carried out, whatever its
/// code: the outcome tells.
fn outcome(hash: &str, state: &TransactionState) -> Result<Option<EffectState>, Failure> {
    let mut outcome = serde_json::to_value(state)
        .map_err(|error| Failure::Request(format!("transaction {hash}: {error}")))?;
    if let Value::Object(fields) = &mut outcome {
        fields.insert("hash".to_owned(), json!(hash));
    }
    Ok(match state {
        TransactionState::Signed | TransactionState::Broadcast => None,
        TransactionState::Included(_) => Some(EffectState::Done { outcome }),
        TransactionState::Expired { .. } | TransactionState::Refused(_) => {
            Some(EffectState::Failed { outcome })
        }
    })
}

/// Stores a signed transaction if each of its effects is still wanted and neither its hash nor its time-out was used.
async fn keep(
    connection: &mut SqliteConnection,
    account: &Address,
    transaction: &Transaction,
) -> Result<bool, Failure> {
    if transaction.account != *account {
        return Err(Failure::Request(format!(
            "transaction {} is signed by {}, not by {account}",
            transaction.hash, transaction.account
        )));
    }
    let wanted: i64 = query_scalar(sql::COUNT_WANTED)
        .bind(account.as_str())
        .bind(Json(&transaction.effects))
        .fetch_one(&mut *connection)
        .await?;
    if usize::try_from(wanted).ok() != Some(transaction.effects.len()) {
        return Ok(false);
    }
    let kept = query(sql::INSERT_TRANSACTION)
        .bind(&transaction.hash)
        .bind(account.as_str())
        .bind(Json(&transaction.effects))
        .bind(&transaction.bytes)
        .bind(transaction.timeout_ns)
        .bind(signed(transaction.gas_limit))
        .bind(&transaction.fee)
        .bind(Json(&transaction.state))
        .bind(transaction.state.is_settled())
        .bind(Micros(transaction.signed_at))
        .bind(transaction.broadcast_at.map(Micros))
        .bind(i64::from(transaction.broadcasts))
        .bind(transaction.sequence.map(signed))
        .bind(transaction.last_block.map(|height| signed(height.0)))
        .execute(&mut *connection)
        .await?;
    if kept.rows_affected() == 0 {
        return Ok(false);
    }
    query(sql::HOLD_EFFECTS)
        .bind(account.as_str())
        .bind(Json(&transaction.effects))
        .bind(&transaction.hash)
        .execute(connection)
        .await?;
    Ok(true)
}

/// Changes a transaction's state unless it is settled. Returns the subjects whose effects were settled by it.
async fn change(
    connection: &mut SqliteConnection,
    account: &Address,
    hash: &str,
    state: &TransactionState,
) -> Result<Vec<Subject>, Failure> {
    let changed = query(sql::SET_TRANSACTION_STATE)
        .bind(hash)
        .bind(account.as_str())
        .bind(Json(state))
        .bind(state.is_settled())
        .execute(&mut *connection)
        .await?;
    match outcome(hash, state)? {
        Some(settled) if changed.rows_affected() > 0 => {
            let (word, outcome) = settled_columns(&settled)?;
            let subjects: Vec<Text<Subject>> = query_scalar(sql::SETTLE_HELD_EFFECTS)
                .bind(hash)
                .bind(word)
                .bind(Json(outcome))
                .fetch_all(connection)
                .await?;
            Ok(subjects.into_iter().map(|Text(subject)| subject).collect())
        }
        _ => Ok(Vec::new()),
    }
}

/// Writes what became of an effect before anything was signed for it. Returns its subject when it was settled.
async fn report(
    connection: &mut SqliteConnection,
    account: &Address,
    key: &str,
    report: &EffectReport,
) -> Result<Option<Subject>, Failure> {
    match report {
        EffectReport::Settled(state) => {
            let (word, outcome) = settled_columns(state)?;
            let subject: Option<Text<Subject>> = query_scalar(sql::SETTLE_UNSENT_EFFECT)
                .bind(account.as_str())
                .bind(key)
                .bind(word)
                .bind(Json(outcome))
                .fetch_optional(connection)
                .await?;
            Ok(subject.map(|Text(subject)| subject))
        }
        EffectReport::Later { error, at } => {
            query(sql::DELAY_UNSENT_EFFECT)
                .bind(account.as_str())
                .bind(key)
                .bind(Micros(*at))
                .bind(error)
                .execute(connection)
                .await?;
            Ok(None)
        }
    }
}

/// When the account is due by itself after a step. The step has seen what is wanted, so a time that it names stands, or
/// the first retry before it. Without one, work that is left makes the account due by its own time.
async fn next_step(
    connection: &mut SqliteConnection,
    account: &Address,
    now: Timestamp,
    wake_at: Option<Timestamp>,
) -> Result<Option<Timestamp>, Failure> {
    type Outlook = (Option<Micros>, Option<Micros>, Option<i64>, bool);
    let (next_retry, first_retry, first_timeout, unhanded): Outlook =
        query_as(sql::ACCOUNT_OUTLOOK)
            .bind(account.as_str())
            .bind(Micros(now))
            .fetch_one(connection)
            .await?;
    if let Some(wake_at) = wake_at {
        return Ok(Some(next_retry.map_or(wake_at, |Micros(retry)| retry.min(wake_at))));
    }
    let timeout = first_timeout.map(|ns| Timestamp::from_nanosecond(ns.into()).unwrap_or(now));
    let retry = first_retry.map(|Micros(retry)| retry.max(now));
    Ok([retry, timeout, unhanded.then_some(now)].into_iter().flatten().min())
}

impl Sqlite {
    pub(super) async fn read_account_work(
        &self,
        account: &Address,
        now: Timestamp,
    ) -> Result<Option<AccountWork>, Failure> {
        let subject = Subject::Account(account.clone());
        let mut tx = self.read().await?;
        let wakes: Option<i64> = query_scalar(sql::READY_WAKES)
            .bind(Text(&subject))
            .bind(Micros(now))
            .fetch_optional(&mut *tx)
            .await?;
        let Some(wakes) = wakes else { return Ok(None) };
        let wanted: Vec<EffectRow> = query_as(sql::WANTED_EFFECTS)
            .bind(account.as_str())
            .bind(Micros(now))
            .bind(MAX_WANTED)
            .fetch_all(&mut *tx)
            .await?;
        let unsettled: Vec<TransactionRow> = query_as(sql::UNSETTLED_TRANSACTIONS)
            .bind(account.as_str())
            .fetch_all(&mut *tx)
            .await?;
        let since = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
        let fees: Vec<(String, i64)> = query_as(sql::FEES_SINCE)
            .bind(account.as_str())
            .bind(Micros(since))
            .fetch_all(&mut *tx)
            .await?;
        Ok(Some(AccountWork {
            wakes: unsigned(wakes),
            wanted: wanted.into_iter().map(Effect::from).collect(),
            unsettled: unsettled.into_iter().map(Transaction::from).collect(),
            fees: fees.into_iter().map(|(fee, times)| (fee, unsigned(times))).collect(),
        }))
    }

    pub(super) async fn commit_sender(
        &self,
        account: &Address,
        wakes: u64,
        now: Timestamp,
        commit: &AccountCommit,
    ) -> Result<Vec<Transaction>, Failure> {
        let mut tx = self.write().await?;
        let mut settled = Vec::new();
        for (key, outcome) in &commit.reports {
            settled.extend(report(&mut tx, account, key, outcome).await?);
        }
        let mut kept = Vec::new();
        for transaction in &commit.signed {
            if keep(&mut tx, account, transaction).await? {
                kept.push(transaction.clone());
            }
        }
        for (hash, at) in &commit.handed {
            query(sql::HAND_TRANSACTION)
                .bind(hash)
                .bind(account.as_str())
                .bind(Micros(*at))
                .execute(&mut *tx)
                .await?;
        }
        for released in &commit.released {
            query(sql::RELEASE_EFFECT)
                .bind(account.as_str())
                .bind(&released.key)
                .bind(&released.hash)
                .bind(Micros(released.at))
                .bind(&released.error)
                .bind(i64::from(released.was_paid))
                .execute(&mut *tx)
                .await?;
        }
        for (hash, state) in &commit.changed {
            settled.extend(change(&mut tx, account, hash, state).await?);
        }
        if !kept.is_empty() {
            // An order counts as sent once a transaction holds its bid.
            count_changes(&mut tx, &[Topic::Orders]).await?;
        }
        wake_all(&mut tx, &settled, now).await?;
        let due = next_step(&mut tx, account, now, commit.wake_at).await?;
        query(sql::FINISH_ACCOUNT)
            .bind(Text(&Subject::Account(account.clone())))
            .bind(signed(wakes))
            .bind(due.map(Micros))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(kept)
    }

    pub(super) async fn read_transactions(
        &self,
        unsettled_only: bool,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<Transaction>, Failure> {
        let limit = Limit::of(limit);
        let rows: Vec<TransactionRow> = query_as(sql::TRANSACTIONS)
            .bind(Cursor::sequence(after)?)
            .bind(unsettled_only)
            .bind(limit.rows_and_one())
            .fetch_all(&self.readers)
            .await?;
        Ok(limit.page(rows, |row| row.seq.to_string()))
    }
}
