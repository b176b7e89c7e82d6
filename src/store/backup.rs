//! A copy of the rows while processes go on, and a copy put back in their place.
//!
//! [`backup`] reads one state of all rows, whatever is written meanwhile. [`restore`] looks at the backup before it touches
//! anything, keeps what was there, and leaves a line in the rows by which the next process knows that chain and cluster
//! have gone on without them. It comes up paused, since a pause of the lost time is lost with it.
//!
//! The one surprising fact: a backup holds manifests as the store does, sealed. Without the key file it is worth little,
//! and the key file is not in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::NamedTempFile;

use super::{
    check::{self, Finding},
    columns::Micros,
    error::OpenError,
    lock::{self, beside},
    open::{Settings, found_version, schema_version},
    restored, sql,
};

/// Why there is no backup, or why it was not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something at the target, and nothing is overwritten.
    #[error("{} exists: {hint}", path.display())]
    Exists {
        /// Where.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// A process works on the rows that are to be replaced.
    #[error("a process has the store {} open: stop it first", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// It is damaged, or not a store.
    #[error("{} is not a sound store: {}", path.display(), list(findings))]
    Unsound {
        /// The backup, or the copy that was just made.
        path: PathBuf,
        /// What is wrong.
        findings: Vec<Finding>,
    },
    /// A newer program made it.
    #[error("{} has schema {found}, this program knows up to {known}: use the newer program", path.display())]
    Newer {
        /// The backup.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The program's.
        known: i64,
    },
    /// It is of another chain than what it is to replace.
    #[error("{} belongs to chain {found}, the store to chain {wanted}: use another path for another chain", path.display())]
    OtherChain {
        /// The backup.
        path: PathBuf,
        /// Its chain.
        found: String,
        /// The store's.
        wanted: String,
    },
    /// What is sealed in it does not open with the keys that are there, so no process could start on it.
    #[error("{} cannot be opened with {keys}: {detail}; put the keys of its time back first", path.display())]
    Sealed {
        /// The backup.
        path: PathBuf,
        /// The key file of the store.
        keys: String,
        /// Which row, and why.
        detail: String,
    },
    /// The host refused.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the host said.
        source: std::io::Error,
    },
}

fn list(findings: &[Finding]) -> String {
    let texts: Vec<&str> = findings.iter().map(|finding| finding.message.as_str()).collect();
    texts.join("; ")
}

/// What [`backup`] made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Where.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The schema of its rows.
    pub schema: i64,
}

/// What [`restore`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// The store.
    pub path: PathBuf,
    /// Where the rows are that were there before.
    pub aside: Option<PathBuf>,
    /// The schema of the rows that are there now; a start brings it up to date.
    pub schema: i64,
    /// The chain that they belong to, when one was recorded.
    pub chain_id: Option<String>,
    /// Why there are no bids until an operator resumes.
    pub paused: String,
}

/// Copies the rows of `store` as they are at one moment into a new file that only its owner can read. Processes that work
/// on them go on.
///
/// # Errors
/// [`BackupError`]; a file that exists is left as it is, and nothing half-made stays.
pub async fn backup(store: &Path, target: &Path) -> Result<Backup, BackupError> {
    let exists = || BackupError::Exists {
        path: target.to_owned(),
        hint: "nothing is overwritten, give another name",
    };
    if target.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let _in_use = lock::share(store)?;
    let folder = folder_of(target);
    let copy = copy(store, folder, false).await?;
    let findings = check::findings(copy.path()).await?;
    let broken: Vec<Finding> = findings.into_iter().filter(Finding::is_damage).collect();
    if !broken.is_empty() {
        return Err(BackupError::Unsound { path: store.to_owned(), findings: broken });
    }
    let schema = schema_of(copy.path()).await?;
    let file = copy.persist_noclobber(target).map_err(|error| match error.error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(),
        _ => failed("name the backup", target)(error.error),
    })?;
    let bytes = file.metadata().map_err(failed("look at", target))?.len();
    sync_folder(folder)?;
    Ok(Backup { path: target.to_owned(), bytes, schema })
}

