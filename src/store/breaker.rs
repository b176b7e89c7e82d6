//! Teardowns that were too many at once.

use jiff::Timestamp;
use sqlx::{query, query_as, query_scalar};

use super::{
    columns::{Micros, unsigned},
    error::Failure,
    open::Sqlite,
    operator::count_changes,
    reading::append_audit,
};
use crate::provider::port::{AuditLine, Breaker, Topic};

const READ: &str = "SELECT held_since, decided, agreed_at, agreed_by FROM breaker";
const DECIDED: &str = "
    SELECT count(*) FROM audit
    WHERE action = 'teardown' AND at > max($1, coalesce((SELECT agreed_at FROM breaker), 0))";
const HOLD: &str = "
    UPDATE breaker SET held_since = $1, decided = $2 WHERE held_since IS NULL";
const AGREE: &str = "
    UPDATE breaker SET held_since = NULL, agreed_at = $1, agreed_by = $2";

impl Sqlite {
    pub(super) async fn read_breaker(&self) -> Result<Breaker, Failure> {
        type Row = (Option<Micros>, i64, Option<Micros>, Option<String>);
        let (held, decided, agreed, agreed_by): Row =
            query_as(READ).fetch_one(&self.readers).await?;
        Ok(Breaker {
            held_since: held.map(|Micros(at)| at),
            decided: unsigned(decided),
            agreed_at: agreed.map(|Micros(at)| at),
            agreed_by,
        })
    }

    pub(super) async fn count_teardowns(&self, since: Timestamp) -> Result<u64, Failure> {
        let decided: i64 =
            query_scalar(DECIDED).bind(Micros(since)).fetch_one(&self.readers).await?;
        Ok(unsigned(decided))
    }

    pub(super) async fn hold(
        &self,
        decided: u64,
        audit: &AuditLine,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        let decided = i64::try_from(decided).unwrap_or(i64::MAX);
        let held = query(HOLD).bind(Micros(now)).bind(decided).execute(&mut *tx).await?;
        if held.rows_affected() > 0 {
            append_audit(&mut tx, std::slice::from_ref(audit)).await?;
            count_changes(&mut tx, &[Topic::Maintenance]).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn agree(&self, audit: &AuditLine, now: Timestamp) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        query(AGREE).bind(Micros(now)).bind(&audit.actor).execute(&mut *tx).await?;
        append_audit(&mut tx, std::slice::from_ref(audit)).await?;
        count_changes(&mut tx, &[Topic::Maintenance]).await?;
        tx.commit().await?;
        Ok(())
    }
}
