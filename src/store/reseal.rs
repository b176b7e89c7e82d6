//! The sealed rows as a whole: which keys they need, rows from before that are still open, and the change to a new key.
//!
//! A change of keys goes in small batches, each a commit that compares what it replaces: it may be killed at any time and
//! started again, and processes go on working meanwhile.

use std::path::Path;

use serde::Serialize;
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::{
    columns::unsigned,
    error::{Failure, OpenError},
    open::{Settings, Sqlite},
    seal::{self, Seal, Sealed},
    sql,
};
use crate::provider::port::StoreError;

/// Rows that one commit seals anew.
const BATCH: i64 = 50;

/// The name of a manifest's row, which it is sealed with.
pub(super) fn manifest_row(subject: &str, hash: &str) -> String {
    format!("manifests/{subject}/{hash}")
}

/// The keys that sealed rows need, and how many rows each has.
pub(super) async fn needed_keys(
    connection: &mut SqliteConnection,
) -> Result<Vec<(String, u64)>, sqlx::Error> {
    let rows: Vec<(String, i64)> = query_as(sql::SEALING_KEYS).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(id, count)| (id, unsigned(count))).collect())
}

/// What came of [`Sqlite::reseal`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Resealed {
    /// The id of the key that seals now.
    pub key_id: String,
    /// Rows that were sealed anew.
    pub resealed: u64,
    /// Rows that could not be opened, and why; they are as they were.
    pub left: Vec<String>,
    /// Old keys that were taken out of the key file.
    pub forgotten: usize,
}

/// Why rows were not sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The key file cannot be used.
    #[error(transparent)]
    Seal(#[from] seal::SealError),
    /// The rows cannot be read or written.
    #[error(transparent)]
    Rows(#[from] StoreError),
    /// Old keys are needed still.
    #[error("{0} rows need an old key still, so none is forgotten")]
    StillNeeded(u64),
}

type Row = (i64, String, String, String, Option<String>);

impl Sqlite {
    /// Seals what is not sealed yet, or with another key than the newest. Started again it goes on.
    ///
    /// # Errors
    /// [`StoreError`] when the rows cannot be read or written. A row that does not open is left and named.
    pub async fn reseal(&self) -> Result<Resealed, StoreError> {
        self.reseal_rows().await.map_err(|failure| failure.while_doing("seal the manifests anew"))
    }

    async fn reseal_rows(&self) -> Result<Resealed, Failure> {
        let key_id = self.seal.newest();
        let mut done = Resealed { key_id: key_id.clone(), ..Resealed::default() };
        let mut after = 0;
        loop {
            let rows: Vec<Row> = query_as(sql::SEALED_OTHERWISE)
                .bind(after)
                .bind(&key_id)
                .bind(BATCH)
                .fetch_all(&self.readers)
                .await?;
            let Some(last) = rows.last().map(|row| row.0) else { return Ok(done) };
            after = last;
            let mut tx = self.write().await?;
            self.seal.follow_file();
            for row in &rows {
                match self.sealed_anew(row) {
                    Ok(sealed) => {
                        let changed = replace(&mut tx, row, &sealed).await?;
                        done.resealed += changed;
                    }
                    Err(why) => done.left.push(why),
                }
            }
            tx.commit().await?;
        }
    }

    fn sealed_anew(&self, (_, subject, hash, body, key_id): &Row) -> Result<Sealed, String> {
        let name = manifest_row(subject, hash);
        let text = match key_id {
            Some(key_id) => self.seal.open_record(&name, key_id, body),
            None => Ok(body.clone()),
        };
        let sealed = text.and_then(|text| self.seal.seal(&name, &text));
        sealed.map_err(|error| format!("manifest {hash} of {subject}: {error}"))
    }

    /// Seals rows from before manifests were sealed, and clears the pages that they stood in.
    pub(super) async fn seal_open_rows(&self) -> Result<(), Failure> {
        let open: bool = query_scalar(sql::ANY_UNSEALED).fetch_one(&self.readers).await?;
        if !open {
            return Ok(());
        }
        let done = self.reseal_rows().await?;
        tracing::info!(manifests = done.resealed, "manifests from before were sealed");
        let mut connection = self.writer().await?;
        // What was replaced stands in free pages and in the log until both are written anew.
        query("VACUUM").execute(&mut *connection).await?;
        query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *connection).await?;
        Ok(())
    }
}

async fn replace(
    connection: &mut SqliteConnection,
    (seq, _, _, body, _): &Row,
    sealed: &Sealed,
) -> Result<u64, Failure> {
    let changed = query(sql::RESEAL)
        .bind(seq)
        .bind(body)
        .bind(&sealed.body)
        .bind(&sealed.key_id)
        .execute(connection)
        .await?;
    Ok(changed.rows_affected())
}

/// Seals all of a store's rows with the newest key of its key file: with `new_key` one is made first, and with
/// `forget_old` the others are taken out of the file afterwards. Backups that were made before need the old keys.
///
/// # Errors
/// [`ResealError`]; what was sealed anew stays so.
pub async fn reseal(
    store: &Path,
    settings: Settings,
    new_key: bool,
    forget_old: bool,
) -> Result<Resealed, ResealError> {
    let keys = settings.keys_of(store);
    let rows = Sqlite::open(store, settings).await?;
    if new_key {
        seal::add_key(keys.file()?)?;
        rows.seal.read_again()?;
    }
    let mut done = rows.reseal().await?;
    if forget_old {
        done.forgotten = rows.forget_old_keys(keys.file()?).await?;
    }
    rows.close().await;
    Ok(done)
}

impl Sqlite {
    /// Takes the old keys out of the file, if no row needs them. The write lock is held meanwhile, so that nobody commits a
    /// row in between that is sealed with one of them.
    async fn forget_old_keys(&self, key_file: &Path) -> Result<usize, ResealError> {
        let newest = self.seal.newest();
        let counted = async {
            let mut tx = self.write().await?;
            let needed = needed_keys(&mut tx).await?;
            Ok::<_, Failure>((tx, needed))
        };
        let (tx, needed) =
            counted.await.map_err(|failure| failure.while_doing("count the rows of old keys"))?;
        let old = needed.iter().filter(|(id, _)| *id != newest).map(|(_, count)| count).sum();
        if old > 0 {
            return Err(ResealError::StillNeeded(old));
        }
        let forgotten = seal::forget_old_keys(key_file, &newest)?;
        drop(tx);
        Ok(forgotten)
    }
}

/// Sealed rows that do not open, for a check.
pub(super) async fn closed_rows(
    connection: &mut SqliteConnection,
    seal: &Seal,
) -> Result<Vec<String>, sqlx::Error> {
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let rows: Vec<Row> = query_as(sql::SEALED_OTHERWISE)
            .bind(after)
            .bind("")
            .bind(BATCH)
            .fetch_all(&mut *connection)
            .await?;
        let Some(last) = rows.last().map(|row| row.0) else { return Ok(found) };
        after = last;
        for (_, subject, hash, body, key_id) in &rows {
            let opened = match key_id {
                Some(key_id) => {
                    seal.open_record(&manifest_row(subject, hash), key_id, body).map(drop)
                }
                None => Ok(()),
            };
            if let Err(error) = opened {
                found.push(format!("manifest {hash} of {subject}: {error}"));
            }
        }
    }
}
