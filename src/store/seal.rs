//! Sealed at rest: what tenants keep secret stands in the file encrypted (ChaCha20-Poly1305), under a key that is not in it.
//!
//! A record is sealed together with the row that it belongs to, so that it opens nowhere else, and with a nonce of its own.
//! The key file has one key a line, the newest first: that one seals, all of them open. A key's id is made of the key, so a
//! record names its key without anybody keeping a list.
//!
//! The one surprising fact: another process may have changed the file since this one read it. A record with an unknown key
//! makes it read the file again, and so does a changed file before anything is sealed: keys are forgotten by who holds the
//! store's write lock, so what is sealed under that lock is sealed with a key that stays.

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};

use super::lock::beside;

/// The length of a key.
const KEY_LEN: usize = 32;
/// A key file with more keys than this is not one.
const MAX_KEYS: usize = 64;

/// Why records cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There are sealed records and no key.
    #[error(
        "the key file {} is missing and {sealed} manifests are sealed with it: put it back, or name it with seal.key_file",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// How many records need it.
        sealed: u64,
    },
    /// Records are sealed with a key that the file does not have.
    #[error(
        "{place} does not have the key {key_id}, with which {sealed} manifests are sealed: add its line, or give the right keys with seal.key_file or seal.keys"
    )]
    WrongKey {
        /// The key file, or the setting.
        place: String,
        /// The id of the key that is wanted.
        key_id: String,
        /// How many records need it.
        sealed: u64,
    },
    /// The keys cannot be used.
    #[error("{place}: {detail}")]
    Unusable {
        /// The key file, or the setting.
        place: String,
        /// What is wrong with it; never what is in it.
        detail: String,
    },
    /// A record was sealed with a key that is not there.
    #[error("it is sealed with the key {0}, which is not there")]
    NoKey(String),
    /// A record was changed, or belongs to another row.
    #[error("it was changed since it was sealed, or belongs to another row")]
    Tampered,
    /// The host gives no randomness, or the record is too large.
    #[error("it cannot be sealed")]
    Unsealable,
}

/// Where the key of a store is when nothing is said: beside it.
#[must_use]
pub fn default_key_file(store: &Path) -> PathBuf {
    beside(store, ".key")
}

/// Where keys come from.
#[derive(Debug, Clone)]
pub enum SealKeys {
    /// A file, which a command can change.
    File(PathBuf),
    /// The settings themselves, one key a line or word; for a process without a disk of its own.
    Settings(SecretString),
}

impl std::fmt::Display for SealKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the key file {}", path.display()),
            Self::Settings(_) => f.write_str("seal.keys of the settings"),
        }
    }
}

impl SealKeys {
    fn unusable(&self, detail: String) -> SealError {
        SealError::Unusable { place: self.to_string(), detail }
    }

    fn read_keys(&self) -> Result<Vec<Key>, SealError> {
        let text = match self {
            Self::File(path) => read_file(path)?,
            Self::Settings(text) => text.clone(),
        };
        let mut keys = Vec::new();
        for (place, line) in key_lines(text.expose_secret()).enumerate() {
            let key = parse_line(line).ok_or_else(|| {
                let place = place + 1;
                self.unusable(format!("key {place} is not 32 bytes as 64 hex digits or as base64"))
            })?;
            keys.push(key);
            if keys.len() > MAX_KEYS {
                return Err(self.unusable(format!("it has more than {MAX_KEYS} keys")));
            }
        }
        if keys.is_empty() { Err(self.unusable("it has no key".to_owned())) } else { Ok(keys) }
    }

    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::File(path) => Stamp::of(path),
            Self::Settings(_) => None,
        }
    }

    /// The file that holds the keys.
    ///
    /// # Errors
    /// When the settings hold them, which no command changes.
    pub(super) fn file(&self) -> Result<&Path, SealError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Settings(_) => Err(self.unusable(
                "a new key is put before the others there, and old ones are taken out there"
                    .to_owned(),
            )),
        }
    }
}

/// A sealed text and the id of its key.
pub(super) struct Sealed {
    pub(super) key_id: String,
    pub(super) body: String,
}

struct Key {
    id: String,
    key: LessSafeKey,
}