/// Puts a backup in the place of `store`. The next process compares all of it with chain and cluster before it decides
/// anything.
///
/// # Errors
/// [`BackupError`]. Nothing is changed unless the backup is sound, of a schema that this program knows, and of the same
/// chain; with `replace` unset, unless there is no store.
pub async fn restore(
    from: &Path,
    store: &Path,
    settings: &Settings,
    replace: bool,
    now: Timestamp,
) -> Result<Restored, BackupError> {
    let Some(mut alone) = lock::take(store)? else {
        return Err(BackupError::InUse { path: store.to_owned() });
    };
    let is_there = store.symlink_metadata().is_ok();
    if is_there && !replace {
        return Err(BackupError::Exists {
            path: store.to_owned(),
            hint: "add --replace to put the backup in its place; what is there is kept beside it",
        });
    }
    let (schema, chain_id) = judge(from, store).await?;
    opens(from, store, settings, schema).await?;
    let copy = copy(from, folder_of(store), true).await?;
    let paused = mark(copy.path(), now, schema).await?;
    copy.as_file().sync_all().map_err(failed("write", copy.path()))?;

    let aside = is_there.then(|| free_name(store, now));
    alone.begin()?;
    if let Some(aside) = &aside {
        for suffix in ["-wal", "-shm", ""] {
            move_aside(&beside(store, suffix), &beside(aside, suffix))?;
        }
    }
    copy.persist(store).map_err(|error| failed("name the store", store)(error.error))?;
    sync_folder(folder_of(store))?;
    alone.done()?;
    Ok(Restored { path: store.to_owned(), aside, schema, chain_id, paused })
}

/// Whether a backup may take the place of the store: its schema and its chain.
async fn judge(from: &Path, store: &Path) -> Result<(i64, Option<String>), BackupError> {
    let findings = check::findings(from).await?;
    let broken: Vec<Finding> = findings.into_iter().filter(Finding::is_damage).collect();
    if !broken.is_empty() {
        return Err(BackupError::Unsound { path: from.to_owned(), findings: broken });
    }
    let schema = schema_of(from).await?;
    let known = schema_version();
    if schema > known {
        return Err(BackupError::Newer { path: from.to_owned(), found: schema, known });
    }
    let found = chain_of(from).await?;
    // What is there may be what is damaged: then it says nothing about its chain.
    let wanted = if store.exists() { chain_of(store).await.ok().flatten() } else { None };
    if let (Some(found), Some(wanted)) = (&found, &wanted)
        && found != wanted
    {
        return Err(BackupError::OtherChain {
            path: from.to_owned(),
            found: found.to_string(),
            wanted: wanted.to_string(),
        });
    }
    Ok((schema, found.map(|chain| chain.id)))
}

/// Whether what is sealed in a backup opens with the keys of the store.
async fn opens(
    from: &Path,
    store: &Path,
    settings: &Settings,
    schema: i64,
) -> Result<(), BackupError> {
    if schema < schema_version() {
        // Older rows are looked at when they are brought up to date.
        return Ok(());
    }
    let keys = settings.keys_of(store);
    let settings = Settings { keys: Some(keys.clone()), ..settings.clone() };
    let mut connection = open_to_read(from).await?;
    match check::sealed(from, &settings, &mut connection).await?.into_iter().next() {
        Some(Finding { message: detail, .. }) => {
            Err(BackupError::Sealed { path: from.to_owned(), keys: keys.to_string(), detail })
        }
        None => Ok(()),
    }
}

#[derive(PartialEq, Eq)]
struct ChainOf {
    id: String,
    first_block: (i64, String),
}

impl std::fmt::Display for ChainOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (height, hash) = &self.first_block;
        write!(f, "{} (block {height} is {hash})", self.id)
    }
}

