//! secp256k1 account keys: where they come from, what they sign, which address they are. Owns no file and no prompt:
//! the texts come in as arguments.
//!
//! A signature is 64 bytes r‖s over the SHA-256 of the message, deterministic (RFC 6979), and only the low one of the
//! two possible s is valid on the chain.

use std::fmt;

use bip32::{DerivationPath, XPrv};
use bip39::{Language, Mnemonic};
use k256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer, Verifier},
};
use ripemd::Ripemd160;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};

use super::{
    cosmos::PubKey,
    google::{Any, AnyError},
    text::from_hex,
};
use crate::domain::Address;

/// The largest index of a hierarchical key: above it a number means a hardened one.
pub const MAX_INDEX: u32 = 0x7fff_ffff;

/// Why a text gives no key. Never says what the text was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 12 to 24 words of the English list with a valid checksum.
    #[error("mnemonic is not 12, 15, 18, 21 or 24 English words with a valid checksum")]
    Mnemonic,
    /// Larger than [`MAX_INDEX`].
    #[error("key index {0} is larger than {MAX_INDEX}")]
    Index(u32),
    /// Not 64 hex digits, or not a number of the curve.
    #[error("raw key is not 64 hex digits of a secp256k1 key")]
    Raw,
    /// Not a compressed point of the curve.
    #[error("public key is not 33 bytes of a compressed secp256k1 point")]
    Public,
    /// The public key in a message has another type or does not decode.
    #[error(transparent)]
    Packed(#[from] AnyError),
}

/// Why a signature is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 64 bytes, or a part is zero or above the curve's order.
    #[error("signature is not 64 bytes r‖s of the curve")]
    Malformed,
    /// The larger of the two possible s.
    #[error("signature has a high s")]
    HighS,
    /// Another key or another message.
    #[error("signature does not verify")]
    Wrong,
}

/// A private key. Erased when dropped, never printed.
#[derive(Clone)]
pub struct SecretKey {
    signing: SigningKey,
    public: PublicKey,
}

impl SecretKey {
    /// The key of a mnemonic at `m/44'/118'/0'/0/index`.
    ///
    /// # Errors
    /// [`KeyError::Mnemonic`] or [`KeyError::Index`].
    pub fn from_mnemonic(words: &SecretString, index: u32) -> Result<Self, KeyError> {
        if index > MAX_INDEX {
            return Err(KeyError::Index(index));
        }
        let mnemonic = Mnemonic::parse_in(Language::English, words.expose_secret())
            .map_err(|_| KeyError::Mnemonic)?;
        let seed = Zeroizing::new(mnemonic.to_seed(""));
        let path: DerivationPath =
            format!("m/44'/118'/0'/0/{index}").parse().map_err(|_| KeyError::Index(index))?;
        let derived =
            XPrv::derive_from_path(seed.as_slice(), &path).map_err(|_| KeyError::Mnemonic)?;
        Self::new(derived.private_key().clone())
    }

    /// A raw key of 64 hex digits, in either case, with white space around it.
    ///
    /// # Errors
    /// [`KeyError::Raw`].
    pub fn from_hex(digits: &SecretString) -> Result<Self, KeyError> {
        let bytes = from_hex(digits.expose_secret().trim()).map(Zeroizing::new);
        let bytes = bytes.filter(|bytes| bytes.len() == 32).ok_or(KeyError::Raw)?;
        Self::new(SigningKey::from_slice(&bytes).map_err(|_| KeyError::Raw)?)
    }