/// The keys as they were read, and of which content of the file.
#[derive(Clone)]
struct Read {
    keys: Arc<Vec<Key>>,
    stamp: Option<Stamp>,
}

/// Tells one content of a file from another: files are replaced whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed_at: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            length: metadata.len(),
            changed_at: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The keys of one source. All clones of a store share them.
pub(super) struct Seal {
    source: SealKeys,
    read: RwLock<Read>,
    random: SystemRandom,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Seal {
    /// The keys of a source; a file is made if nothing was sealed yet. `needed` are the ids of the keys of sealed records and
    /// how many records each has.
    pub(super) fn open(source: SealKeys, needed: &[(String, u64)]) -> Result<Self, SealError> {
        if let SealKeys::File(path) = &source
            && !path.exists()
        {
            let sealed = needed.iter().map(|(_, count)| count).sum();
            if sealed > 0 {
                return Err(SealError::Missing { path: path.clone(), sealed });
            }
            make(path)?;
        }
        let seal = Self::of(source)?;
        match needed.iter().find(|(id, _)| !seal.has(id)) {
            Some((key_id, sealed)) => Err(SealError::WrongKey {
                place: seal.source.to_string(),
                key_id: key_id.clone(),
                sealed: *sealed,
            }),
            None => Ok(seal),
        }
    }

    /// The keys of a source that is there.
    pub(super) fn of(source: SealKeys) -> Result<Self, SealError> {
        let read = RwLock::new(Read::of(&source)?);
        Ok(Self { source, read, random: SystemRandom::new() })
    }

    fn read(&self) -> Read {
        self.read.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keys(&self) -> Arc<Vec<Key>> {
        self.read().keys
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.keys().iter().any(|key| key.id == id)
    }

    /// The id of the key that seals.
    pub(super) fn newest(&self) -> String {
        self.keys().first().map(|key| key.id.clone()).unwrap_or_default()
    }

    /// Reads the file again; keys that were read stay when it cannot be used.
    pub(super) fn read_again(&self) -> Result<(), SealError> {
        let read = Read::of(&self.source)?;
        *self.read.write().unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    /// Reads the file again if it is not the one that was read. To be called with the store's write lock held, before what is
    /// then sealed is committed; keys that were read stay when the file is gone or cannot be used.
    pub(super) fn follow_file(&self) {
        let stamp = self.source.stamp();
        if stamp.is_some()
            && stamp != self.read().stamp
            && let Err(error) = self.read_again()
        {
            tracing::warn!(%error, "the key file changed and cannot be used; the keys before stay");
        }
    }

    /// Seals a text for one row.
    pub(super) fn seal(&self, row: &str, text: &str) -> Result<Sealed, SealError> {
        let keys = self.keys();
        let Key { id, key } = keys.first().ok_or(SealError::Unsealable)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError::Unsealable)?;
        let mut sealed = text.as_bytes().to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(row.as_bytes()),
            &mut sealed,
        )
        .map_err(|_| SealError::Unsealable)?;
        let mut record = nonce.to_vec();
        record.extend(sealed);
        Ok(Sealed { key_id: id.clone(), body: STANDARD.encode(record) })
    }

    /// Opens what was sealed for this row.
    pub(super) fn open_record(
        &self,
        row: &str,
        key_id: &str,
        body: &str,
    ) -> Result<String, SealError> {
        if !self.has(key_id) {
            // A file that cannot be read now leaves the keys as they are: then the key is not there.
            if let Err(error) = self.read_again() {
                tracing::warn!(%error, "the key file could not be read again");
            }
        }
        let keys = self.keys();
        let Some(Key { key, .. }) = keys.iter().find(|key| key.id == key_id) else {
            return Err(SealError::NoKey(key_id.to_owned()));
        };
        let record = STANDARD.decode(body).map_err(|_| SealError::Tampered)?;
        let (nonce, sealed) = record.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Tampered)?;
        let mut sealed = sealed.to_vec();
        let text = key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(row.as_bytes()),
                &mut sealed,
            )
            .map_err(|_| SealError::Tampered)?;
        String::from_utf8(text.to_vec()).map_err(|_| SealError::Tampered)
    }
}

impl Read {
    fn of(source: &SealKeys) -> Result<Self, SealError> {
        // Of before the reading: a file that changes meanwhile is read again.
        let stamp = source.stamp();
        Ok(Self { keys: Arc::new(source.read_keys()?), stamp })
    }
}

