//! The keys of Standard Webhooks as texts: `whsec_…` (shared secret), `whsk_…` (ed25519, private) and `whpk_…`
//! (ed25519, public). What is done with them is in [`super::signature`].
//!
//! The one surprising fact: a `whsk_` text holds 64 bytes, the seed and then the public key, because that is what
//! other senders write; a bare seed of 32 bytes is read too.

use std::{fmt, str::FromStr};

use base64::{
    Engine,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ed25519_dalek::VerifyingKey as Ed25519Public;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use subtle::ConstantTimeEq;

use super::hash::BodyDigest;

/// Standard alphabet, padded when written, padded or not when read.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Before the base64 of a shared secret.
pub const SECRET_PREFIX: &str = "whsec_";
/// Before the base64 of an ed25519 private key.
pub const PRIVATE_PREFIX: &str = "whsk_";
/// Before the base64 of an ed25519 public key.
pub const PUBLIC_PREFIX: &str = "whpk_";

/// Why a text is not a key. Never carries the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// None of the prefixes that are allowed here.
    #[error("a key starts with {allowed}")]
    Prefix {
        /// The prefixes that are allowed here.
        allowed: &'static str,
    },
    /// What follows the prefix is not base64.
    #[error("a {prefix} key is not base64 after its prefix")]
    Base64 {
        /// The prefix that it has.
        prefix: &'static str,
    },
    /// Too short or too long.
    #[error("a {prefix} key holds {bytes} bytes, allowed are {allowed}")]
    Length {
        /// The prefix that it has.
        prefix: &'static str,
        /// How many bytes it decodes to.
        bytes: usize,
        /// How many are allowed.
        allowed: &'static str,
    },
    /// The bytes are no point of the curve, a weak one, or the two halves of a private key do not belong together.
    #[error("a {prefix} key is not a usable ed25519 key")]
    Curve {
        /// The prefix that it has.
        prefix: &'static str,
    },
}

/// A secret of 24 to 64 bytes that sender and receiver share (`whsec_…`, scheme `v1`).
#[derive(Clone)]
pub struct SharedSecret(SecretSlice<u8>);

/// The sender's ed25519 key (`whsk_…`, scheme `v1a`).
#[derive(Clone)]
pub struct PrivateKey(Box<ed25519_dalek::SigningKey>);

/// What a receiver pins of a sender's ed25519 key (`whpk_…`, scheme `v1a`).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(Ed25519Public);

/// A key that signs: `whsec_…` or `whsk_…`.
#[derive(Clone, Debug)]
pub enum SigningKey {
    /// Scheme `v1`.
    Shared(SharedSecret),
    /// Scheme `v1a`.
    Private(PrivateKey),
}

/// A key that verifies: `whsec_…` or `whpk_…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyingKey {
    /// Scheme `v1`.
    Shared(SharedSecret),
    /// Scheme `v1a`.
    Public(PublicKey),
}

fn decode(text: &str, prefix: &'static str) -> Option<Result<Vec<u8>, KeyError>> {
    let encoded = text.strip_prefix(prefix)?;
    Some(BASE64.decode(encoded).map_err(|_| KeyError::Base64 { prefix }))
}

impl SharedSecret {
    /// A secret from its bytes.
    ///
    /// # Errors
    /// [`KeyError::Length`] unless there are 24 to 64 bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, KeyError> {
        match bytes.len() {
            24..=64 => Ok(Self(bytes.into())),
            bytes => Err(KeyError::Length { prefix: SECRET_PREFIX, bytes, allowed: "24 to 64" }),
        }
    }

    /// The `whsec_…` text.
    #[must_use]
    pub fn to_text(&self) -> SecretString {
        format!("{SECRET_PREFIX}{}", BASE64.encode(self.0.expose_secret())).into()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

impl PrivateKey {
    /// The key of a seed. Whoever makes a new key brings the randomness.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(ed25519_dalek::SigningKey::from_bytes(seed)))
    }

    /// What receivers pin.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The `whsk_…` text: 64 bytes, seed and public key.
    #[must_use]
    pub fn to_text(&self) -> SecretString {
        format!("{PRIVATE_PREFIX}{}", BASE64.encode(self.0.to_keypair_bytes())).into()
    }

    pub(super) fn inner(&self) -> &ed25519_dalek::SigningKey {
        &self.0
    }

    fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        let prefix = PRIVATE_PREFIX;
        if let Ok(seed) = <&[u8; 32]>::try_from(bytes) {
            return Ok(Self::from_seed(seed));
        }
        let pair = <&[u8; 64]>::try_from(bytes).map_err(|_| KeyError::Length {
            prefix,
            bytes: bytes.len(),
            allowed: "32 and 64",
        })?;
        ed25519_dalek::SigningKey::from_keypair_bytes(pair)
            .map(|key| Self(Box::new(key)))
            .map_err(|_| KeyError::Curve { prefix })
    }
}