    /// A raw key of 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Raw`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Raw)?;
        Self::new(SigningKey::from_slice(bytes).map_err(|_| KeyError::Raw)?)
    }

    /// The 32 bytes of the raw key, for whoever encrypts them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes().into())
    }

    fn new(signing: SigningKey) -> Result<Self, KeyError> {
        let point = signing.verifying_key().to_sec1_point(true);
        let public = PublicKey::from_bytes(point.as_bytes())?;
        Ok(Self { signing, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs the SHA-256 of `message`: 64 bytes r‖s with a low s.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature: Signature = self.signing.sign(message);
        signature.normalize_s().to_bytes().into()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A public key: 33 bytes of a compressed secp256k1 point, checked to be on the curve.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    bytes: [u8; 33],
    address: Address,
}

impl PublicKey {
    /// A key from its compressed point.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 33] = bytes.try_into().map_err(|_| KeyError::Public)?;
        VerifyingKey::from_sec1_bytes(&bytes).map_err(|_| KeyError::Public)?;
        let hash = Ripemd160::digest(Sha256::digest(bytes));
        let address = Address::from_bytes(&hash).map_err(|_| KeyError::Public)?;
        Ok(Self { bytes, address })
    }

    /// A key as accounts and transactions hold it.
    ///
    /// # Errors
    /// [`KeyError::Packed`] for another kind of key, [`KeyError::Public`].
    pub fn from_any(any: &Any) -> Result<Self, KeyError> {
        Self::from_bytes(&any.unpack::<PubKey>()?.key)
    }

    /// The key as accounts and transactions hold it.
    #[must_use]
    pub fn to_any(&self) -> Any {
        Any::pack(&PubKey { key: self.bytes.to_vec() })
    }

    /// The compressed point.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.bytes
    }

    /// The account that the key is of: `ripemd160(sha256(compressed point))`.
    #[must_use]
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Checks a signature over the SHA-256 of `message`.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = Signature::from_slice(signature).map_err(|_| SignatureError::Malformed)?;
        if signature.normalize_s() != signature {
            return Err(SignatureError::HighS);
        }
        VerifyingKey::from_sec1_bytes(&self.bytes)
            .and_then(|key| key.verify(message, &signature))
            .map_err(|_| SignatureError::Wrong)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public test mnemonic of the BIPs.
    const ABANDON: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                           abandon abandon about";

    fn key(index: u32) -> SecretKey {
        SecretKey::from_mnemonic(&ABANDON.into(), index).unwrap()
    }

    #[test]
    fn a_key_signs_what_only_its_public_half_accepts() {
        let signature = key(0).sign(b"message");
        assert_eq!(key(0).public_key().verify(b"message", &signature), Ok(()));
        assert_eq!(key(0).public_key().verify(b"another", &signature), Err(SignatureError::Wrong));
        assert_eq!(key(1).public_key().verify(b"message", &signature), Err(SignatureError::Wrong));
        assert_eq!(
            key(0).public_key().verify(b"message", &signature[1..]),
            Err(SignatureError::Malformed)
        );
    }

    #[test]
    fn the_high_one_of_the_two_signatures_is_refused() {
        // The order of secp256k1; n − s is the other valid s.
        let order = ruint::aliases::U256::from_str_radix(
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
            16,
        )
        .unwrap();
        let mut signature = key(0).sign(b"message");
        let low = ruint::aliases::U256::from_be_slice(&signature[32..]);
        signature[32..].copy_from_slice(&(order - low).to_be_bytes::<32>());
        assert_eq!(key(0).public_key().verify(b"message", &signature), Err(SignatureError::HighS));
    }

    #[test]
    fn neither_a_wrong_text_nor_a_key_is_ever_printed() {
        let wrong = SecretKey::from_mnemonic(&"legal winner thank year wave".into(), 0);
        assert_eq!(wrong.unwrap_err(), KeyError::Mnemonic);
        assert_eq!(SecretKey::from_hex(&"00".repeat(32).into()).unwrap_err(), KeyError::Raw);
        assert_eq!(SecretKey::from_hex(&"ff".repeat(31).into()).unwrap_err(), KeyError::Raw);
        assert_eq!(
            SecretKey::from_mnemonic(&ABANDON.into(), 1 << 31).unwrap_err(),
            KeyError::Index(1 << 31)
        );
        let printed = format!("{:?}", key(0));
        assert_eq!(
            printed,
            format!("SecretKey {{ public: PublicKey({}), .. }}", key(0).public_key().address())
        );
    }
}
