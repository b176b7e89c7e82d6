//! The rows that the cluster is a function of, in a file that only grows: one line of JSON each.
//!
//! A row is on the disk before anyone is answered. A last line without its end was never answered, so it is dropped at
//! the next start; any other broken line is an error, since what came after it cannot be trusted.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::{
    devnet::cluster_api::{Control, Workload},
    domain::LeaseId,
};

/// The journal's name in the data folder.
pub(super) const FILE_NAME: &str = "cluster.jsonl";

/// Something that was asked of the cluster, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// From 1, without gaps.
    pub(super) seq: u64,
    /// Later than every row before it and than everything that anyone was shown before it.
    pub(super) at: Timestamp,
    pub(super) change: Change,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    Settings(Settings),
    Apply { lease: LeaseId, workload: Workload },
    Unchanged { lease: LeaseId, manifest_hash: String },
    Teardown { lease: LeaseId },
    Control(Control),
}

/// Why the cluster could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or made.
    #[error("open the cluster's journal {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the cluster's journal {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A line is no row.
    #[error("line {line} of the cluster's journal {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Nothing can be written to it.
    #[error("write the cluster's journal")]
    Write(#[source] io::Error),
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// The length of all whole rows.
    len: u64,
    next_seq: u64,
}

impl Journal {
    /// Opens the journal in a folder, for this process alone, and reads its rows.
    pub(super) fn open(folder: &Path) -> Result<(Self, Vec<Row>), JournalError> {
        let path = folder.join(FILE_NAME);
        let failed = |source| JournalError::Open { path: path.clone(), source };
        let mut file = open_private(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let mut rows = Vec::new();
        for (index, line) in text[..whole].lines().enumerate() {
            let row: Row = serde_json::from_str(line).map_err(|source| JournalError::Damaged {
                path: path.clone(),
                line: index + 1,
                source,
            })?;
            rows.push(row);
        }
        let len = u64::try_from(whole).unwrap_or(u64::MAX);
        file.set_len(len).map_err(failed)?;
        let next_seq = rows.last().map_or(1, |row| row.seq + 1);
        Ok((Self { file, len, next_seq }, rows))
    }

    /// Writes a row and waits until it is on the disk.
    pub(super) fn append(&mut self, at: Timestamp, change: Change) -> Result<Row, JournalError> {
        let row = Row { seq: self.next_seq, at, change };
        let mut line = serde_json::to_vec(&row)
            .map_err(|error| JournalError::Write(io::Error::other(error)))?;
        line.push(b'\n');
        self.write(&line).map_err(JournalError::Write)?;
        self.next_seq += 1;
        self.len += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(row)
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        // After a write that failed halfway, the next one starts where the last whole row ended.
        self.file.set_len(self.len)?;
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(line)?;
        self.file.sync_data()
    }
}

/// Only the owner reads it, since workloads carry their environment.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