async fn chain_of(path: &Path) -> Result<Option<ChainOf>, BackupError> {
    let mut connection = open_to_read(path).await?;
    let row: Option<(String, String, i64)> = sqlx::query_as(sql::CHAIN_IDENTITY)
        .fetch_optional(&mut connection)
        .await
        .map_err(|source| OpenError::engine(path.to_owned(), source))?;
    Ok(row.map(|(id, hash, height)| ChainOf { id, first_block: (height, hash) }))
}

async fn schema_of(path: &Path) -> Result<i64, BackupError> {
    let mut connection = open_to_read(path).await?;
    let found = found_version(&mut connection).await;
    Ok(found.map_err(|source| OpenError::engine(path.to_owned(), source))?)
}

/// A connection that changes nothing.
pub(super) async fn open_to_read(path: &Path) -> Result<SqliteConnection, OpenError> {
    if let Err(source) = fs::metadata(path) {
        return Err(OpenError::File { path: path.to_owned(), source });
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let connection = options.disable_statement_logging().connect().await;
    connection.map_err(|source| OpenError::engine(path.to_owned(), source))
}

/// A whole copy in a file without a name that anyone knows, on the disk.
async fn copy(from: &Path, folder: &Path, hidden: bool) -> Result<NamedTempFile, BackupError> {
    let prefix = if hidden { ".lessor-restore-" } else { ".lessor-backup-" };
    let target = tempfile::Builder::new()
        .prefix(prefix)
        .tempfile_in(folder)
        .map_err(failed("make a file in", folder))?;
    let mut connection = open_to_read(from).await?;
    sqlx::query("VACUUM INTO $1")
        .bind(target.path().to_string_lossy().into_owned())
        .execute(&mut connection)
        .await
        .map_err(|source| OpenError::engine(from.to_owned(), source))?;
    target.as_file().sync_all().map_err(failed("write", target.path()))?;
    Ok(target)
}

/// Writes into the copy that it was restored: the claims of processes that are gone end, everything of ours is due, and there
/// are no bids until an operator resumes. Returns why.
async fn mark(copy: &Path, now: Timestamp, schema: i64) -> Result<String, BackupError> {
    let engine = |source| OpenError::engine(copy.to_owned(), source);
    let options = SqliteConnectOptions::new().filename(copy).disable_statement_logging();
    let mut connection = options.connect().await.map_err(engine)?;
    if schema < schema_version() {
        // The line below needs its table.
        super::open::bring_up_to_date(copy, &mut connection).await?;
    }
    let mut transaction = connection.begin().await.map_err(engine)?;
    let paused = restored::pause(&mut transaction, now).await.map_err(engine)?;
    for statement in [
        sql::END_ALL_CLAIMS,
        sql::END_ALL_EFFECT_CLAIMS,
        sql::END_ALL_SESSIONS,
        sql::FORGET_WHAT_WAS_SEEN,
    ] {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(engine)?;
    }
    sqlx::query(sql::RECORD_RESTORE)
        .bind(Micros(now))
        .execute(&mut *transaction)
        .await
        .map_err(engine)?;
    transaction.commit().await.map_err(engine)?;
    connection.close().await.map_err(engine)?;
    Ok(paused)
}

/// A name beside the store that nothing has yet.
fn free_name(store: &Path, now: Timestamp) -> PathBuf {
    let name = format!(".before-{}", now.strftime("%Y-%m-%dT%H-%M-%SZ"));
    let plain = beside(store, &name);
    let numbered = (2..).map(|number| beside(store, &format!("{name}-{number}")));
    std::iter::once(plain.clone())
        .chain(numbered)
        .find(|path| path.symlink_metadata().is_err())
        .unwrap_or(plain)
}

fn move_aside(from: &Path, to: &Path) -> Result<(), BackupError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        moved => moved.map_err(failed("move", from)),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A name is on the disk when its folder is.
fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failed("write", folder))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { doing, path, source }
}
