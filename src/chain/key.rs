//! The account key of this process: from a file or a mnemonic, behind the port that signs. Leaves only as signatures.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use secrecy::{SecretString, zeroize::Zeroizing};

use crate::{
    domain::Address,
    provider::port::{Signer, SignerError},
    wire::key::{KeyError, SecretKey},
};

/// A key file has at most so many bytes: 24 words or 64 digits need far less.
const MAX_BYTES: u64 = 4096;

/// Why a file gives no key. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("key file {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than its owner may use it.
    #[error("key file {path} has mode {mode:04o}, allowed is 0600: run chmod 0600 on it", path = path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is too long, or no text, or neither a mnemonic nor a raw key.
    #[error("key file {path}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it is not.
        reason: KeyError,
    },
}

/// An account's key that signs within this process.
#[derive(Debug, Clone)]
pub struct AccountKey(SecretKey);

impl AccountKey {
    /// The key of a mnemonic at `m/44'/118'/0'/0/index`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn from_mnemonic(words: &SecretString, index: u32) -> Result<Self, KeyError> {
        SecretKey::from_mnemonic(words, index).map(Self)
    }

    /// The key in a file: a mnemonic (then of `index`), or 64 hex digits of a raw key. The file must be for its owner alone.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn from_file(path: &Path, index: u32) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        // Asked of the open file, so that nobody puts another one there in between.
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Mode { path: path.to_owned(), mode });
        }
        let mut bytes = Zeroizing::new(Vec::new());
        file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        let wrong = |reason| KeyFileError::Content { path: path.to_owned(), reason };
        let text = std::str::from_utf8(&bytes)
            .ok()
            .filter(|_| bytes.len() as u64 <= MAX_BYTES)
            .ok_or_else(|| wrong(KeyError::Mnemonic))?;
        let secret = SecretString::from(text.trim());
        let key = if text.trim().contains(char::is_whitespace) {
            SecretKey::from_mnemonic(&secret, index)
        } else {
            SecretKey::from_hex(&secret)
        };
        key.map(Self).map_err(wrong)
    }
}

impl From<SecretKey> for AccountKey {
    fn from(key: SecretKey) -> Self {
        Self(key)
    }
}

#[async_trait]
impl Signer for AccountKey {
    fn address(&self) -> &Address {
        self.0.public_key().address()
    }

    fn public_key(&self) -> &[u8] {
        self.0.public_key().as_bytes()
    }

    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok(self.0.sign(sign_doc))
    }
}
