//! Deliveries of streams: each is committed once, its events once each, and the subjects of new events are woken with it.
//!
//! The one surprising fact: an event's identity may come again with other content. Both contents are kept, numbered as
//! *variants*, because neither is proof of anything; a step reads the chain.

mod group;
mod line;
mod rows;
mod sort;
mod sql;

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::{
    query, query_as,
    types::{Json, Text},
};

pub(super) use self::line::Inbox;
use self::rows::{identity_of, set_stream_state, stream_state};
use super::{
    columns::{small, unsigned},
    error::Failure,
    open::Sqlite,
    operator::count_changes,
};
use crate::{
    event::hash::TxHash,
    provider::port::{EventRow, Spent, StreamChange, StreamRow, StreamState, Subject, Topic},
};

/// Seconds of the host's clock for which a stream's read budget counts.
const BUDGET_WINDOW: i64 = 60;

impl Sqlite {
    pub(super) async fn read_stream(&self, name: &str) -> Result<Option<StreamRow>, Failure> {
        type Row = (String, Json<StreamState>, i64, i64, i64, i64, i64, i64);
        let row: Option<Row> =
            query_as(sql::STREAM).bind(name).fetch_optional(&self.readers).await?;
        Ok(row.map(
            |(
                name,
                Json(state),
                deliveries,
                events,
                duplicates,
                ignored,
                conflicts,
                unverified,
            )| {
                StreamRow {
                    name,
                    state,
                    deliveries: unsigned(deliveries),
                    events: unsigned(events),
                    duplicates: unsigned(duplicates),
                    ignored: unsigned(ignored),
                    conflicts: unsigned(conflicts),
                    unverified: unsigned(unverified),
                }
            },
        ))
    }

    pub(super) async fn change_stream_state(
        &self,
        name: &str,
        change: &StreamChange<'_>,
    ) -> Result<StreamState, Failure> {
        let mut tx = self.write().await?;
        let state = change(&stream_state(&mut tx, name).await?);
        set_stream_state(&mut tx, name, &state).await?;
        count_changes(&mut tx, &[Topic::Streams]).await?;
        tx.commit().await?;
        Ok(state)
    }

    pub(super) async fn spend_reads(
        &self,
        stream: &str,
        reads: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<Spent, Failure> {
        let minute = now.as_second().div_euclid(BUDGET_WINDOW);
        let mut tx = self.write().await?;
        let stored: Option<(i64, i64)> =
            query_as(sql::READ_BUDGET).bind(stream).fetch_optional(&mut *tx).await?;
        let spent = match stored {
            Some((stored_minute, spent)) if stored_minute == minute => small(spent),
            _ => 0,
        };
        let with_these = spent.saturating_add(reads);
        if with_these > limit {
            return Ok(Spent { reads: spent, granted: false });
        }
        query(sql::SET_READ_BUDGET)
            .bind(stream)
            .bind(minute)
            .bind(i64::from(with_these))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Spent { reads: with_these, granted: true })
    }

    pub(super) async fn read_events(
        &self,
        subject: &Subject,
        limit: u32,
    ) -> Result<Vec<EventRow>, Failure> {
        type Row = (String, i64, Text<TxHash>, i64, i64, String, Json<Map<String, Value>>);
        let rows: Vec<Row> = query_as(sql::EVENTS)
            .bind(Text(subject))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        let event =
            |(chain_id, height, Text(tx_hash), msg_index, event_index, kind, Json(attributes))| {
                let identity = identity_of((chain_id, height, tx_hash, msg_index, event_index));
                EventRow { identity, kind, attributes, subject: Some(subject.clone()) }
            };
        Ok(rows.into_iter().map(event).collect())
    }
}
