//! The journal: the genesis, then one line of JSON a block, appended before anybody hears of the block. Owns the file;
//! the ledger is rebuilt from it by carrying out its transactions again.
//!
//! It is also the judge of what was done twice: [`read`] lists every transaction that ever reached a block. A line is
//! handed to the system in one write and not synced, so it outlives a killed process and not a power cut.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{devnet::genesis::Genesis, wire::text::base64_bytes};

/// The journal's name within the folder.
pub const FILE: &str = "chain.jsonl";

/// The first line.
#[derive(Serialize, Deserialize)]
struct FirstLine {
    genesis: Genesis,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockLine {
    /// From 1, without gaps.
    pub height: u64,
    /// The time in its header.
    pub time: Timestamp,
    /// In the block's order.
    pub txs: Vec<TxLine>,
}

/// One transaction of a block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TxLine {
    /// Upper-case hex of its SHA-256.
    pub hash: String,
    /// 0 when it was carried out.
    pub code: u32,
    /// Whose `code` it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub codespace: String,
    /// What it asked for.
    pub messages: Vec<MessageLine>,
    /// When the node let it in, by the world's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// Its bytes, in base64.
    #[serde(with = "base64_bytes")]
    pub tx: Vec<u8>,
}

/// One message of a transaction, as far as a judge needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLine {
    /// Such as `/akash.market.v1beta5.MsgCreateBid`.
    #[serde(rename = "type")]
    pub type_url: String,
    /// The id of what it is about, such as `owner/dseq/gseq/oseq/provider`; an address for messages about one.
    pub subject: String,
    /// Who must sign.
    pub signer: String,
}

/// A journal that is open for writing. One process at a time.
#[derive(Debug)]
pub struct Journal {
    file: File,
}

/// What a folder holds.
#[derive(Debug)]
pub struct Opened {
    /// For the blocks that come.
    pub journal: Journal,
    /// What the chain started with.
    pub genesis: Genesis,
    /// All blocks so far.
    pub blocks: Vec<BlockLine>,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or the file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A line that is not the last is broken, or heights are not in order.
    #[error("{path} line {line}: {reason}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

impl Journal {
    /// Opens the journal of `folder`, or starts it with `genesis`. A torn last line, as a killed process leaves it, is
    /// cut off: nobody was told of that block.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path, genesis: Genesis) -> Result<Opened, JournalError> {
        let path = folder.join(FILE);
        let at = |source| JournalError::Io { path: path.clone(), source };
        fs::create_dir_all(folder)
            .map_err(|source| JournalError::Io { path: folder.to_owned(), source })?;
        let file =
            OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(at)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => JournalError::InUse(path.clone()),
            TryLockError::Error(source) => at(source),
        })?;
        let text = fs::read(&path).map_err(at)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(at)?;
        }
        let mut journal = Self { file };
        let Some((genesis_line, rest)) = split_line(&text[..whole]) else {
            journal.append(&FirstLine { genesis: genesis.clone() }).map_err(at)?;
            return Ok(Opened { journal, genesis, blocks: Vec::new() });
        };
        let malformed = |line, reason| JournalError::Malformed { path: path.clone(), line, reason };
        let first: FirstLine = serde_json::from_slice(genesis_line)
            .map_err(|error| malformed(1, error.to_string()))?;
        let blocks = blocks(rest).map_err(|(line, reason)| malformed(line, reason))?;
        Ok(Opened { journal, genesis: first.genesis, blocks })
    }

    /// Appends a block.
    ///
    /// # Errors
    /// What the system says; then the block must not be shown to anybody.
    pub fn block(&mut self, block: &BlockLine) -> io::Result<()> {
        self.append(block)
    }

    fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.file.write_all(&bytes)
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&byte| byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

/// Reads block lines; an error names the line of the whole file.
fn blocks(mut text: &[u8]) -> Result<Vec<BlockLine>, (usize, String)> {
    let mut found: Vec<BlockLine> = Vec::new();
    while let Some((line, rest)) = split_line(text) {
        let number = found.len() + 2;
        let block: BlockLine =
            serde_json::from_slice(line).map_err(|error| (number, error.to_string()))?;
        let expected = found.len() as u64 + 1;
        if block.height != expected {
            return Err((number, format!("height {} follows {}", block.height, expected - 1)));
        }
        found.push(block);
        text = rest;
    }
    Ok(found)
}

/// All blocks of a folder's journal, without opening it for writing: for judges beside a running process.
///
/// # Errors
/// [`JournalError`].
pub fn read(folder: &Path) -> Result<Vec<BlockLine>, JournalError> {
    let path = folder.join(FILE);
    let text = fs::read(&path).map_err(|source| JournalError::Io { path: path.clone(), source })?;
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let rest = split_line(&text[..whole]).map_or(&[][..], |(_, rest)| rest);
    blocks(rest).map_err(|(line, reason)| JournalError::Malformed { path, line, reason })
}
