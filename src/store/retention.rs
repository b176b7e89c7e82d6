//! Old rows go, a few at a time, so that no other write waits for long.
//!
//! What goes was settled long ago and belongs to nothing that is still open: a subject that waits for something, or has a
//! deadline or an outcome to take in, keeps its events and effects. Orders, decisions and leases stay.
//!
//! The one surprising fact: events have no time of their own here, only heights. The height of each day is noted, and an
//! event of a block that is older than the limit is old, whenever it was delivered.

use jiff::{SignedDuration, Timestamp};
use sqlx::{SqliteConnection, query, query_scalar};

use super::{
    columns::{Micros, height, unsigned},
    error::Failure,
    open::Sqlite,
    sql,
};
use crate::provider::port::{Sweep, Swept};

/// Seconds of a day.
const DAY: i64 = 86_400;

fn before(now: Timestamp, age: SignedDuration) -> Timestamp {
    now.saturating_sub(age).unwrap_or(Timestamp::MIN)
}

impl Sqlite {
    pub(super) async fn sweep_rows(&self, sweep: &Sweep) -> Result<Swept, Failure> {
        let old = before(sweep.now, sweep.keep);
        let limit = i64::from(sweep.limit);
        let mut tx = self.write().await?;
        query(sql::NOTE_HEIGHT)
            .bind(sweep.now.as_second().div_euclid(DAY))
            .bind(height(sweep.height))
            .execute(&mut *tx)
            .await?;
        let day = old.as_second().div_euclid(DAY);
        query(sql::FORGET_HEIGHTS).bind(day).execute(&mut *tx).await?;
        let lowest: Option<i64> =
            query_scalar(sql::HEIGHT_OF_DAY).bind(day).fetch_one(&mut *tx).await?;
        tx.commit().await?;

        let mut swept = Swept {
            deliveries: self.sweep_one(sql::SWEEP_DELIVERIES, Micros(old), limit).await?,
            other_events: self.sweep_one(sql::SWEEP_OTHER_EVENTS, Micros(old), limit).await?,
            effects: self.sweep_one(sql::SWEEP_EFFECTS, Micros(old), limit).await?,
            transactions: self.sweep_one(sql::SWEEP_TRANSACTIONS, Micros(old), limit).await?,
            audit: self
                .sweep_one(sql::SWEEP_AUDIT, Micros(before(sweep.now, sweep.keep_audit)), limit)
                .await?,
            ..Swept::default()
        };
        if let Some(lowest) = lowest {
            let mut tx = self.write().await?;
            swept.events =
                delete(&mut tx, query(sql::SWEEP_EVENTS).bind(lowest).bind(limit)).await?;
            tx.commit().await?;
        }
        Ok(swept)
    }

    async fn sweep_one(
        &self,
        statement: &'static str,
        before: Micros,
        limit: i64,
    ) -> Result<u64, Failure> {
        let mut tx = self.write().await?;
        let gone = delete(&mut tx, query(statement).bind(before).bind(limit)).await?;
        tx.commit().await?;
        Ok(gone)
    }
}

async fn delete(
    connection: &mut SqliteConnection,
    statement: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
) -> Result<u64, Failure> {
    Ok(unsigned(i64::try_from(statement.execute(connection).await?.rows_affected()).unwrap_or(0)))
}
