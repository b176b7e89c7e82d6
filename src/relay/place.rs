//! What a relay keeps on disk: per stream its place in the chain, replaced as a whole and flushed before it counts, and
//! a journal of every delivery that was taken.
//!
//! A place moves only after a receiver has answered 2xx, so a relay that is killed at any moment sends the last
//! delivery again, with the same id.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{domain::Height, event::envelope::BlockRef};

/// A journal that is larger is put aside, over the one that was put aside before.
const MAX_JOURNAL: u64 = 64 * 1024 * 1024;

/// Why a place cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A file.
    #[error("{what} {path}: {source}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is not what lessor wrote.
    #[error("{path} is not a place: {source}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// Another process has the folder.
    #[error("{path} is used by another relay")]
    Taken {
        /// The folder.
        path: PathBuf,
    },
}

fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::File { what, path, source }
}

/// How far a stream has been sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The chain.
    pub chain_id: String,
    /// Every block up to this one has been read and its events, if any, sent.
    pub read: Height,
    /// The block that was sent last.
    pub sent: Option<BlockRef>,
}

/// One line of the journal.
#[derive(Debug, Serialize)]
pub struct JournalLine<'a> {
    /// When the receiver had taken it.
    pub at: Timestamp,
    /// `webhook-id`.
    pub id: &'a str,
    /// The receiver's status.
    pub status: u16,
    /// How often it was tried.
    pub attempts: u32,
    /// The body as it was sent.
    pub body: &'a RawValue,
}

/// A relay's folder, locked against a second relay.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// A stream's place file.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
}

/// A stream's journal file.
#[derive(Debug, Clone)]
pub struct Journal {
    path: PathBuf,
}

impl DataDir {
    /// Creates the folder if need be and locks it.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn open(path: &Path) -> Result<Self, PlaceError> {
        fs::create_dir_all(path).map_err(file("create", path))?;
        let name = path.join("relay.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(file("open", &name))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(PlaceError::Taken { path: path.to_owned() }),
            Err(fs::TryLockError::Error(source)) => {
                Err(PlaceError::File { what: "lock", path: name, source })
            }
        }
    }

    /// The place of `stream`, whose name is plain.
    ///
    /// # Errors
    /// [`PlaceError`] when there is one that cannot be read.
    pub fn place(&self, stream: &str) -> Result<Place, PlaceError> {
        let place = Place { path: self.path.join(format!("{stream}.place.json")) };
        place.load().map(|_| place)
    }

    /// The journal of `stream`, whose name is plain.
    ///
    /// # Errors
    /// [`PlaceError`] when it cannot be written.
    pub fn journal(&self, stream: &str) -> Result<Journal, PlaceError> {
        let journal = Journal { path: self.path.join(format!("{stream}.journal.jsonl")) };
        journal.open().map(|_| journal)
    }
}

impl Place {
    /// The position; none for a new stream.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn load(&self) -> Result<Option<Position>, PlaceError> {
        match fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|source| PlaceError::Malformed { path: self.path.clone(), source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file("read", &self.path)(error)),
        }
    }

    /// Replaces the position: a new file, flushed, renamed over the old one, and the folder flushed.
    ///
    /// # Errors
    /// [`PlaceError`]; then the old position stands.
    pub fn keep(&self, position: &Position) -> Result<(), PlaceError> {
        let new = self.path.with_extension("new");
        let json = serde_json::to_vec(position)
            .map_err(|source| PlaceError::Malformed { path: self.path.clone(), source })?;
        let write = || -> io::Result<()> {
            let mut out = File::create(&new)?;
            out.write_all(&json)?;
            out.sync_all()?;
            fs::rename(&new, &self.path)?;
            self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(file("write", &self.path))
    }
}

impl Journal {
    /// Appends a line. It is flushed to the system, not to the disk: a lost line loses no delivery.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn append(&self, line: &JournalLine<'_>) -> Result<(), PlaceError> {
        let mut json = serde_json::to_vec(line)
            .map_err(|source| PlaceError::Malformed { path: self.path.clone(), source })?;
        json.push(b'\n');
        let mut out = self.open()?;
        let size = out.metadata().map_err(file("read", &self.path))?.len();
        if size > MAX_JOURNAL {
            fs::rename(&self.path, self.path.with_extension("jsonl.1"))
                .map_err(file("put aside", &self.path))?;
            out = self.open()?;
        }
        out.write_all(&json).map_err(file("append to", &self.path))
    }

    fn open(&self) -> Result<File, PlaceError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(file("open", &self.path))
    }
}
