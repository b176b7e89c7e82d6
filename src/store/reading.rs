//! What pages and routes read: orders, decisions, observations, the audit; and the store's own identity and health.

use serde::Serialize;
use serde_json::Value;
use sqlx::{
    FromRow, SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    columns::{Micros, height, unsigned},
    error::Failure,
    open::Sqlite,
    operator::count_changes,
    page::{Cursor, Limit},
    sql,
};
use crate::{
    bidengine::Decision,
    domain::{Address, Height, OrderId},
    provider::port::{
        AuditLine, ChainIdentity, FunnelStage, Observation, OrderFilter, OrderRow, Page, Reached,
        Topic,
    },
};

#[derive(FromRow)]
struct StoredOrder {
    id: Text<OrderId>,
    phase: String,
    bid: Option<String>,
    lease: Option<String>,
    reached: i64,
    held_by: Option<String>,
    seen_at: Micros,
    changed_at: Micros,
    body: Json<Value>,
}

impl From<StoredOrder> for OrderRow {
    fn from(row: StoredOrder) -> Self {
        Self {
            id: row.id.0,
            phase: row.phase,
            bid: row.bid,
            lease: row.lease,
            reached: reached(row.reached, row.held_by),
            seen_at: row.seen_at.0,
            changed_at: row.changed_at.0,
            body: row.body.0,
        }
    }
}

fn reached(rank: i64, held_by: Option<String>) -> Reached {
    Reached { stage: FunnelStage::of_rank(u8::try_from(rank).unwrap_or_default()), held_by }
}

#[derive(FromRow)]
struct StoredLine {
    seq: i64,
    at: Micros,
    actor: String,
    action: String,
    subject: String,
    reason: String,
}

impl From<StoredLine> for AuditLine {
    fn from(row: StoredLine) -> Self {
        Self {
            at: row.at.0,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            reason: row.reason,
        }
    }
}

pub(super) async fn put_orders(
    connection: &mut SqliteConnection,
    orders: &[OrderRow],
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        id: &'a OrderId,
        owner: &'a Address,
        phase: &'a str,
        bid: Option<&'a str>,
        lease: Option<&'a str>,
        reached: u8,
        held_by: Option<&'a str>,
        seen_at: Micros,
        changed_at: Micros,
        body: &'a Value,
    }
    if orders.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row<'_>> = orders
        .iter()
        .map(|order| Row {
            id: &order.id,
            owner: order.id.owner(),
            phase: &order.phase,
            bid: order.bid.as_deref(),
            lease: order.lease.as_deref(),
            reached: order.reached.stage.rank(),
            held_by: order.reached.held_by.as_deref(),
            seen_at: Micros(order.seen_at),
            changed_at: Micros(order.changed_at),
            body: &order.body,
        })
        .collect();
    query(sql::UPSERT_ORDERS).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

pub(super) async fn put_decisions(
    connection: &mut SqliteConnection,
    decisions: &[Decision],
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        order: &'a OrderId,
        body: &'a Decision,
    }
    if decisions.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row<'_>> =
        decisions.iter().map(|body| Row { order: &body.order, body }).collect();
    query(sql::UPSERT_DECISIONS).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

pub(super) async fn append_audit(
    connection: &mut SqliteConnection,
    lines: &[AuditLine],
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        at: Micros,
        actor: &'a str,
        action: &'a str,
        subject: &'a str,
        reason: &'a str,
    }
    if lines.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row<'_>> = lines
        .iter()
        .map(|line| Row {
            at: Micros(line.at),
            actor: &line.actor,
            action: &line.action,
            subject: &line.subject,
            reason: &line.reason,
        })
        .collect();
    query(sql::INSERT_AUDIT).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

async fn identity(connection: &mut SqliteConnection) -> Result<Option<ChainIdentity>, Failure> {
    let row: Option<(String, String, i64)> =
        query_as(sql::CHAIN_IDENTITY).fetch_optional(connection).await?;
    Ok(row.map(|(chain_id, first_block_hash, first_block_height)| ChainIdentity {
        chain_id,
        first_block_hash,
        first_block_height: Height(unsigned(first_block_height)),
    }))
}

impl Sqlite {
    pub(super) async fn read_identity(&self) -> Result<Option<ChainIdentity>, Failure> {
        let mut connection = self.readers.acquire().await?;
        identity(&mut connection).await
    }

