//! What a signer has signed, kept in a file: a restart forgets neither the minute's count nor the day's spend.
//!
//! One JSON object a line, written and synced before the signature leaves. A line that was cut short by the end of the
//! process was followed by no signature, so it is dropped; any other line that does not parse keeps the signer from
//! starting.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::policy::{Policy, Refused, add};
use crate::{domain::Coin, wire::text::to_hex};

/// A record has at most so many bytes; at the start it is written anew with the last day only.
const MAX_BYTES: u64 = 1 << 30;
/// After so many lines that no longer count, the file is written anew.
const STALE: usize = 10_000;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Why there is no record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The system refuses.
    #[error("record {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another signer has it.
    #[error("record {} is another signer's that runs", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// Something else wrote into it.
    #[error("record {} line {line} is no entry: move the file away only if nothing was spent in the last day", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Too large to be one.
    #[error("record {} is larger than {MAX_BYTES} bytes", path.display())]
    Size {
        /// The file.
        path: PathBuf,
    },
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// When.
    at: Timestamp,
    /// SHA-256 of the sign doc, in hex.
    doc: String,
    /// What leaves the account with it.
    spend: Vec<Coin>,
}

/// The record of one signer.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: File,
    /// Those that count, oldest first, as they stand in the file.
    entries: Vec<Entry>,
    stale: usize,
}

impl Record {
    /// Opens the record, or makes it; nobody else may have it open.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, RecordError> {
        let failed = |source| RecordError::Io { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::Taken { path: path.to_owned() },
            TryLockError::Error(source) => failed(source),
        })?;
        let opened = file.metadata().map_err(failed)?;
        // Another signer may have put a new file in its place between the opening and the lock.
        if path.metadata().map_err(failed)?.ino() != opened.ino() {
            return Err(RecordError::Taken { path: path.to_owned() });
        }
        if opened.len() > MAX_BYTES {
            return Err(RecordError::Size { path: path.to_owned() });
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let mut entries = Vec::new();
        for (index, line) in text.split_inclusive('\n').enumerate() {
            match serde_json::from_str(line) {
                Ok(entry) if line.ends_with('\n') => entries.push(entry),
                _ if !line.ends_with('\n') => {}
                _ => return Err(RecordError::Line { path: path.to_owned(), line: index + 1 }),
            }
        }
        let mut record = Self { path: path.to_owned(), file, entries, stale: 0 };
        record.forget(now);
        record.write_anew().map_err(failed)?;
        Ok(record)
    }

    /// Counts a sign doc, if rate and spend allow; one that was counted before is not counted again.
    ///
    /// # Errors
    /// [`Refused::Rate`], [`Refused::Spend`], [`Refused::Record`].
    pub fn count(
        &mut self,
        policy: &Policy,
        sign_doc: &[u8],
        spend: &[Coin],
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.forget(now);
        let doc = to_hex(&Sha256::digest(sign_doc));
        if self.entries.iter().any(|entry| entry.doc == doc) {
            return Ok(());
        }
        // A clock that was set back leaves entries that are yet to come; they count.
        let minute =
            self.entries.iter().rev().take_while(|entry| now.duration_since(entry.at) < MINUTE);
        if minute.count() >= usize::try_from(policy.per_minute).unwrap_or(usize::MAX) {
            return Err(Refused::Rate { allowed: policy.per_minute });
        }
        policy.affords(&self.spent()?, spend)?;
        let entry = Entry { at: now, doc, spend: spend.to_vec() };
        self.append(&entry).map_err(|error| {
            tracing::error!(%error, path = %self.path.display(), "what is signed cannot be recorded");
            Refused::Record
        })?;
        self.entries.push(entry);
        Ok(())
    }

    /// What left in the last day.
    fn spent(&self) -> Result<Vec<Coin>, Refused> {
        let mut spent = Vec::new();
        for coin in self.entries.iter().flat_map(|entry| &entry.spend) {
            add(&mut spent, coin.clone())?;
        }
        Ok(spent)
    }

    fn forget(&mut self, now: Timestamp) {
        let before = self.entries.len();
        self.entries.retain(|entry| now.duration_since(entry.at) < DAY);
        self.stale += before - self.entries.len();
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        if self.stale > STALE {
            self.write_anew()?;
        }
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let end = self.file.seek(SeekFrom::End(0))?;
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a line would spoil the next one.
            self.file.set_len(end)?;
        }
        written
    }

    /// Replaces the file by one with only what counts.
    fn write_anew(&mut self) -> io::Result<()> {
        let mut lines = Vec::new();
        for entry in &self.entries {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| Path::new("."));
        let mut new = tempfile::Builder::new().prefix(".lessor-signed-").tempfile_in(folder)?;
        new.write_all(&lines)?;
        new.as_file().sync_all()?;
        // Locked before it has its name, so there is no moment at which another could take it.
        new.as_file().try_lock().map_err(io::Error::from)?;
        let file = new.persist(&self.path).map_err(|failed| failed.error)?;
        File::open(folder)?.sync_all()?;
        self.file = file;
        self.stale = 0;
        Ok(())
    }
}
