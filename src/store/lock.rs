//! Who has the store open: a file beside it that every process holds a shared lock on, and a restore an exclusive one.
//!
//! SQLite's own locks cannot tell: they are in the file that a restore replaces, and a damaged file cannot be asked. The
//! operating system ends a dead process's lock.
//!
//! The one surprising fact: the lock file's content matters too. A restore that was killed half-way leaves its name there,
//! and nothing opens the store until a restore has ended: an old file beside a new log would be mixed by SQLite.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::error::OpenError;

/// What a restore writes before it moves the first file.
const RESTORING: &str = "restoring\n";

/// A path beside the store: its name with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    PathBuf::from(name)
}

fn lock_file(path: &Path) -> Result<File, OpenError> {
    let path = beside(path, ".lock");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(&path).map_err(|source| OpenError::File { path, source })
}

fn is_half_restored(mut file: &File, path: &Path) -> Result<bool, OpenError> {
    let mut content = String::new();
    file.read_to_string(&mut content)
        .map_err(|source| OpenError::File { path: beside(path, ".lock"), source })?;
    Ok(!content.is_empty())
}

/// Says that this process has the store open, until the value is dropped.
pub(super) fn share(path: &Path) -> Result<File, OpenError> {
    let file = lock_file(path)?;
    match file.try_lock_shared() {
        Ok(()) if is_half_restored(&file, path)? => {
            Err(OpenError::HalfRestored { path: path.to_owned() })
        }
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Restoring { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => {
            Err(OpenError::File { path: beside(path, ".lock"), source })
        }
    }
}

/// The store for one process alone.
pub(super) struct Alone {
    file: File,
    path: PathBuf,
}

/// Takes the store for a restore; `None` while any process has it open.
pub(super) fn take(path: &Path) -> Result<Option<Alone>, OpenError> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Alone { file, path: beside(path, ".lock") })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => {
            Err(OpenError::File { path: beside(path, ".lock"), source })
        }
    }
}

impl Alone {
    /// Files are about to be moved: until [`Alone::done`] nobody may open the store.
    pub(super) fn begin(&mut self) -> Result<(), OpenError> {
        self.write(RESTORING)
    }

    /// The files are whole again.
    pub(super) fn done(mut self) -> Result<(), OpenError> {
        self.write("")
    }

    fn write(&mut self, content: &str) -> Result<(), OpenError> {
        let mut file = &self.file;
        let written = file
            .rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(content.as_bytes()))
            .and_then(|()| file.sync_all());
        written.map_err(|source| OpenError::File { path: self.path.clone(), source })
    }
}