/// Holds others off a key file that is read, changed and written, until it is dropped.
fn change(path: &Path) -> Result<fs::File, SealError> {
    let failed = |error: std::io::Error| unusable(path, format!("it cannot be locked: {error}"));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(beside(path, ".lock")).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Puts a new key before the others in a key file. Returns its id.
///
/// # Errors
/// [`SealError::Unusable`].
pub fn add_key(path: &Path) -> Result<String, SealError> {
    let _alone = change(path)?;
    read_keys(path)?;
    let old = read_file(path)?;
    let line = new_line(path)?;
    let id = parse_line(line.expose_secret()).map(|key| key.id).unwrap_or_default();
    let text = format!("{}\n{}", line.expose_secret(), old.expose_secret());
    write_file(path, &text.into(), true)?;
    Ok(id)
}

/// Takes every key but the newest, which `newest` must be, out of a key file. Returns how many those were.
///
/// # Errors
/// [`SealError::Unusable`].
pub(super) fn forget_old_keys(path: &Path, newest: &str) -> Result<usize, SealError> {
    let _alone = change(path)?;
    let found = read_keys(path)?;
    if found.first().is_none_or(|key| key.id != newest) {
        let detail = "another key was put into it meanwhile; nothing was forgotten".to_owned();
        return Err(unusable(path, detail));
    }
    let keys = found.len();
    let text = read_file(path)?;
    let newest = key_lines(text.expose_secret()).next().unwrap_or_default();
    write_file(path, &format!("{newest}\n").into(), true)?;
    Ok(keys.saturating_sub(1))
}

fn make(path: &Path) -> Result<(), SealError> {
    let line = new_line(path)?;
    match write_file(path, &format!("{}\n", line.expose_secret()).into(), false) {
        // Another process was first: its key counts.
        Err(_) if path.exists() => Ok(()),
        made => made,
    }
}

fn new_line(path: &Path) -> Result<SecretString, SealError> {
    let mut key = Zeroizing::new([0_u8; KEY_LEN]);
    let random = SystemRandom::new().fill(&mut *key);
    random.map_err(|_| unusable(path, "the host gives no randomness for a key".to_owned()))?;
    Ok(data_encoding::HEXLOWER.encode(&*key).into())
}

/// Writes a key file whole or not at all, readable by its owner alone.
fn write_file(path: &Path, text: &SecretString, replace: bool) -> Result<(), SealError> {
    let failed = |error: std::io::Error| unusable(path, format!("it cannot be written: {error}"));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".lessor-key-").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.expose_secret().as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    if replace {
        file.persist(path).map_err(|error| failed(error.error))?;
    } else {
        file.persist_noclobber(path).map_err(|error| failed(error.error))?;
    }
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn read_file(path: &Path) -> Result<SecretString, SealError> {
    let failed = |detail: String| unusable(path, detail);
    let metadata =
        fs::metadata(path).map_err(|error| failed(format!("it cannot be read: {error}")))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(failed(format!(
            "others can read it (mode {mode:o}): make it yours alone with chmod 600"
        )));
    }
    let text =
        fs::read_to_string(path).map_err(|error| failed(format!("it cannot be read: {error}")))?;
    Ok(text.into())
}

/// The keys of a text: its words, but for lines that begin with `#`.
fn key_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace)
}

fn read_keys(path: &Path) -> Result<Vec<Key>, SealError> {
    SealKeys::File(path.to_owned()).read_keys()
}

fn unusable(path: &Path, detail: String) -> SealError {
    SealKeys::File(path.to_owned()).unusable(detail)
}

