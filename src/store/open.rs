//! The file: made, migrated, opened, with one connection that writes and a few that read.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Sqlite as Engine, SqliteConnection, SqlitePool,
    Transaction,
    migrate::{MigrateError, Migrator},
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    error::{Failure, OpenError},
    inbox::Inbox,
    lock,
    reseal::needed_keys,
    seal::{Seal, SealKeys, default_key_file},
    waiting::Waiting,
};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// How long a connection waits for another process's write before it says *busy*.
///
/// Together with [`ACQUIRE_TIMEOUT`] well below the half minute for which whoever delivers waits: they are to hear *later*
/// from us.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a caller waits for a connection of its own process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(8);
/// All statements of `sql.rs` stay prepared.
const STATEMENTS: usize = 256;

/// What may be set about a store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many subjects may wait for a step before deliveries that wake more are refused with *full*.
    pub max_waiting: u32,
    /// How many connections read.
    pub readers: u32,
    /// The keys that seal manifests; a file beside the store when it is not said.
    pub keys: Option<SealKeys>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_waiting: 100_000, readers: 4, keys: None }
    }
}

impl Settings {
    /// Where the keys of a store come from.
    #[must_use]
    pub fn keys_of(&self, store: &Path) -> SealKeys {
        self.keys.clone().unwrap_or_else(|| SealKeys::File(default_key_file(store)))
    }
}

/// What [`migrate`] found and left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema before; 0 for a new file.
    pub from: i64,
    /// The schema now.
    pub to: i64,
}

/// The rows in one SQLite file. Cheap to clone; all clones share the connections.
#[derive(Debug, Clone)]
pub struct Sqlite {
    writer: SqlitePool,
    pub(super) readers: SqlitePool,
    pub(super) settings: Settings,
    pub(super) seal: Arc<Seal>,
    /// Keeps a restore away while any clone is there.
    _in_use: Arc<File>,
    pub(super) waiting: Arc<Waiting>,
    pub(super) inbox: Arc<Inbox>,
}

/// The newest schema that this program knows.
#[must_use]
pub fn schema_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Makes the file if there is none, readable by its owner alone, and brings its schema up to date in one transaction.
///
/// # Errors
/// [`OpenError`], with [`OpenError::Newer`] for a file that a newer program has migrated.
pub async fn migrate(path: &Path) -> Result<Migrated, OpenError> {
    let _in_use = lock::share(path)?;
    create(path)?;
    let engine = |source| OpenError::engine(path.to_owned(), source);
    let mut connection = options(path).connect().await.map_err(engine)?;
    let from = found_version(&mut connection).await.map_err(engine)?;
    let to = schema_version();
    if from > to {
        return Err(OpenError::Newer { path: path.to_owned(), found: from, known: to });
    }
    if from < to {
        bring_up_to_date(path, &mut connection).await?;
    }
    connection.close().await.map_err(engine)?;
    Ok(Migrated { from, to })
}

/// Runs the migrations that a file lacks, all or none.
pub(super) async fn bring_up_to_date(
    path: &Path,
    connection: &mut SqliteConnection,
) -> Result<(), OpenError> {
    let engine = |source| OpenError::engine(path.to_owned(), source);
    // Taking the write lock first lets two processes start at once: the second finds nothing left to do.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(engine)?;
    MIGRATIONS.run(&mut *transaction).await.map_err(|source| match source {
        MigrateError::Execute(source) => engine(source),
        source => OpenError::Migrate { path: path.to_owned(), source },
    })?;
    transaction.commit().await.map_err(engine)
}

