//! The account key of this process: from a file, an armored export or a keyring folder, behind the port that signs.
//! Leaves only as signatures, or encrypted.
//!
//! | form | what it looks like | passphrase |
//! |---|---|---|
//! | mnemonic | 12 to 24 words | none |
//! | raw key | 64 hex digits | none |
//! | armored export | `-----BEGIN TENDERMINT PRIVATE KEY-----`, kdf argon2 or bcrypt | needed |
//! | keyring | a folder of encrypted files, one a key | needed, but for `keyring-test` |
//!
//! The form is told from the content, never from the file's name; only whether a keyring is the `test` one is told from the
//! folder's.

mod armor;
mod form;
mod keyring;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};

pub use self::form::FormError;
use crate::{
    domain::Address,
    provider::port::{Signer, SignerError},
    wire::key::{KeyError, SecretKey},
};

/// A key file has at most so many bytes: every form needs far less.
const MAX_BYTES: u64 = 4096;
/// The folder of the reference's keyring that asks for no passphrase, and the one that it uses.
const TEST_KEYRING: (&str, &str) = ("keyring-test", "test");
/// How the keys in a keyring's folder end.
const ITEM: &str = ".info";

/// Where a key is and how it opens.
#[derive(Debug, Clone, Default)]
pub struct KeySource {
    /// A file, or a keyring's folder.
    pub path: PathBuf,
    /// Which account of a mnemonic.
    pub index: u32,
    /// Which key of a keyring; the only one when `None`.
    pub name: Option<String>,
    /// What opens an encrypted form.
    pub passphrase: Option<SecretString>,
}

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
    /// It is encrypted and nothing opens it.
    #[error(
        "key file {path} is encrypted and no passphrase is given: set key.passphrase_file or LESSOR_KEY__PASSPHRASE",
        path = path.display()
    )]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// An encrypted form that does not open.
    #[error("key file {path}: {reason}", path = path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: FormError,
    },
    /// A keyring's folder without the key that was asked for.
    #[error("keyring {path} {}", held(wanted.as_deref(), names), path = path.display())]
    Name {
        /// The folder.
        path: PathBuf,
        /// Which key was asked for.
        wanted: Option<String>,
        /// Which it holds.
        names: Vec<String>,
    },
}

fn held(wanted: Option<&str>, names: &[String]) -> String {
    let names = if names.is_empty() { "no key".to_owned() } else { names.join(", ") };
    match wanted {
        Some(wanted) => format!("has no key {wanted:?}; it holds {names}"),
        None => format!("needs key.name to say which key; it holds {names}"),
    }
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

    /// The key in a file that no passphrase protects: a mnemonic (then of `index`), or 64 hex digits of a raw key. The file
    /// must be for its owner alone.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn from_file(path: &Path, index: u32) -> Result<Self, KeyFileError> {
        Self::open(&KeySource { path: path.to_owned(), index, ..KeySource::default() })
    }

    /// The key of a source, in whichever form it is. Every file must be for its owner alone.
    ///
    /// # Errors
    /// [`KeyFileError`]; it names the file and the reason, and nothing of the content.
    pub fn open(source: &KeySource) -> Result<Self, KeyFileError> {
        if source.path.is_dir() {
            return Self::from_keyring(source);
        }
        Self::from_text(&read_private(&source.path)?, source)
    }

    /// The key in a text that came from `source`, or in its stead.
    ///
    /// # Errors
    /// As [`AccountKey::open`].
    pub fn from_text(text: &SecretString, source: &KeySource) -> Result<Self, KeyFileError> {
        let path = &source.path;
        let exposed = text.expose_secret();
        if armor::is_armored(exposed) {
            return armor::open(exposed, passphrase(path, source.passphrase.as_ref())?)
                .map(Self)
                .map_err(|reason| KeyFileError::Form { path: path.clone(), reason });
        }
        let key = if exposed.trim().contains(char::is_whitespace) {
            SecretKey::from_mnemonic(text, source.index)
        } else {
            SecretKey::from_hex(text)
        };
        key.map(Self).map_err(|reason| KeyFileError::Content { path: path.clone(), reason })
    }

    fn from_keyring(source: &KeySource) -> Result<Self, KeyFileError> {
        let folder = &source.path;
        let names = names(folder)?;
        let name = match (&source.name, names.as_slice()) {
            (Some(wanted), _) if names.contains(wanted) => wanted,
            (None, [only]) => only,
            (wanted, _) => {
                return Err(KeyFileError::Name {
                    path: folder.clone(),
                    wanted: wanted.clone(),
                    names,
                });
            }
        };
        let path = folder.join(format!("{name}{ITEM}"));
        let text = read_private(&path)?;
        let word = folder
            .file_name()
            .is_some_and(|found| found == TEST_KEYRING.0)
            .then(|| SecretString::from(TEST_KEYRING.1));
        let opens = passphrase(&path, word.as_ref().or(source.passphrase.as_ref()))?;
        keyring::open(text.expose_secret(), opens)
            .map(Self)
            .map_err(|reason| KeyFileError::Form { path, reason })
    }

    /// The key as an armored export, which the reference's tools import too.
    ///
    /// # Errors
    /// [`FormError`] when nothing can be encrypted here.
    pub fn to_armor(&self, passphrase: &SecretString) -> Result<String, FormError> {
        armor::seal(&self.0, passphrase)
    }

    /// The bare key, for a tool that signs without the port.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.0
    }

    /// As [`AccountKey::secret`], to keep.
    #[must_use]
    pub fn into_secret(self) -> SecretKey {
        self.0
    }
}

fn passphrase<'a>(
    path: &Path,
    given: Option<&'a SecretString>,
) -> Result<&'a SecretString, KeyFileError> {
    given.ok_or_else(|| KeyFileError::Encrypted { path: path.to_owned() })
}

/// The names of a keyring's keys, sorted.
fn names(folder: &Path) -> Result<Vec<String>, KeyFileError> {
    let failed = |source| KeyFileError::Read { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().and_then(|name| name.strip_suffix(ITEM)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
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
