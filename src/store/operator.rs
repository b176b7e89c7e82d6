//! What an operator's page reads and writes: the funnel, maintenance, sessions, and counts of what changed.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{
    SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    columns::{Micros, unsigned},
    error::Failure,
    open::Sqlite,
    reading::append_audit,
    sql,
    subjects::wake_all,
};
use crate::{
    domain::OrderId,
    provider::{
        intent::CREATE_BID,
        port::{
            AuditLine, Backlog, Changes, FunnelRow, FunnelStage, Maintenance, MaintenanceState,
            Reached, Session, Subject, Topic, Totals,
        },
    },
};

/// Notes in a transaction that it changes rows of these kinds.
pub(super) async fn count_changes(
    connection: &mut SqliteConnection,
    topics: &[Topic],
) -> Result<(), Failure> {
    if !topics.is_empty() {
        query(sql::COUNT_CHANGES).bind(Json(topics)).execute(connection).await?;
    }
    Ok(())
}

/// Orders that stand at the same place of the funnel. `rank` is what their rows say, which know nothing of *sent*.
struct Place {
    stage: FunnelStage,
    rank: u8,
    held_by: Option<String>,
    orders: u64,
}

/// The places where orders of a window stand, in the order of their stages.
async fn places(
    connection: &mut SqliteConnection,
    since: Timestamp,
) -> Result<Vec<Place>, Failure> {
    let counted: Vec<(i64, Option<String>, i64)> =
        query_as(sql::FUNNEL).bind(Micros(since)).fetch_all(&mut *connection).await?;
    let priced = FunnelStage::Priced.rank();
    let sent: HashMap<Option<String>, i64> = query_as(sql::FUNNEL_SENT)
        .bind(Micros(since))
        .bind(i64::from(priced))
        .bind(CREATE_BID)
        .fetch_all(connection)
        .await?
        .into_iter()
        .collect();
    let mut places = Vec::new();
    for (rank, held_by, orders) in counted {
        let rank = u8::try_from(rank).unwrap_or_default();
        let stage = FunnelStage::of_rank(rank);
        let of_them =
            |stage, held_by, orders| Place { stage, rank, held_by, orders: unsigned(orders) };
        if stage == FunnelStage::Priced {
            let sent = sent.get(&held_by).copied().unwrap_or_default();
            places.push(of_them(stage, held_by.clone(), orders - sent));
            places.push(of_them(FunnelStage::Sent, held_by, sent));
        } else {
            places.push(of_them(stage, held_by, orders));
        }
    }
    places.retain(|place| place.orders > 0);
    places.sort_by_key(|place| place.stage);
    Ok(places)
}

impl Sqlite {
    pub(super) async fn read_changes(&self) -> Result<Changes, Failure> {
        let rows: Vec<(String, i64)> = query_as(sql::CHANGES).fetch_all(&self.readers).await?;
        let topic = |word: &str| Topic::ALL.into_iter().find(|topic| topic.as_str() == word);
        let counts =
            rows.into_iter().filter_map(|(word, count)| Some((topic(&word)?, unsigned(count))));
        Ok(Changes(counts.collect()))
    }

    pub(super) async fn read_funnel(
        &self,
        since: Timestamp,
        sample: u32,
    ) -> Result<Vec<FunnelRow>, Failure> {
        let mut tx = self.read().await?;
        let mut rows = Vec::new();
        for place in places(&mut tx, since).await? {
            let is_sent = match place.stage {
                FunnelStage::Priced => Some(false),
                FunnelStage::Sent => Some(true),
                _ => None,
            };
            let ids: Vec<Text<OrderId>> = query_scalar(sql::FUNNEL_SAMPLE)
                .bind(Micros(since))
                .bind(i64::from(place.rank))
                .bind(&place.held_by)
                .bind(i64::from(sample))
                .bind(CREATE_BID)
                .bind(is_sent)
                .fetch_all(&mut *tx)
                .await?;
            rows.push(FunnelRow {
                reached: Reached { stage: place.stage, held_by: place.held_by },
                orders: place.orders,
                sample: ids.into_iter().map(|Text(id)| id).collect(),
            });
        }
        Ok(rows)
    }

