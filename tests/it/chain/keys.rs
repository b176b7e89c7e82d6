//! Keys from files.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use lessor::{
    chain::{AccountKey, KeyFileError},
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