    pub(super) async fn record_identity(
        &self,
        offered: &ChainIdentity,
    ) -> Result<ChainIdentity, Failure> {
        let mut tx = self.write().await?;
        query(sql::RECORD_CHAIN_IDENTITY)
            .bind(&offered.chain_id)
            .bind(&offered.first_block_hash)
            .bind(height(offered.first_block_height))
            .execute(&mut *tx)
            .await?;
        let recorded = identity(&mut tx).await?;
        tx.commit().await?;
        Ok(recorded.unwrap_or_else(|| offered.clone()))
    }

    pub(super) async fn read_orders(
        &self,
        filter: &OrderFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<OrderRow>, Failure> {
        let limit = Limit::of(limit);
        let (changed_at, id) = Cursor::time_and_id(after)?;
        if filter.open_lease {
            let rows: Vec<StoredOrder> = query_as(sql::OPEN_LEASES)
                .bind(changed_at)
                .bind(id)
                .bind(filter.owner.as_ref().map(Address::as_str))
                .bind(limit.rows_and_one())
                .fetch_all(&self.readers)
                .await?;
            return Ok(limit.page(rows, |row| Cursor::at(row.changed_at, &row.id.0.to_string())));
        }
        let rows: Vec<StoredOrder> = query_as(sql::ORDERS)
            .bind(changed_at)
            .bind(id)
            .bind(filter.phase.as_deref())
            .bind(filter.bid.is_some())
            .bind(filter.bid.as_ref().and_then(Option::as_deref))
            .bind(filter.lease.is_some())
            .bind(filter.lease.as_ref().and_then(Option::as_deref))
            .bind(filter.owner.as_ref().map(Address::as_str))
            .bind(limit.rows_and_one())
            .fetch_all(&self.readers)
            .await?;
        Ok(limit.page(rows, |row| Cursor::at(row.changed_at, &row.id.0.to_string())))
    }

    pub(super) async fn read_order(&self, id: &OrderId) -> Result<Option<OrderRow>, Failure> {
        let row: Option<StoredOrder> =
            query_as(sql::ORDER).bind(Text(id)).fetch_optional(&self.readers).await?;
        Ok(row.map(OrderRow::from))
    }

    pub(super) async fn read_decision(&self, order: &OrderId) -> Result<Option<Decision>, Failure> {
        let body: Option<Json<Decision>> =
            query_scalar(sql::DECISION).bind(Text(order)).fetch_optional(&self.readers).await?;
        Ok(body.map(|Json(decision)| decision))
    }

    pub(super) async fn count_orders(&self) -> Result<Vec<(String, u64)>, Failure> {
        let rows: Vec<(String, i64)> = query_as(sql::ORDER_COUNTS).fetch_all(&self.readers).await?;
        Ok(rows.into_iter().map(|(phase, count)| (phase, unsigned(count))).collect())
    }

    pub(super) async fn keep_observation(&self, seen: &Observation) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        query(sql::OBSERVE)
            .bind(&seen.key)
            .bind(Micros(seen.taken_at))
            .bind(Json(&seen.body))
            .execute(&mut *tx)
            .await?;
        count_changes(&mut tx, Topic::of_observation(&seen.key).as_slice()).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn read_observation(&self, key: &str) -> Result<Option<Observation>, Failure> {
        let row: Option<(String, Micros, Json<Value>)> =
            query_as(sql::OBSERVATION).bind(key).fetch_optional(&self.readers).await?;
        Ok(row.map(|(key, Micros(taken_at), Json(body))| Observation { key, taken_at, body }))
    }

    pub(super) async fn add_audit(&self, lines: &[AuditLine]) -> Result<(), Failure> {
        let mut tx = self.write().await?;
        append_audit(&mut tx, lines).await?;
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn read_audit(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditLine>, Failure> {
        let limit = Limit::of(limit);
        let rows: Vec<StoredLine> = query_as(sql::AUDIT_LINES)
            .bind(Cursor::sequence(after)?)
            .bind(limit.rows_and_one())
            .fetch_all(&self.readers)
            .await?;
        Ok(limit.page(rows, |row| row.seq.to_string()))
    }

    /// Reads the schema, takes the write lock and writes a row that is then taken back: nothing reaches the disk, so this
    /// may be asked often.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        if !self.has_known_schema().await? {
            return Err(Failure::Request(
                "another program has changed the schema of the file".to_owned(),
            ));
        }
        let mut tx = self.write().await?;
        query(sql::TOUCH).execute(&mut *tx).await?;
        tx.rollback().await?;
        Ok(())
    }
}