    pub(super) async fn read_totals(&self, since: Timestamp) -> Result<Totals, Failure> {
        let (orders, bids, leases, running): (i64, i64, i64, i64) = query_as(sql::TOTALS)
            .bind(Micros(since))
            .bind(i64::from(FunnelStage::InBlock.rank()))
            .bind(i64::from(FunnelStage::Won.rank()))
            .fetch_one(&self.readers)
            .await?;
        Ok(Totals {
            orders: unsigned(orders),
            bids: unsigned(bids),
            leases: unsigned(leases),
            running: unsigned(running),
        })
    }

    pub(super) async fn read_backlog(
        &self,
        failures: u32,
        block_time: Timestamp,
    ) -> Result<Backlog, Failure> {
        let counts: (i64, i64, i64, i64, i64, i64) = query_as(sql::BACKLOG)
            .bind(i64::from(failures))
            .bind(Micros(block_time))
            .bind(CREATE_BID)
            .fetch_one(&self.readers)
            .await?;
        let (open_leases, deadlines, due, stuck, unsettled, unsettled_bids) = counts;
        Ok(Backlog {
            open_leases: unsigned(open_leases),
            deadlines: unsigned(deadlines),
            due: unsigned(due),
            stuck: unsigned(stuck),
            unsettled: unsigned(unsettled),
            unsettled_bids: unsigned(unsettled_bids),
        })
    }

    pub(super) async fn read_maintenance(&self) -> Result<Maintenance, Failure> {
        type Row = (String, String, String, Micros);
        let row: Option<Row> = query_as(sql::MAINTENANCE).fetch_optional(&self.readers).await?;
        let Some((word, reason, actor, since)) = row else { return Ok(Maintenance::default()) };
        let state = MaintenanceState::from_text(&word)
            .ok_or_else(|| Failure::Request(format!("{word:?} is no state of maintenance")))?;
        Ok(Maintenance { state, reason, actor, since: Some(since.0) })
    }

    pub(super) async fn keep_maintenance(
        &self,
        wanted: &Maintenance,
        audit: &AuditLine,
        wake: &[Subject],
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        query(sql::SET_MAINTENANCE)
            .bind(wanted.state.as_str())
            .bind(&wanted.reason)
            .bind(&wanted.actor)
            .bind(Micros(wanted.since.unwrap_or(now)))
            .execute(&mut *tx)
            .await?;
        append_audit(&mut tx, std::slice::from_ref(audit)).await?;
        wake_all(&mut tx, wake, now).await?;
        count_changes(&mut tx, &[Topic::Maintenance]).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn keep_session(
        &self,
        session: &Session,
        most: u32,
        audit: &AuditLine,
    ) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        query(sql::INSERT_SESSION)
            .bind(&session.digest[..])
            .bind(Micros(session.opened_at))
            .bind(Micros(session.expires_at))
            .execute(&mut *tx)
            .await?;
        query(sql::FORGET_SESSIONS)
            .bind(Micros(session.opened_at))
            .bind(i64::from(most))
            .bind(&session.digest[..])
            .execute(&mut *tx)
            .await?;
        append_audit(&mut tx, std::slice::from_ref(audit)).await?;
        count_changes(&mut tx, &[Topic::Sessions]).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn read_session(&self, digest: &[u8; 32]) -> Result<Option<Session>, Failure> {
        let row: Option<(Micros, Micros)> =
            query_as(sql::SESSION).bind(&digest[..]).fetch_optional(&self.readers).await?;
        Ok(row.map(|(opened, expires)| Session {
            digest: *digest,
            opened_at: opened.0,
            expires_at: expires.0,
        }))
    }

    pub(super) async fn forget_session(
        &self,
        digest: &[u8; 32],
        audit: &AuditLine,
    ) -> Result<bool, Failure> {
        let mut tx = self.write().await?;
        let ended = query(sql::END_SESSION).bind(&digest[..]).execute(&mut *tx).await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        append_audit(&mut tx, std::slice::from_ref(audit)).await?;
        count_changes(&mut tx, &[Topic::Sessions]).await?;
        tx.commit().await?;
        Ok(true)
    }
}
