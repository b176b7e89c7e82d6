//! The keyring folders of the reference's tools, `keyring-test` and `keyring-file`: one encrypted file a key. Owns how
//! such a file is read; lessor never writes one.
//!
//! The surprising fact: the `test` keyring is encrypted like the other, with the word `test`.

use std::num::NonZeroU32;

use aes_kw::KwAes128;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use prost::Message;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    pbkdf2,
};
use secrecy::{
    ExposeSecret, SecretString,
    zeroize::{Zeroize, Zeroizing},
};
use serde::Deserialize;

use super::form::FormError;
use crate::wire::{google::Any, key::SecretKey};

/// The most rounds that are computed for a file; the reference writes 8,192.
const MAX_ROUNDS: u32 = 10_000_000;
const ALGORITHM: &str = "PBES2-HS256+A128KW";
const PRIVATE_KEY: &str = "/cosmos.crypto.secp256k1.PrivKey";

/// The first part of a compact JWE.
#[derive(Deserialize)]
struct Header {
    alg: String,
    enc: String,
    p2c: u32,
    p2s: String,
}

/// What the keyring's library keeps under a name.
#[derive(Deserialize)]
struct Item {
    #[serde(rename = "Data")]
    data: String,
}

/// `cosmos.crypto.keyring.v1.Record`.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "3")]
    local: Option<Local>,
    #[prost(message, optional, tag = "4")]
    ledger: Option<Nothing>,
    #[prost(message, optional, tag = "5")]
    multi: Option<Nothing>,
    #[prost(message, optional, tag = "6")]
    offline: Option<Nothing>,
}

#[derive(Clone, PartialEq, Message)]
struct Local {
    #[prost(message, optional, tag = "1")]
    private: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct PrivateKey {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// Opens one file of a keyring.
pub(super) fn open(text: &str, passphrase: &SecretString) -> Result<SecretKey, FormError> {
    let payload = decrypt(text, passphrase)?;
    let item: Item = serde_json::from_slice(&payload)
        .map_err(|_| FormError::Malformed("what is encrypted is no item of a keyring"))?;
    let encoded = Zeroizing::new(item.data);
    let record = STANDARD
        .decode(encoded.as_bytes())
        .map(Zeroizing::new)
        .map_err(|_| FormError::Malformed("its record is not base64"))?;
    key(&record)
}

fn key(record: &[u8]) -> Result<SecretKey, FormError> {
    let old =
        "its record is none of SDK 0.46 or later: run `keys migrate` with the tool that wrote it";
    let record = Record::decode(record).map_err(|_| FormError::Malformed(old))?;
    let Record { local, ledger, multi, offline, .. } = record;
    let Some(mut private) = local.and_then(|local| local.private) else {
        return Err(match (ledger, multi, offline) {
            (Some(_), ..) => FormError::Elsewhere("on a ledger"),
            (_, Some(_), _) => FormError::Elsewhere("of several signers"),
            (.., Some(_)) => FormError::Elsewhere("offline"),
            _ => FormError::Malformed(old),
        });
    };
    if private.type_url != PRIVATE_KEY {
        private.value.zeroize();
        return Err(FormError::Kind(private.type_url));
    }
    let decoded = PrivateKey::decode(private.value.as_slice());
    private.value.zeroize();
    let decoded = decoded.map_err(|_| FormError::Malformed("its key does not decode"))?;
    let raw = Zeroizing::new(decoded.key);
    SecretKey::from_bytes(&raw).map_err(|_| FormError::Malformed("its key is none of secp256k1"))
}

/// Decrypts a compact JWE under a password (RFC 7516, RFC 7518 section 4.8).
fn decrypt(text: &str, passphrase: &SecretString) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let bad = || FormError::Malformed("it is no JWE of five parts");
    let parts: Vec<&str> = text.trim().split('.').collect();
    let &[header, wrapped, nonce, sealed, tag] = parts.as_slice() else { return Err(bad()) };
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| bad());
    let about: Header = serde_json::from_slice(&part(header)?)
        .map_err(|_| FormError::Malformed("its JWE header lacks alg, enc, p2c or p2s"))?;
    if about.alg != ALGORITHM || about.enc != "A256GCM" {
        return Err(FormError::Malformed("its JWE is not PBES2-HS256+A128KW with A256GCM"));
    }
    let rounds = NonZeroU32::new(about.p2c).filter(|rounds| rounds.get() <= MAX_ROUNDS);
    let rounds = rounds.ok_or(FormError::Malformed("its p2c is not from 1 to 10000000"))?;
    let content = unwrap(&part(&about.p2s)?, rounds, &part(wrapped)?, passphrase)?;
    let key = UnboundKey::new(&AES_256_GCM, content.as_slice()).map_err(|_| bad())?;
    let nonce: [u8; 12] = part(nonce)?.try_into().map_err(|_| bad())?;
    let mut bytes = Zeroizing::new([part(sealed)?, part(tag)?].concat());
    let length = LessSafeKey::new(key)
        .open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(header.as_bytes()),
            &mut bytes,
        )
        .map_err(|_| FormError::Passphrase)?
        .len();
    bytes.truncate(length);
    Ok(bytes)
}

/// The key of the content, which is wrapped under a key made of the passphrase.
fn unwrap(
    salt: &[u8],
    rounds: NonZeroU32,
    wrapped: &[u8],
    passphrase: &SecretString,
) -> Result<Zeroizing<[u8; 32]>, FormError> {
    let salt = [ALGORITHM.as_bytes(), &[0], salt].concat();
    let mut wrapping = Zeroizing::new([0; 16]);
    let secret = passphrase.expose_secret().as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, &salt, secret, wrapping.as_mut_slice());
    let mut content = Zeroizing::new([0; 32]);
    if wrapped.len() != content.len() + 8 {
        return Err(FormError::Malformed("its wrapped key has not 40 bytes"));
    }
    let cipher = <KwAes128 as aes_kw::KeyInit>::new((&*wrapping).into());
    cipher.unwrap_key(wrapped, content.as_mut_slice()).map_err(|_| FormError::Passphrase)?;
    Ok(content)
}