fn parse_line(line: &str) -> Option<Key> {
    let decoded = if line.len() == 2 * KEY_LEN {
        data_encoding::HEXLOWER_PERMISSIVE.decode(line.as_bytes()).ok()
    } else {
        STANDARD.decode(line).ok()
    };
    let bytes = Zeroizing::new(decoded?);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok()?;
    let mut hasher = Sha256::new();
    hasher.update(b"lessor seal key id");
    hasher.update(&*bytes);
    let id = data_encoding::HEXLOWER.encode(&hasher.finalize()[..8]);
    Some(Key { id, key: LessSafeKey::new(key) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        (folder, path)
    }

    fn file(path: &Path) -> SealKeys {
        SealKeys::File(path.to_owned())
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_record_opens_for_its_own_row_with_its_own_key_and_unchanged() {
        let (_folder, path) = home();
        let seal = Seal::open(file(&path), &[]).unwrap();
        let sealed = seal.seal("manifests/a", "a secret").unwrap();
        let again = seal.seal("manifests/a", "a secret").unwrap();
        assert_ne!(sealed.body, again.body, "each has a nonce of its own");
        assert!(!sealed.body.contains("secret"));
        let open = |row: &str, key: &str, body: &str| seal.open_record(row, key, body);
        assert_eq!(open("manifests/a", &sealed.key_id, &sealed.body).unwrap(), "a secret");
        assert!(matches!(
            open("manifests/b", &sealed.key_id, &sealed.body),
            Err(SealError::Tampered)
        ));
        let mut record = STANDARD.decode(&sealed.body).unwrap();
        for place in 0..record.len() {
            record[place] ^= 1;
            let changed = STANDARD.encode(&record);
            assert!(matches!(
                open("manifests/a", &sealed.key_id, &changed),
                Err(SealError::Tampered)
            ));
            record[place] ^= 1;
        }
        for short in ["", "AAAA", "not base64!"] {
            assert!(matches!(open("manifests/a", &sealed.key_id, short), Err(SealError::Tampered)));
        }
        assert!(matches!(open("manifests/a", "00", &sealed.body), Err(SealError::NoKey(_))));
    }

    #[test]
    fn a_new_key_seals_and_the_old_one_opens_until_it_is_forgotten() {
        let (_folder, path) = home();
        let seal = Seal::open(file(&path), &[]).unwrap();
        let old = seal.seal("row", "text").unwrap();
        let id = add_key(&path).unwrap();
        assert_ne!(id, old.key_id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let other = Seal::of(file(&path)).unwrap();
        let new = other.seal("row", "text").unwrap();
        assert_eq!(new.key_id, id);
        assert_eq!(other.open_record("row", &old.key_id, &old.body).unwrap(), "text");
        // A process that read the file before finds the new key by itself.
        assert_eq!(seal.open_record("row", &new.key_id, &new.body).unwrap(), "text");
        assert_eq!(forget_old_keys(&path, &id).unwrap(), 1);
        let left = Seal::of(file(&path)).unwrap();
        assert!(matches!(
            left.open_record("row", &old.key_id, &old.body),
            Err(SealError::NoKey(_))
        ));
    }

    #[test]
    fn a_key_file_is_refused_with_what_is_wrong_and_never_with_what_is_in_it() {
        let (_folder, path) = home();
        let key = "ab".repeat(32);
        for (text, mode, expected) in [
            (key.as_str(), 0o640, "others can read it (mode 640)"),
            ("", 0o600, "it has no key"),
            ("# nothing\n\n", 0o600, "it has no key"),
            (&key[..62], 0o600, "key 1 is not 32 bytes"),
            (&format!("{key}\nhunter2hunter2"), 0o600, "key 2 is not 32 bytes"),
        ] {
            write(&path, text, mode);
            let error = Seal::open(file(&path), &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("abab"), "{error}");
        }
        write(&path, &format!("# ours\n{}\n", STANDARD.encode([0xab; 32])), 0o600);
        let base64 = Seal::open(file(&path), &[]).unwrap().newest();
        write(&path, &key.to_uppercase(), 0o600);
        assert_eq!(Seal::open(file(&path), &[]).unwrap().newest(), base64, "the same key in hex");
    }

    #[test]
    fn a_missing_or_wrong_key_is_refused_with_what_to_do_and_none_is_made() {
        let (_folder, path) = home();
        let needed = [("0123456789abcdef".to_owned(), 3)];
        let missing = Seal::open(file(&path), &needed).unwrap_err();
        assert!(matches!(missing, SealError::Missing { sealed: 3, .. }), "{missing}");
        assert!(!path.exists());
        write(&path, &"ab".repeat(32), 0o600);
        let wrong = Seal::open(file(&path), &needed).unwrap_err();
        assert!(wrong.to_string().contains("does not have the key 0123456789abcdef"), "{wrong}");
    }
}
