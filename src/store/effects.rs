//! Effects: wanted by steps, carried out by executors. Cluster effects are claimed here one by one; chain effects are held
//! by transactions (see `account`).

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::{
    FromRow, SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    columns::{Micros, signed, small, unsigned},
    error::Failure,
    open::Sqlite,
    sql,
    subjects::{next_fence, wake_all},
};
use crate::{
    domain::Address,
    provider::port::{
        Effect, EffectClaim, EffectKind, EffectReport, EffectState, NewEffect, Subject,
    },
};

#[derive(FromRow)]
pub(super) struct EffectRow {
    key: String,
    subject: Text<Subject>,
    kind: String,
    body: Json<Value>,
    state: String,
    outcome: Option<Json<Value>>,
    attempts: i64,
    paid: i64,
    last_error: Option<String>,
    wanted_at: Micros,
}

impl From<EffectRow> for Effect {
    fn from(row: EffectRow) -> Self {
        let outcome = row.outcome.map_or(Value::Null, |Json(outcome)| outcome);
        Self {
            key: row.key,
            subject: row.subject.0,
            kind: if row.kind == "chain" { EffectKind::Chain } else { EffectKind::Cluster },
            body: row.body.0,
            state: match row.state.as_str() {
                "wanted" => EffectState::Wanted,
                "withdrawn" => EffectState::Withdrawn,
                "done" => EffectState::Done { outcome },
                "failed" => EffectState::Failed { outcome },
                _ => EffectState::Begun,
            },
            attempts: small(row.attempts),
            paid: small(row.paid),
            last_error: row.last_error,
            wanted_at: row.wanted_at.0,
        }
    }
}

const fn kind_word(kind: EffectKind) -> &'static str {
    match kind {
        EffectKind::Chain => "chain",
        EffectKind::Cluster => "cluster",
    }
}

/// The word and the outcome of a settled state.
pub(super) fn settled_columns(state: &EffectState) -> Result<(&'static str, &Value), Failure> {
    match state {
        EffectState::Done { outcome } => Ok(("done", outcome)),
        EffectState::Failed { outcome } => Ok(("failed", outcome)),
        EffectState::Wanted | EffectState::Withdrawn | EffectState::Begun => Err(Failure::Request(
            "an executor reports an effect as settled that is neither done nor failed".to_owned(),
        )),
    }
}

pub(super) async fn effects_of(
    connection: &mut SqliteConnection,
    subjects: &[String],
) -> Result<Vec<Effect>, Failure> {
    let rows: Vec<EffectRow> =
        query_as(sql::EFFECTS_OF).bind(Json(subjects)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(Effect::from).collect())
}

/// Inserts those whose key is new, and wakes the accounts that are to send them.
pub(super) async fn want(
    connection: &mut SqliteConnection,
    subject: &Subject,
    effects: &[NewEffect],
    now: Timestamp,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        key: &'a str,
        kind: &'static str,
        account: Option<&'a Address>,
        body: &'a Value,
        priority: u8,
    }
    if effects.is_empty() {
        return Ok(());
    }
    if let Some(effect) =
        effects.iter().find(|effect| (effect.kind == EffectKind::Chain) != effect.account.is_some())
    {
        let key = &effect.key;
        return Err(Failure::Request(format!(
            "effect {key:?} must name an account if and only if it is sent to the chain"
        )));
    }
    let rows: Vec<Row<'_>> = effects
        .iter()
        .map(|effect| Row {
            key: &effect.key,
            kind: kind_word(effect.kind),
            account: effect.account.as_ref(),
            body: &effect.body,
            priority: effect.priority,
        })
        .collect();
    let accounts: Vec<Option<Text<Address>>> = query_scalar(sql::INSERT_EFFECTS)
        .bind(Json(rows))
        .bind(Text(subject))
        .bind(Micros(now))
        .fetch_all(&mut *connection)
        .await?;
    let accounts: Vec<Subject> =
        accounts.into_iter().flatten().map(|Text(address)| Subject::Account(address)).collect();
    wake_all(connection, &accounts, now).await?;
    Ok(())
}

/// Withdraws those that no executor has begun. That is an outcome too: the subject is woken to see it.
pub(super) async fn withdraw(
    connection: &mut SqliteConnection,
    subject: &Subject,
    keys: &[String],
    now: Timestamp,
) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let withdrawn = query(sql::WITHDRAW_EFFECTS)
        .bind(Text(subject))
        .bind(Json(keys))
        .execute(&mut *connection)
        .await?;
    if withdrawn.rows_affected() > 0 {
        wake_all(connection, [subject], now).await?;
    }
    Ok(())
}

pub(super) async fn absorb(
    connection: &mut SqliteConnection,
    subject: &Subject,
    keys: &[String],
) -> Result<(), Failure> {
    if !keys.is_empty() {
        query(sql::ABSORB_EFFECTS).bind(Text(subject)).bind(Json(keys)).execute(connection).await?;
    }
    Ok(())
}

impl Sqlite {
    pub(super) async fn read_effects(&self, subject: &Subject) -> Result<Vec<Effect>, Failure> {
        let mut connection = self.readers.acquire().await?;
        effects_of(&mut connection, &[subject.to_string()]).await
    }

    pub(super) async fn claim_cluster_effects(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<EffectClaim>, Failure> {
        let ready: Vec<String> = query_scalar(sql::READY_EFFECTS)
            .bind(Micros(now))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        if ready.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let fence = next_fence(&mut tx).await?;
        let rows: Vec<EffectRow> = query_as(sql::CLAIM_EFFECTS)
            .bind(Json(&ready))
            .bind(worker)
            .bind(fence)
            .bind(Micros(until))
            .bind(Micros(now))
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let mut claims: Vec<EffectClaim> = rows
            .into_iter()
            .map(|row| EffectClaim { effect: row.into(), fence: unsigned(fence) })
            .collect();
        claims.sort_by_key(|claim| ready.iter().position(|key| *key == claim.effect.key));
        Ok(claims)
    }

    pub(super) async fn report_cluster_effect(
        &self,
        claim: &EffectClaim,
        report: &EffectReport,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let key = &claim.effect.key;
        let fence = signed(claim.fence);
        let mut tx = self.write().await?;
        let owned = match report {
            EffectReport::Settled(state) => {
                let (word, outcome) = settled_columns(state)?;
                let subject: Option<Text<Subject>> = query_scalar(sql::SETTLE_EFFECT)
                    .bind(key)
                    .bind(fence)
                    .bind(word)
                    .bind(Json(outcome))
                    .fetch_optional(&mut *tx)
                    .await?;
                wake_all(&mut tx, subject.as_ref().map(|Text(subject)| subject), now).await? > 0
            }
            EffectReport::Later { error, at } => {
                let delayed = query(sql::DELAY_EFFECT)
                    .bind(key)
                    .bind(fence)
                    .bind(Micros(*at))
                    .bind(error)
                    .execute(&mut *tx)
                    .await?;
                delayed.rows_affected() > 0
            }
        };
        tx.commit().await?;
        Ok(owned)
    }
}
