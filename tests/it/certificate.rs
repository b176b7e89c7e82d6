//! Certificates for mutual TLS: the file that the reference's tools write, and `lessor certificate` on a chain.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use lessor::{
    chain::certificate::{CertificateError, Made, Published, open_key},
    devnet::genesis::test_key,
    domain::Address,
    wire::key::SecretKey,
};
use serde_json::Value;

use crate::{
    corpus,
    process::Done,
    provider_command::{Chain, reason},
};

fn at() -> Timestamp {
    "2026-11-01T12:00:00.123456789Z".parse().unwrap()
}

fn password(key: &SecretKey) -> [u8; 64] {
    key.sign(key.public_key().address().as_str().as_bytes())
}

#[test]
fn files_of_the_reference_s_tools_are_read_and_their_keys_open() {
    let Some(path) = corpus::find("vectors/chain/certs/vectors.json") else { return };
    let vectors = corpus::json(&path);
    let certificates = vectors["certificates"].as_array().unwrap();
    for found in certificates {
        let text = |name: &str| found[name].as_str().unwrap();
        let owner: Address = text("owner").parse().unwrap();
        let index = u32::try_from(found["owner_key_index"].as_u64().unwrap()).unwrap();
        let key = SecretKey::from_mnemonic(&text("owner_mnemonic").into(), index).unwrap();
        assert_eq!(key.public_key().address(), &owner);
        assert_eq!(STANDARD.encode(password(&key)), text("key_password_b64"));

        let published = Published::read(&owner, text("file")).unwrap();
        assert_eq!(published.certificate, text("chain_cert_text"));
        assert_eq!(published.public_key, text("chain_pubkey_text"));
        assert_eq!(published.about.serial, text("serial_decimal"));
        assert_eq!(published.about.not_before, text("not_before").parse().unwrap());

        let opened = open_key(&owner, text("file"), &password(&key)).unwrap();
        let plain: String =
            text("private_key_pkcs8_pem").lines().filter(|line| !line.starts_with('-')).collect();
        assert_eq!(STANDARD.encode(opened.as_bytes()), plain);
        let wrong = open_key(&owner, text("file"), b"password").err().unwrap();
        assert!(matches!(wrong, CertificateError::Key), "{wrong}");
        let stranger = test_key(5).unwrap();
        assert!(Published::read(stranger.public_key().address(), text("file")).is_err());
    }
    println!("{} certificates", certificates.len());
}