impl PublicKey {
    pub(super) fn inner(&self) -> &Ed25519Public {
        &self.0
    }

    fn from_slice(bytes: &[u8]) -> Result<Self, KeyError> {
        let prefix = PUBLIC_PREFIX;
        let point = <&[u8; 32]>::try_from(bytes).map_err(|_| KeyError::Length {
            prefix,
            bytes: bytes.len(),
            allowed: "32",
        })?;
        match Ed25519Public::from_bytes(point) {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(KeyError::Curve { prefix }),
        }
    }
}

impl SigningKey {
    /// The key with which a receiver verifies what this one signs.
    #[must_use]
    pub fn verifying(&self) -> VerifyingKey {
        match self {
            Self::Shared(secret) => VerifyingKey::Shared(secret.clone()),
            Self::Private(key) => VerifyingKey::Public(key.public()),
        }
    }
}

impl VerifyingKey {
    /// A short public name for lists and logs: the key itself when it is public, otherwise the start of its digest.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Public(key) => key.to_string(),
            Self::Shared(secret) => {
                let digest = BodyDigest::of(secret.bytes()).to_string();
                format!("{SECRET_PREFIX}sha256:{}", &digest[..8])
            }
        }
    }
}

impl FromStr for SharedSecret {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(
            decode(text, SECRET_PREFIX).ok_or(KeyError::Prefix { allowed: SECRET_PREFIX })??,
        )
    }
}

impl FromStr for PrivateKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes: SecretSlice<u8> = decode(text, PRIVATE_PREFIX)
            .ok_or(KeyError::Prefix { allowed: PRIVATE_PREFIX })??
            .into();
        Self::from_slice(bytes.expose_secret())
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_slice(
            &decode(text, PUBLIC_PREFIX).ok_or(KeyError::Prefix { allowed: PUBLIC_PREFIX })??,
        )
    }
}

impl FromStr for SigningKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(SECRET_PREFIX) {
            text.parse().map(Self::Shared)
        } else if text.starts_with(PRIVATE_PREFIX) {
            text.parse().map(Self::Private)
        } else {
            Err(KeyError::Prefix { allowed: "whsk_ or whsec_" })
        }
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(SECRET_PREFIX) {
            text.parse().map(Self::Shared)
        } else if text.starts_with(PUBLIC_PREFIX) {
            text.parse().map(Self::Public)
        } else {
            Err(KeyError::Prefix { allowed: "whpk_ or whsec_" })
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", BASE64.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whsec_[redacted]")
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "whsk_[redacted] of {}", self.public())
    }
}

impl PartialEq for SharedSecret {
    fn eq(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

impl Eq for SharedSecret {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_its_debug_form_shows_no_secret() {
        let secret = SharedSecret::from_bytes((0..32).collect()).unwrap();
        let text = secret.to_text();
        assert_eq!(text.expose_secret().parse::<SharedSecret>().unwrap(), secret);
        assert_eq!(format!("{secret:?}"), "whsec_[redacted]");

        let private = PrivateKey::from_seed(&[7; 32]);
        let text = private.to_text();
        let again: PrivateKey = text.expose_secret().parse().unwrap();
        assert_eq!(again.public(), private.public());
        assert!(!format!("{private:?}").contains(&text.expose_secret()[6..40]));

        let public = private.public();
        assert_eq!(public.to_string().parse::<PublicKey>().unwrap(), public);
    }

    #[test]
    fn a_bare_seed_is_the_same_private_key_as_seed_and_public_key() {
        let bare = format!("{PRIVATE_PREFIX}{}", BASE64.encode([7; 32]));
        assert_eq!(
            bare.parse::<PrivateKey>().unwrap().public(),
            PrivateKey::from_seed(&[7; 32]).public()
        );
    }

    #[test]
    fn a_key_that_is_too_short_mixed_up_or_weak_is_refused_with_what_is_allowed() {
        let short = format!("{SECRET_PREFIX}{}", BASE64.encode([1; 23]));
        assert_eq!(
            short.parse::<SharedSecret>().unwrap_err().to_string(),
            "a whsec_ key holds 23 bytes, allowed are 24 to 64"
        );
        let mut halves = PrivateKey::from_seed(&[7; 32]).0.to_keypair_bytes();
        halves[32..].copy_from_slice(PrivateKey::from_seed(&[8; 32]).public().0.as_bytes());
        let mixed = format!("{PRIVATE_PREFIX}{}", BASE64.encode(halves));
        assert!(matches!(mixed.parse::<PrivateKey>(), Err(KeyError::Curve { .. })));
        let mut identity = [0; 32];
        identity[0] = 1;
        let weak = format!("{PUBLIC_PREFIX}{}", BASE64.encode(identity));
        assert!(matches!(weak.parse::<PublicKey>(), Err(KeyError::Curve { .. })));
        assert_eq!(
            "whsk_AAAA".parse::<VerifyingKey>().unwrap_err().to_string(),
            "a key starts with whpk_ or whsec_"
        );
    }
}
