//! The armored form of a key: what `keys export` of the Cosmos SDK writes, with either of its ways from a passphrase to a
//! key. Owns the form; the file around it is the caller's.
//!
//! The surprising fact: the newer way encrypts with a nonce of zeros, which is sound only because every writing draws a
//! new salt, and so a new key.

use std::fmt::Write as _;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{
    Engine,
    alphabet::BCRYPT,
    engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD},
};
use crypto_secretbox::{KeyInit, XSalsa20Poly1305, aead::Aead as _};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use secrecy::{
    ExposeSecret, SecretString,
    zeroize::{Zeroize, Zeroizing},
};
use sha2::{Digest, Sha256};

use super::form::FormError;
use crate::wire::{
    key::SecretKey,
    text::{from_hex, to_upper_hex},
};

const BEGIN: &str = "-----BEGIN TENDERMINT PRIVATE KEY-----";
const END: &str = "-----END TENDERMINT PRIVATE KEY-----";
/// What the SDK's older encoding writes in front of the 32 bytes of a secp256k1 key.
const PREFIX: [u8; 5] = [0xe1, 0xb0, 0xf7, 0x9b, 0x20];
const SALT: usize = 16;
const BCRYPT_COST: u32 = 12;
const SECRETBOX_NONCE: usize = 24;
/// Base64 digits a line.
const LINE: usize = 64;

/// Whether a text claims to be this form.
pub(super) fn is_armored(text: &str) -> bool {
    text.trim_start().starts_with(BEGIN)
}

/// Opens an armored key.
pub(super) fn open(text: &str, passphrase: &SecretString) -> Result<SecretKey, FormError> {
    let block = Block::parse(text)?;
    if let Some(kind) = block.header("type").filter(|kind| *kind != "secp256k1") {
        return Err(FormError::Kind(kind.to_owned()));
    }
    let salt = block.header("salt").and_then(from_hex).filter(|salt| salt.len() == SALT);
    let salt = salt.ok_or(FormError::Malformed("its salt is not 16 bytes in hex"))?;
    let plain = match block.header("kdf") {
        Some("argon2") => open_argon2(&salt, block.body, passphrase)?,
        Some("bcrypt") => open_bcrypt(&salt, &block.body, passphrase)?,
        _ => return Err(FormError::Malformed("its kdf is neither argon2 nor bcrypt")),
    };
    let raw = plain.strip_prefix(&PREFIX);
    let raw = raw.ok_or(FormError::Malformed("what is encrypted is no secp256k1 key"))?;
    SecretKey::from_bytes(raw)
        .map_err(|_| FormError::Malformed("what is encrypted is no secp256k1 key"))
}

/// Writes a key in this form, under a salt of its own.
pub(super) fn seal(key: &SecretKey, passphrase: &SecretString) -> Result<String, FormError> {
    let mut salt = [0; SALT];
    SystemRandom::new()
        .fill(&mut salt)
        .map_err(|_| FormError::Malformed("the system gives no random bytes"))?;
    let mut body = Zeroizing::new(PREFIX.to_vec());
    body.extend_from_slice(key.to_bytes().as_slice());
    argon2_key(&salt, passphrase)?
        .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut *body)
        .map_err(|_| FormError::Malformed("it cannot be encrypted"))?;
    let mut text =
        format!("{BEGIN}\nkdf: argon2\nsalt: {}\ntype: secp256k1\n\n", to_upper_hex(&salt));
    let digits = STANDARD.encode(body.as_slice());
    for line in digits.as_bytes().chunks(LINE) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    let sum = STANDARD.encode(crc24(&body));
    // Writing to a text cannot fail.
    let _ = write!(text, "={sum}\n{END}\n");
    Ok(text)
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn argon2_key(salt: &[u8], passphrase: &SecretString) -> Result<LessSafeKey, FormError> {
    let failed = |_| FormError::Malformed("argon2 cannot be computed");
    let mut key = Zeroizing::new([0; 32]);
    let params = Params::new(64 * 1024, 1, 4, Some(32)).map_err(failed)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose_secret().as_bytes(), salt, key.as_mut_slice())
        .map_err(failed)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_slice())
        .map_err(|_| FormError::Malformed("argon2 cannot be computed"))?;
    Ok(LessSafeKey::new(key))
}

