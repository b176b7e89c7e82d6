//! What can go wrong with the file and with its rows.

use std::path::PathBuf;

use crate::provider::port::StoreError;

/// Why a store was not opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or reached.
    #[error("open the store {}: {source}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
    /// It is not a store, or it is damaged.
    #[error("the store {} is damaged or not a SQLite file ({detail}): restore it from a backup", path.display())]
    Corrupt {
        /// Where.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// Its schema is older than this program's.
    #[error(
        "the store {} has schema {found}, this program needs {needed}: run `lessor migrate`",
        path.display()
    )]
    Older {
        /// Where.
        path: PathBuf,
        /// The file's schema; 0 for an empty file.
        found: i64,
        /// The program's.
        needed: i64,
    },
    /// A newer program has migrated it.
    #[error(
        "the store {} has schema {found}, this program knows up to {known}: use the newer program",
        path.display()
    )]
    Newer {
        /// Where.
        path: PathBuf,
        /// The file's schema.
        found: i64,
        /// The program's.
        known: i64,
    },
    /// What is sealed in it cannot be opened.
    #[error("the store {}: {source}", path.display())]
    Seal {
        /// Where.
        path: PathBuf,
        /// Why.
        source: super::seal::SealError,
    },
    /// A backup is being put in its place.
    #[error("the store {} is being restored: start again when `lessor store restore` has ended", path.display())]
    Restoring {
        /// Where.
        path: PathBuf,
    },
    /// A restore was killed while it moved files.
    #[error(
        "a restore of the store {} did not end: run `lessor store restore` again with the same backup",
        path.display()
    )]
    HalfRestored {
        /// Where.
        path: PathBuf,
    },
    /// The schema was not brought up to date.
    #[error("migrate the store {}: {source}", path.display())]
    Migrate {
        /// Where.
        path: PathBuf,
        /// What failed.
        source: sqlx::migrate::MigrateError,
    },
    /// The engine refused for another reason.
    #[error("open the store {}: {source}", path.display())]
    Engine {
        /// Where.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

/// Primary result codes of SQLite that mean *later*: busy, locked, and the disk's own failures and a full one, which people
/// mend while whoever sent something comes again.
const TRANSIENT: [i32; 4] = [5, 6, 10, 13];
/// Primary result codes of SQLite that mean a damaged file: corrupt and not a database.
const DAMAGED: [i32; 2] = [11, 26];

/// SQLite's primary result code; the extended one carries it in its low byte.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl OpenError {
    pub(super) fn engine(path: PathBuf, source: sqlx::Error) -> Self {
        match primary_code(&source) {
            Some(code) if DAMAGED.contains(&code) => {
                Self::Corrupt { path, detail: source.to_string() }
            }
            _ => Self::Engine { path, source },
        }
    }
}

/// Why a transaction was not carried out; [`Failure::while_doing`] says which.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The engine refused, or a row does not decode.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
    /// Where a page is to begin is nothing that a page gave.
    #[error("{0:?} is not a cursor that a page gave")]
    Cursor(String),
    /// A sealed row does not open, or something cannot be sealed.
    #[error("{0}")]
    Sealed(String),
    /// What was asked for makes no sense, whatever the rows say.
    #[error("{0}")]
    Request(String),
    /// Whoever was to commit this ended before it said how it went.
    #[error("the commit was not seen to end")]
    Unseen,
}

impl Failure {
    pub(super) fn while_doing(self, doing: &'static str) -> StoreError {
        let is_transient = match &self {
            Self::Sql(sqlx::Error::PoolTimedOut) | Self::Unseen => true,
            Self::Sql(error) => primary_code(error).is_some_and(|code| TRANSIENT.contains(&code)),
            Self::Cursor(_) | Self::Request(_) | Self::Sealed(_) => false,
        };
        let is_bad_cursor = matches!(self, Self::Cursor(_));
        StoreError { doing, is_transient, is_bad_cursor, source: Box::new(self) }
    }
}
