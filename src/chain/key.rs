//! The account key of this process: from a file or a mnemonic, behind the port that signs. Leaves only as signatures.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

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
    /// More bytes than any secret here has.
    #[error("key file {path} is larger than {allowed} bytes", path = path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// How many bytes are read.
        allowed: u64,
    },
    /// Not text.
    #[error("key file {path} is not text", path = path.display())]
    Text {
        /// The file.
        path: PathBuf,
    },
    /// It is neither a mnemonic nor a raw key.
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
        let secret = read_private(path)?;
        let has_words = secret.expose_secret().contains(char::is_whitespace);
        let key = if has_words {
            SecretKey::from_mnemonic(&secret, index)
        } else {
            SecretKey::from_hex(&secret)
        };
        key.map(Self).map_err(|reason| KeyFileError::Content { path: path.to_owned(), reason })
    }

    /// The bare key, for a tool that signs without the port.
    #[must_use]
    pub fn into_secret(self) -> SecretKey {
        self.0
    }
}

/// A secret's text from a file that is for its owner alone, without the white space around it.
///
/// # Errors
/// [`KeyFileError`]; the text is in none of them.
pub fn read_private(path: &Path) -> Result<SecretString, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that nobody puts another one there in between.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(KeyFileError::Size { path: path.to_owned(), allowed: MAX_BYTES });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(SecretString::from(text.trim())),
        Err(_) => Err(KeyFileError::Text { path: path.to_owned() }),
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
