//! What an operator reads of an indexer's deliveries and of steps that fail, and how such a step is tried at once.

use jiff::Timestamp;
use sqlx::{FromRow, query, query_as, types::Text};

use super::{
    columns::{Micros, small},
    error::Failure,
    open::Sqlite,
    page::{Cursor, Limit},
    sql,
};
use crate::provider::port::{DeliveryRow, Page, StuckRow, Subject};

#[derive(FromRow)]
struct Taken {
    id: String,
    digest: Vec<u8>,
    origin: String,
    received_at: Micros,
}

impl From<Taken> for DeliveryRow {
    fn from(row: Taken) -> Self {
        let Taken { id, digest, origin, received_at: Micros(received_at) } = row;
        Self { id, digest, origin, received_at }
    }
}

#[derive(FromRow)]
struct Failing {
    subject: Text<Subject>,
    failures: i64,
    last_error: Option<String>,
    ready_at: Option<Micros>,
}

impl From<Failing> for StuckRow {
    fn from(row: Failing) -> Self {
        Self {
            subject: row.subject.0,
            failures: small(row.failures),
            last_error: row.last_error,
            retry_at: row.ready_at.map(|Micros(at)| at),
        }
    }
}

impl Sqlite {
    pub(super) async fn read_deliveries(
        &self,
        stream: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<DeliveryRow>, Failure> {
        let limit = Limit::of(limit);
        let (time, id) = Cursor::time_and_id(after)?;
        let rows: Vec<Taken> = query_as(sql::DELIVERIES)
            .bind(stream)
            .bind(time)
            .bind(id)
            .bind(limit.rows_and_one())
            .fetch_all(&self.readers)
            .await?;
        Ok(limit.page(rows, |row| Cursor::at(row.received_at, &row.id)))
    }

    pub(super) async fn read_stuck(
        &self,
        failures: u32,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<StuckRow>, Failure> {
        let limit = Limit::of(limit);
        let rows: Vec<Failing> = query_as(sql::STUCK)
            .bind(i64::from(failures))
            .bind(after.unwrap_or_default())
            .bind(limit.rows_and_one())
            .fetch_all(&self.readers)
            .await?;
        Ok(limit.page(rows, |row| row.subject.0.to_string()))
    }

    pub(super) async fn make_due(
        &self,
        subject: &Subject,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let mut tx = self.write().await?;
        let made =
            query(sql::TRY_NOW).bind(Text(subject)).bind(Micros(now)).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(made.rows_affected() > 0)
    }
}
