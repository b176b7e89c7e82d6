//! Looks at a store's file without changing it: is it whole, and do its rows say things that cannot be?
//!
//! Damage is what SQLite itself finds, or a file that is no store. Everything else is a rule that every commit keeps: a
//! finding there is a bug, or somebody's own statements.

use std::path::{Path, PathBuf};

use serde::Serialize;
use sqlx::{SqliteConnection, query_as, query_scalar};

use super::{
    backup::open_to_read,
    columns::unsigned,
    error::OpenError,
    open::{Settings, found_version, schema_version},
    reseal::{closed_rows, needed_keys},
    seal::Seal,
    sql,
};

/// The most findings that one rule reports by name.
const MOST: i64 = 20;

/// What is wrong with a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule: `integrity`, `foreign_keys`, `schema`, `reservations`, `outbox`, `effects`, `hostnames`, `sealed`.
    pub rule: &'static str,
    /// What breaks it.
    pub message: String,
}

impl Finding {
    /// Whether the file itself is damaged, so that nothing in it can be relied on.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self.rule, "integrity" | "foreign_keys" | "schema")
    }
}

/// What [`check`] saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The store.
    pub path: PathBuf,
    /// The schema of its rows.
    pub schema: i64,
    /// The schema that this program needs.
    pub known_schema: i64,
    /// The chain that it belongs to, once one was recorded.
    pub chain_id: Option<String>,
    /// How many rows each table has.
    pub rows: Vec<(String, u64)>,
    /// Whether a restore waits for the comparison with chain and cluster.
    pub restore_waits: bool,
    /// What is wrong; empty for a sound store.
    pub findings: Vec<Finding>,
}

/// Looks at a store, also while processes work on it.
///
/// # Errors
/// [`OpenError`] when there is nothing that could be looked at.
pub async fn check(path: &Path, settings: &Settings) -> Result<Report, OpenError> {
    let engine = |source| OpenError::engine(path.to_owned(), source);
    let mut connection = open_to_read(path).await?;
    let schema = found_version(&mut connection).await.map_err(engine)?;
    let findings = findings(path).await?;
    let mut report = Report {
        path: path.to_owned(),
        schema,
        known_schema: schema_version(),
        chain_id: None,
        rows: Vec::new(),
        restore_waits: false,
        findings,
    };
    if schema == schema_version() && !report.findings.iter().any(Finding::is_damage) {
        let chain: Option<(String, String, i64)> =
            query_as(sql::CHAIN_IDENTITY).fetch_optional(&mut connection).await.map_err(engine)?;
        report.chain_id = chain.map(|(id, ..)| id);
        report.restore_waits =
            query_scalar(sql::RESTORE_WAITS).fetch_one(&mut connection).await.map_err(engine)?;
        let rows: Vec<(String, i64)> =
            query_as(sql::ROW_COUNTS).fetch_all(&mut connection).await.map_err(engine)?;
        report.findings.extend(sealed(path, settings, &mut connection).await?);
        report.rows = rows.into_iter().map(|(table, rows)| (table, unsigned(rows))).collect();
    }
    Ok(report)
}

/// Sealed rows that do not open with the keys of the settings.
pub(super) async fn sealed(
    path: &Path,
    settings: &Settings,
    connection: &mut SqliteConnection,
) -> Result<Vec<Finding>, OpenError> {
    let engine = |source| OpenError::engine(path.to_owned(), source);
    if needed_keys(connection).await.map_err(engine)?.is_empty() {
        return Ok(Vec::new());
    }
    let messages = match Seal::of(settings.keys_of(path)) {
        Ok(seal) => closed_rows(connection, &seal).await.map_err(engine)?,
        Err(error) => vec![error.to_string()],
    };
    let found = messages.into_iter().map(|message| Finding { rule: "sealed", message });
    Ok(found.collect())
}

/// What is wrong with a file. Rules about rows are looked at only in a whole file of the schema that this program knows.
pub(super) async fn findings(path: &Path) -> Result<Vec<Finding>, OpenError> {
    let engine = |source| OpenError::engine(path.to_owned(), source);
    let mut connection = open_to_read(path).await?;
    let mut found = match damage(&mut connection).await.map_err(engine) {
        Err(OpenError::Corrupt { detail, .. }) => {
            return Ok(vec![Finding { rule: "integrity", message: detail }]);
        }
        found => found?,
    };
    let schema = match found_version(&mut connection).await.map_err(engine) {
        Err(OpenError::Corrupt { detail, .. }) => {
            return Ok(vec![Finding { rule: "integrity", message: detail }]);
        }
        schema => schema?,
    };
    if schema == 0 {
        found.push(Finding { rule: "schema", message: "it has no rows of lessor".to_owned() });
    }
    if found.is_empty() && schema == schema_version() {
        for (rule, statement) in sql::INVARIANTS {
            let broken: Vec<String> = query_scalar(*statement)
                .bind(MOST)
                .fetch_all(&mut connection)
                .await
                .map_err(engine)?;
            found.extend(broken.into_iter().map(|message| Finding { rule, message }));
        }
    }
    Ok(found)
}

/// What SQLite itself finds.
async fn damage(connection: &mut SqliteConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let broken: Vec<String> =
        query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut *connection).await?;
    let mut found: Vec<Finding> = broken
        .into_iter()
        .filter(|line| line != "ok")
        .map(|message| Finding { rule: "integrity", message })
        .collect();
    if found.is_empty() {
        let orphans: Vec<(String, Option<i64>, String, i64)> =
            query_as("PRAGMA foreign_key_check").fetch_all(connection).await?;
        found.extend(orphans.into_iter().take(20).map(|(table, row, parent, _)| Finding {
            rule: "foreign_keys",
            message: format!("row {} of {table} names a row that {parent} lacks", row.unwrap_or(0)),
        }));
    }
    Ok(found)
}
