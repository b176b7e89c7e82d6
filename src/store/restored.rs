//! The restore that these rows came from, and how far the comparison with chain and cluster is.

use sqlx::{query, query_as};

use super::{
    columns::{Micros, height, signed, unsigned},
    error::Failure,
    open::Sqlite,
    sql,
};
use crate::{domain::Height, provider::port::Restore};

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