impl Sqlite {
    /// Opens a file that [`migrate`] has brought up to date.
    ///
    /// # Errors
    /// [`OpenError`], with [`OpenError::Older`] and [`OpenError::Newer`] for a file of another schema.
    pub async fn open(path: &Path, settings: Settings) -> Result<Self, OpenError> {
        if let Err(source) = std::fs::metadata(path) {
            return Err(OpenError::File { path: path.to_owned(), source });
        }
        let in_use = Arc::new(lock::share(path)?);
        let engine = |source| OpenError::engine(path.to_owned(), source);
        let writer = pool(1).connect_with(options(path)).await.map_err(engine)?;
        let mut connection = writer.acquire().await.map_err(engine)?;
        let found = found_version(&mut connection).await.map_err(engine)?;
        let known = schema_version();
        if found < known {
            return Err(OpenError::Older { path: path.to_owned(), found, needed: known });
        }
        if found > known {
            return Err(OpenError::Newer { path: path.to_owned(), found, known });
        }
        let needed = needed_keys(&mut connection).await.map_err(engine)?;
        drop(connection);
        let seal = Seal::open(settings.keys_of(path), &needed)
            .map_err(|source| OpenError::Seal { path: path.to_owned(), source })?;
        let readers = pool(settings.readers.max(1))
            .connect_lazy_with(options(path).pragma("query_only", "ON"));
        let store = Self {
            writer,
            readers,
            settings,
            waiting: Arc::default(),
            inbox: Arc::default(),
            seal: Arc::new(seal),
            _in_use: in_use,
        };
        store.seal_open_rows().await.map_err(|failure| match failure {
            Failure::Sql(source) => engine(source),
            failure => OpenError::Corrupt { path: path.to_owned(), detail: failure.to_string() },
        })?;
        Ok(store)
    }

    /// The connection that writes, outside any transaction.
    pub(super) async fn writer(&self) -> Result<PoolConnection<Engine>, Failure> {
        Ok(self.writer.acquire().await?)
    }

    /// Ends the connections and folds the log into the file. A store that is dropped instead loses nothing.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Calls `hook` in every transaction that writes, when its statements are done and just before it is committed, on the
    /// connection's own thread. For tests of what survives a process that dies right there; production sets none.
    ///
    /// # Errors
    /// When there is no connection.
    #[doc(hidden)]
    pub async fn before_each_commit(
        &self,
        mut hook: impl FnMut() + Send + 'static,
    ) -> Result<(), sqlx::Error> {
        let mut connection = self.writer.acquire().await?;
        connection.lock_handle().await?.set_commit_hook(move || {
            hook();
            true
        });
        Ok(())
    }

    /// A transaction that writes. It holds the file's only write lock from the start, so that what it reads stays true.
    pub(super) async fn write(&self) -> Result<Transaction<'static, Engine>, Failure> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// A transaction that reads one state of all rows. A single statement needs none.
    pub(super) async fn read(&self) -> Result<Transaction<'static, Engine>, Failure> {
        Ok(self.readers.begin().await?)
    }

    /// Whether the file's schema is the program's.
    pub(super) async fn has_known_schema(&self) -> Result<bool, Failure> {
        let mut connection = self.readers.acquire().await?;
        Ok(found_version(&mut connection).await? == schema_version())
    }
}

fn create(path: &Path) -> Result<(), OpenError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map(drop)
        .map_err(|source| OpenError::File { path: PathBuf::from(path), source })
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // An answer to a delivery means durable, so every commit is on the disk before it is reported.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, _| {
            // After some errors (a full disk) SQLite ends a transaction by itself, the roll-back then fails, and the
            // connection would refuse every later transaction. A roll-back that was under way has ended: the pool waits for
            // it before it takes a connection back.
            Box::pin(async move { Ok(!connection.is_in_transaction()) })
        })
}

/// The newest migration that was applied; 0 when none was.
pub(super) async fn found_version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    const HAS_TABLE: &str = "
        SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations')";
    const VERSION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
    if sqlx::query_scalar::<_, bool>(HAS_TABLE).fetch_one(&mut *connection).await? {
        sqlx::query_scalar(VERSION).fetch_one(connection).await
    } else {
        Ok(0)
    }
}