fn open_argon2(
    salt: &[u8],
    body: Vec<u8>,
    passphrase: &SecretString,
) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let mut body = Zeroizing::new(body);
    let length = argon2_key(salt, passphrase)?
        .open_in_place(zero_nonce(), Aad::empty(), &mut body)
        .map_err(|_| FormError::Passphrase)?
        .len();
    body.truncate(length);
    Ok(body)
}

fn open_bcrypt(
    salt: &[u8],
    body: &[u8],
    passphrase: &SecretString,
) -> Result<Zeroizing<Vec<u8>>, FormError> {
    let short = FormError::Malformed("it is cut short");
    let Some((nonce, sealed)) = body.split_at_checked(SECRETBOX_NONCE) else { return Err(short) };
    let (Ok(salt), Ok(nonce)) = (<[u8; SALT]>::try_from(salt), <[u8; 24]>::try_from(nonce)) else {
        return Err(short);
    };
    let key = bcrypt_key(salt, passphrase);
    let cipher = XSalsa20Poly1305::new(key.as_slice().into());
    let plain = cipher.decrypt(&nonce.into(), sealed).map_err(|_| FormError::Passphrase)?;
    Ok(Zeroizing::new(plain))
}

/// The SHA-256 of the text that bcrypt prints, not of the bytes that it computes.
fn bcrypt_key(salt: [u8; SALT], passphrase: &SecretString) -> Zeroizing<[u8; 32]> {
    // The algorithm reads 72 bytes, the last a zero that ends the password.
    let password = passphrase.expose_secret().as_bytes();
    let mut ended = Zeroizing::new(password.to_vec());
    ended.push(0);
    ended.truncate(72);
    let mut hash = bcrypt::bcrypt(BCRYPT_COST, salt, &ended);
    let digits = GeneralPurpose::new(&BCRYPT, NO_PAD);
    let printed = Zeroizing::new(format!(
        "$2a${BCRYPT_COST}${}{}",
        digits.encode(salt),
        // The last byte is never printed.
        digits.encode(&hash[..23])
    ));
    hash.zeroize();
    Zeroizing::new(Sha256::digest(printed.as_bytes()).into())
}

/// A text between two lines of dashes: headers, an empty line, base64, a checksum.
struct Block<'a> {
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
}

impl<'a> Block<'a> {
    fn parse(text: &'a str) -> Result<Self, FormError> {
        let inside = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
        let inside = inside.ok_or(FormError::Malformed("its last line is missing"))?;
        let mut lines = inside.lines().map(str::trim).skip(1);
        let mut headers = Vec::new();
        for line in lines.by_ref().take_while(|line| !line.is_empty()) {
            let header = line.split_once(':');
            let (name, value) = header.ok_or(FormError::Malformed("a header has no colon"))?;
            headers.push((name.trim(), value.trim()));
        }
        let mut digits = Zeroizing::new(String::new());
        let mut sum = None;
        for line in lines.filter(|line| !line.is_empty()) {
            match line.strip_prefix('=') {
                Some(found) => sum = Some(found),
                None => digits.push_str(line),
            }
        }
        let body = STANDARD.decode(digits.as_bytes());
        let body = body.map_err(|_| FormError::Malformed("its body is not base64"))?;
        let sum = sum.map(|sum| STANDARD.decode(sum)).transpose();
        match sum {
            Ok(Some(sum)) if sum != crc24(&body) => {
                Err(FormError::Malformed("its checksum is wrong"))
            }
            Ok(_) => Ok(Self { headers, body }),
            Err(_) => Err(FormError::Malformed("its checksum is not base64")),
        }
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    }
}

/// The checksum of `OpenPGP`'s armor.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let mut sum: u32 = 0x00b7_04ce;
    for byte in bytes {
        sum ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            sum <<= 1;
            if sum & 0x0100_0000 != 0 {
                sum ^= 0x0186_4cfb;
            }
        }
    }
    let [_, high, middle, low] = sum.to_be_bytes();
    [high, middle, low]
}