#[test]
fn a_certificate_is_made_as_the_reference_makes_it() {
    let key = test_key(1).unwrap();
    let owner = key.public_key().address();
    let made = Made::new(owner, &[], at()).unwrap();
    let about = &made.published.about;
    assert_eq!(about.serial, at().as_nanosecond().to_string());
    assert_eq!(about.not_before.to_string(), "2026-11-01T12:00:00Z");
    assert_eq!(about.not_after.to_string(), "2027-11-01T12:00:00Z");
    if let Some(path) = corpus::find("vectors/chain/certs/vectors.json") {
        let found = &corpus::json(&path)["certificates"][0];
        let theirs = shape(found["chain_cert_text"].as_str().unwrap());
        let mine = shape(&made.published.certificate);
        // Owner, serial, times, key and signature are each certificate's own; everything between is the same.
        // The length of the whole is the signature's; that of what is signed is not.
        assert_eq!(mine[4..15], theirs[4..15], "what the serial stands behind");
        assert_eq!(extensions(&mine), extensions(&theirs));
    }

    let file = made.to_file(Some(&password(&key))).unwrap();
    assert!(file.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    assert_eq!(Published::read(owner, &file).unwrap(), made.published);
    let opened = open_key(owner, &file, &password(&key)).unwrap();
    let plain = made.to_file(None).unwrap();
    assert!(plain.contains("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(open_key(owner, &plain, b"").unwrap().as_bytes(), opened.as_bytes());
    let other = Made::new(owner, &[], at()).unwrap().to_file(None).unwrap();
    let mixed = format!(
        "{}{}",
        made.published.certificate,
        &other[other.find("-----END CERT").unwrap() + 26..]
    );
    assert!(matches!(open_key(owner, &mixed, b"").err().unwrap(), CertificateError::OtherKey));

    let server =
        Made::new(owner, &["a.example".to_owned(), "*.in.a.example".to_owned()], at()).unwrap();
    let bytes = shape(&server.published.certificate);
    for name in ["a.example", "*.in.a.example"] {
        assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
    let refused = Made::new(owner, &["a b".to_owned()], at()).err().unwrap();
    assert!(matches!(refused, CertificateError::Host(_)), "{refused}");
}

/// The bytes of a certificate.
fn shape(pem: &str) -> Vec<u8> {
    let digits: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(digits).unwrap()
}

/// From the object identifier of the key usage to the end of a client's extensions.
fn extensions(certificate: &[u8]) -> Vec<u8> {
    let usage = [0x55, 0x1d, 0x0f];
    let start = certificate.windows(3).position(|window| window == usage).unwrap();
    certificate[start..start + 48].to_vec()
}

fn certificate(chain: &Chain, index: &str, arguments: &[&str]) -> Done {
    let dir = chain.folder.path().display().to_string();
    chain.run(index, "certificate", &[&["--dir", &dir], arguments].concat())
}

#[test]
fn a_certificate_is_published_once_shown_and_revoked_for_ever() {
    let chain = Chain::start();
    let address = test_key(5).unwrap().public_key().address().to_string();
    let file = chain.folder.path().join(format!("{address}.pem"));
    let none = certificate(&chain, "5", &["show"]).ok().json();
    assert_eq!(none[0]["step"], "unchanged");

    let planned = certificate(&chain, "5", &["publish", "--dry-run"]).ok().json();
    assert_eq!(planned[0]["step"], "plan");
    assert_eq!(planned[0]["messages"][0]["@type"], "/akash.cert.v1.MsgCreateCertificate");
    assert!(planned[0]["fee"].as_str().unwrap().ends_with("uakt"), "{}", planned[0]);
    assert!(!file.exists(), "a dry run writes nothing");

    let sent = certificate(&chain, "5", &["publish"]).ok().json();
    assert_eq!(sent[0]["step"], "sent");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = certificate(&chain, "5", &["publish"]).ok().json();
    assert_eq!(again[0]["step"], "unchanged", "{}", again[0]);
    let shown = certificate(&chain, "5", &["show"]).ok().json();
    assert_eq!((&shown[0]["state"], shown.len()), (&Value::from("valid"), 1), "{}", shown[0]);
    let owner = ["show", "--owner", &address];
    assert_eq!(certificate(&chain, "0", &owner).ok().json(), shown);
    let refused = certificate(&chain, "5", &["publish", "--host", "a.example"]);
    assert_eq!(refused.code, Some(1));
    assert!(reason(&refused).contains("is there already"), "{}", refused.out);

    let planned = certificate(&chain, "5", &["revoke", "--dry-run"]).ok().json();
    assert_eq!(
        planned[0]["diff"][0],
        format!("- certificate {}", shown[0]["serial"].as_str().unwrap())
    );
    assert_eq!(certificate(&chain, "5", &["revoke"]).ok().json()[0]["step"], "sent");
    assert_eq!(certificate(&chain, "5", &["revoke"]).ok().json()[0]["step"], "unchanged");
    assert_eq!(certificate(&chain, "5", &["revoke", "--all"]).ok().json()[0]["step"], "unchanged");
    let refused = certificate(&chain, "5", &["publish"]);
    assert_eq!(refused.code, Some(1));
    assert!(reason(&refused).contains("was revoked"), "{}", refused.out);
    let refused = certificate(&chain, "5", &["revoke", "4711"]);
    assert_eq!(refused.code, Some(1));
    assert!(reason(&refused).contains("no certificate 4711"), "{}", refused.out);

    // Another one, beside it, from a clean folder.
    fs::remove_file(&file).unwrap();
    certificate(&chain, "5", &["publish", "--host", "a.example", "--plain-key"]).ok();
    assert!(fs::read_to_string(&file).unwrap().contains("-----BEGIN PRIVATE KEY-----"));
    let shown = certificate(&chain, "5", &["show"]).ok().json();
    assert_eq!(shown.len(), 2);
    assert!(Path::new(&file).exists());
    chain.end();
}
