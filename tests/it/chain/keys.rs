//! Keys from files.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lessor::{
    chain::{AccountKey, FormError, KeyFileError, KeySource},
    provider::port::Signer,
    wire::key::PublicKey,
};
use tempfile::TempDir;

/// The public test mnemonic of the BIPs; its account was worked out with other software.
const WORDS: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

fn file(folder: &TempDir, content: &[u8], mode: u32) -> PathBuf {
    let path = folder.path().join(format!("key-{mode:o}-{}", content.len()));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[tokio::test]
async fn a_file_holds_a_mnemonic_or_a_raw_key() {
    let folder = TempDir::new().unwrap();
    let words = file(&folder, format!("{WORDS}\n").as_bytes(), 0o600);
    let key = AccountKey::from_file(&words, 0).unwrap();
    let same = AccountKey::from_mnemonic(&WORDS.into(), 0).unwrap();
    assert_eq!(key.address(), same.address());
    // The same 20 bytes as cosmos19rl4cm2hmr8afy4kldpxz3fka4jguq0auqdal4.
    assert_eq!(key.address().as_str(), "akash19rl4cm2hmr8afy4kldpxz3fka4jguq0a3mq6x0");
    assert_ne!(AccountKey::from_file(&words, 1).unwrap().address(), key.address());

    let digits = "7bd7e588b9208178d5a7ec213b5aaf73aa7ea24fb6930ef2a50f0a5a9a8cf4df";
    let raw = AccountKey::from_file(&file(&folder, digits.as_bytes(), 0o400), 7).unwrap();
    assert_eq!(raw.address().as_str(), "akash1erkxxdpzya5aq975zav48xe2xwpaxlca67n8xg");

    let signature = raw.sign(b"document").await.unwrap();
    let public = PublicKey::from_bytes(raw.public_key()).unwrap();
    assert_eq!(public.verify(b"document", &signature), Ok(()));
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let folder = TempDir::new().unwrap();
    for mode in [0o644, 0o640, 0o604, 0o660, 0o620] {
        let error = AccountKey::from_file(&file(&folder, WORDS.as_bytes(), mode), 0).unwrap_err();
        assert!(matches!(error, KeyFileError::Mode { mode: found, .. } if found == mode));
        assert!(error.to_string().contains("allowed is 0600"), "{error}");
    }
}

#[test]
fn a_wrong_file_is_named_and_its_content_is_not() {
    let folder = TempDir::new().unwrap();
    let missing = AccountKey::from_file(&folder.path().join("none"), 0).unwrap_err();
    assert!(matches!(missing, KeyFileError::Read { .. }));
    assert!(missing.to_string().contains("none"));
    for content in ["treasure island map", "hunter2", ""] {
        let path = file(&folder, content.as_bytes(), 0o600);
        let error = AccountKey::from_file(&path, 0).unwrap_err();
        assert!(matches!(error, KeyFileError::Content { .. }));
        let said = format!("{error} {error:?}");
        assert!(!said.contains("treasure") && !said.contains("hunter2"), "{said}");
    }
    let not_text = AccountKey::from_file(&file(&folder, &[0xff; 9], 0o600), 0).unwrap_err();
    assert!(matches!(not_text, KeyFileError::Text { .. }));
    let long = AccountKey::from_file(&file(&folder, &[b'a'; 8000], 0o600), 0).unwrap_err();
    assert!(matches!(long, KeyFileError::Size { allowed: 4096, .. }));
}

#[test]
fn a_key_prints_its_address_and_nothing_else() {
    let key = AccountKey::from_mnemonic(&WORDS.into(), 0).unwrap();
    let address = key.address();
    let expected = format!("AccountKey(SecretKey {{ public: PublicKey({address}), .. }})");
    assert_eq!(format!("{key:?}"), expected);
}

/// What the reference's own libraries wrote, of the raw key below; the passphrase is `correct horse`.
const VECTORS: &str = "tests/it/chain/vectors";
/// Of the raw key `7bd7…f4df`.
const ADDRESS: &str = "akash1erkxxdpzya5aq975zav48xe2xwpaxlca67n8xg";

/// A copy that is for its owner alone: a checkout does not keep modes.
fn copied(folder: &TempDir, name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(VECTORS).join(name);
    let to = folder.path().join(name);
    let private = |path: &Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    if from.is_dir() {
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(&from).unwrap() {
            let entry = entry.unwrap();
            let copy = to.join(entry.file_name());
            fs::copy(entry.path(), &copy).unwrap();
            private(&copy);
        }
    } else {
        fs::copy(&from, &to).unwrap();
        private(&to);
    }
    to
}

fn source(path: PathBuf, passphrase: Option<&str>, name: Option<&str>) -> KeySource {
    KeySource {
        path,
        passphrase: passphrase.map(Into::into),
        name: name.map(str::to_owned),
        ..KeySource::default()
    }
}

#[test]
fn an_armored_export_of_either_kind_opens_with_its_passphrase_only() {
    let folder = TempDir::new().unwrap();
    for name in ["argon2.armor", "bcrypt.armor"] {
        let path = copied(&folder, name);
        let key = AccountKey::open(&source(path.clone(), Some("correct horse"), None)).unwrap();
        assert_eq!(key.address().as_str(), ADDRESS, "{name}");
        let wrong = AccountKey::open(&source(path.clone(), Some("wrong horse"), None)).unwrap_err();
        assert!(
            matches!(wrong, KeyFileError::Form { reason: FormError::Passphrase, .. }),
            "{name}: {wrong}"
        );
        assert!(
            wrong.to_string().contains(name) && !wrong.to_string().contains("horse"),
            "{wrong}"
        );
        let none = AccountKey::open(&source(path, None, None)).unwrap_err();
        assert!(matches!(none, KeyFileError::Encrypted { .. }), "{none}");
        assert!(none.to_string().contains("LESSOR_KEY__PASSPHRASE"), "{none}");
    }
}

#[test]
fn what_is_written_as_an_armored_export_opens_again_and_is_never_the_same() {
    let folder = TempDir::new().unwrap();
    let key = AccountKey::from_mnemonic(&WORDS.into(), 3).unwrap();
    let armored = key.to_armor(&"a long passphrase".into()).unwrap();
    assert_ne!(armored, key.to_armor(&"a long passphrase".into()).unwrap());
    let path = file(&folder, armored.as_bytes(), 0o600);
    let again = AccountKey::open(&source(path, Some("a long passphrase"), None)).unwrap();
    assert_eq!(again.address(), key.address());
    assert_eq!(*again.secret().to_bytes(), *key.secret().to_bytes());
}

#[test]
fn an_armored_export_that_was_changed_says_what_is_wrong_with_it() {
    let folder = TempDir::new().unwrap();
    let text = fs::read_to_string(copied(&folder, "argon2.armor")).unwrap();
    let body = text.lines().nth(5).unwrap();
    let flipped = body.replacen(&body[..1], if body.starts_with('A') { "B" } else { "A" }, 1);
    for (changed, expected) in [
        (text.replace(body, &flipped), "checksum is wrong"),
        (text.replace(body, "#"), "body is not base64"),
        (text.replace("kdf: argon2", "kdf: scrypt"), "neither argon2 nor bcrypt"),
        (text.replace("secp256k1", "ed25519"), "type \"ed25519\""),
        (text.replace("salt: ", "salt: 00"), "salt is not 16 bytes"),
        (text.replace("-----END", "-----"), "last line is missing"),
    ] {
        let path = file(&folder, changed.as_bytes(), 0o600);
        let error = AccountKey::open(&source(path, Some("correct horse"), None)).unwrap_err();
        assert!(matches!(error, KeyFileError::Form { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[test]
fn the_reference_s_keyrings_give_their_keys_by_name() {
    let folder = TempDir::new().unwrap();
    let (test, other) = (copied(&folder, "keyring-test"), copied(&folder, "keyring-file"));
    let key = AccountKey::open(&source(test.clone(), None, None)).unwrap();
    assert_eq!(key.address().as_str(), ADDRESS);
    let opened = |passphrase, name| AccountKey::open(&source(other.clone(), passphrase, name));
    let key = opened(Some("correct horse"), Some("provider")).unwrap();
    assert_eq!(key.address().as_str(), ADDRESS);

    let said = |error: KeyFileError| error.to_string();
    let error = said(opened(Some("correct horse"), None).unwrap_err());
    assert!(
        error.ends_with("needs key.name to say which key; it holds provider, watch"),
        "{error}"
    );
    let error = said(opened(Some("correct horse"), Some("none")).unwrap_err());
    assert!(error.contains("has no key \"none\"; it holds provider, watch"), "{error}");
    let error = said(opened(Some("correct horse"), Some("watch")).unwrap_err());
    assert!(error.contains("watch.info") && error.contains("offline"), "{error}");
    let error = said(opened(Some("battery staple"), Some("provider")).unwrap_err());
    assert!(error.contains("passphrase is wrong") && !error.contains("staple"), "{error}");
    let error = said(opened(None, Some("provider")).unwrap_err());
    assert!(error.contains("no passphrase is given"), "{error}");

    let item = test.join("provider.info");
    fs::set_permissions(&item, fs::Permissions::from_mode(0o644)).unwrap();
    let error = AccountKey::open(&source(test, None, None)).unwrap_err();
    assert!(matches!(error, KeyFileError::Mode { mode: 0o644, .. }), "{error}");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = said(AccountKey::open(&source(empty, None, None)).unwrap_err());
    assert!(error.ends_with("it holds no key"), "{error}");
}
