//! Versions of policy and prices: only ever added to, and only on top of the version that the writer has seen.

use jiff::Timestamp;
use serde_json::Value;
use sqlx::{FromRow, query, query_as, query_scalar, types::Json};

use super::{
    columns::{Micros, signed, unsigned},
    error::Failure,
    open::Sqlite,
    page::{Cursor, Limit},
    reading::append_audit,
    sql,
};
use crate::provider::port::{AuditLine, NewPolicy, Page, PolicyRow, PolicyStored};

#[derive(FromRow)]
struct Row {
    version: i64,
    body: Json<Value>,
    made_at: Micros,
    made_by: String,
    reason: String,
}

impl From<Row> for PolicyRow {
    fn from(row: Row) -> Self {
        Self {
            version: unsigned(row.version),
            body: row.body.0,
            made_at: row.made_at.0,
            made_by: row.made_by,
            reason: row.reason,
        }
    }
}

impl Sqlite {
    pub(super) async fn read_policy_version(&self) -> Result<u64, Failure> {
        let version: i64 = query_scalar(sql::POLICY_VERSION).fetch_one(&self.readers).await?;
        Ok(unsigned(version))
    }

    pub(super) async fn read_newest_policy(
        &self,
        made_by: Option<&str>,
    ) -> Result<Option<PolicyRow>, Failure> {
        let row: Option<Row> =
            query_as(sql::NEWEST_POLICY).bind(made_by).fetch_optional(&self.readers).await?;
        Ok(row.map(PolicyRow::from))
    }

    pub(super) async fn read_policies(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<PolicyRow>, Failure> {
        let limit = Limit::of(limit);
        let rows: Vec<Row> = query_as(sql::POLICIES)
            .bind(Cursor::sequence(after)?)
            .bind(limit.rows_and_one())
            .fetch_all(&self.readers)
            .await?;
        Ok(limit.page(rows, |row| row.version.to_string()))
    }

    pub(super) async fn add_policy(
        &self,
        seen: u64,
        new: &NewPolicy,
        now: Timestamp,
    ) -> Result<PolicyStored, Failure> {
        let mut tx = self.write().await?;
        let newest: i64 = query_scalar(sql::POLICY_VERSION).fetch_one(&mut *tx).await?;
        let newest = unsigned(newest);
        if newest != seen {
            return Ok(PolicyStored::Changed { version: newest });
        }
        let version = newest.saturating_add(1);
        query(sql::ADD_POLICY)
            .bind(signed(version))
            .bind(Json(&new.body))
            .bind(Micros(now))
            .bind(&new.made_by)
            .bind(&new.reason)
            .execute(&mut *tx)
            .await?;
        let line = AuditLine {
            at: now,
            actor: new.made_by.clone(),
            action: "policy".to_owned(),
            subject: format!("policy/{version}"),
            reason: new.reason.clone(),
        };
        append_audit(&mut tx, &[line]).await?;
        tx.commit().await?;
        Ok(PolicyStored::Done { version })
    }
}
