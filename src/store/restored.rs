//! The restore that these rows came from, and how far the comparison with chain and cluster is.
//!
//! The one surprising fact: rows that were put back are paused. What an operator has said since the backup was made is lost,
//! a pause too, and a provider that bids against its operator's word is worse than one that waits for it.

use jiff::Timestamp;
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::{
    columns::{Micros, height, signed, unsigned},
    error::Failure,
    open::Sqlite,
    sql,
};
use crate::{
    domain::Height,
    provider::port::{MaintenanceState, Restore},
};

/// When anything was noted last in the rows of a backup: they know not when they were copied.
const NEWEST: &str = "
    SELECT max(at) FROM (SELECT max(at) AS at FROM audit UNION ALL SELECT max(taken_at) FROM observations)";
const AUDIT: &str = "
    INSERT INTO audit (at, actor, action, subject, reason)
    VALUES ($1, 'lessor', 'maintenance', 'provider', $2)";

/// Pauses the provider of rows that were put back, unless they say that an operator did. Returns why they are paused.
pub(super) async fn pause(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Result<String, sqlx::Error> {
    type Row = (String, String, String, Micros);
    let kept: Option<Row> = query_as(sql::MAINTENANCE).fetch_optional(&mut *connection).await?;
    let bidding = MaintenanceState::Bidding.as_str();
    if let Some((_, reason, ..)) = kept.filter(|(state, ..)| state != bidding) {
        return Ok(reason);
    }
    let newest: Option<Micros> = query_scalar(NEWEST).fetch_one(&mut *connection).await?;
    let of = newest.map_or_else(String::new, |Micros(at)| {
        format!(" of {}", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    });
    let reason = format!("restored from a backup{of}; resume when you have looked");
    let paused = MaintenanceState::Paused.as_str();
    query(sql::SET_MAINTENANCE)
        .bind(paused)
        .bind(&reason)
        .bind("lessor")
        .bind(Micros(now))
        .execute(&mut *connection)
        .await?;
    let line = format!("{paused}: {reason}");
    query(AUDIT).bind(Micros(now)).bind(line).execute(connection).await?;
    Ok(reason)
}

impl Sqlite {
    pub(super) async fn read_restore(&self) -> Result<Option<Restore>, Failure> {
        type Row = (i64, Micros, Option<Micros>, Option<i64>, i64);
        let row: Option<Row> = query_as(sql::LAST_RESTORE).fetch_optional(&self.readers).await?;
        Ok(row.map(|(number, Micros(restored_at), quiet_until, settled, behind)| Restore {
            number: unsigned(number),
            restored_at,
            quiet_until: quiet_until.map(|Micros(at)| at),
            settled_at: settled.map(|height| Height(unsigned(height))),
            behind: unsigned(behind),
        }))
    }

    pub(super) async fn write_restore(&self, restore: &Restore) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        query(sql::CHANGE_RESTORE)
            .bind(signed(restore.number))
            .bind(restore.quiet_until.map(Micros))
            .bind(restore.settled_at.map(height))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
